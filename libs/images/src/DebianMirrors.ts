/**
 * Where this machine gets its Debian packages from.
 */
import { Process } from "@aegis/host"
import * as Effect from "effect/Effect"

const format = "$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)"

/**
 * apt's own sources for a suite, its updates and its security fixes, as lines of a sources.list; so a mirror or proxy that the
 * machine's owner has set up is used. Empty where apt has none for it: mmdebstrap then takes deb.debian.org.
 */
export const debianMirrors = (suite: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const apt = yield* Process.spawn({
      command: "apt-get",
      args: ["indextargets", "--format", format, "Created-By: Packages"],
      env: { LC_ALL: "C" },
      stdin: "ignore",
      stdout: "tail",
      stderr: "ignore"
    })
    yield* apt.exit
    return mirrorLines(yield* apt.stdoutTail, suite)
  }).pipe(
    Effect.scoped,
    Effect.orElseSucceed(() => [])
  )

/** Lines such as `deb http://deb.debian.org/debian/ bookworm main`, each once. */
export const mirrorLines = (targets: string, suite: string): ReadonlyArray<string> => {
  const suites = [suite, `${suite}-updates`, `${suite}-security`]
  const lines = targets.split("\n").flatMap((line) => {
    const [origin, uri, codename, component] = line.split(" ")
    // A descendant of Debian may call its suites by the same names.
    if (origin !== "Debian" || component !== "main" || uri === undefined || codename === undefined) return []
    // A cdrom, or a directory of this machine, may not be there any more.
    return /^https?:\/\//.test(uri) && suites.includes(codename) ? [`deb ${uri} ${codename} main`] : []
  })
  // Updates alone are no system.
  return lines.some((line) => line.endsWith(` ${suite} main`)) ? [...new Set(lines)] : []
}
