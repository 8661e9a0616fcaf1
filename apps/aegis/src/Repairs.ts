/**
 * What `aegis doctor --fix` does about what is missing: Debian packages, where it may install them, and the daemon.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Caller, downloadEnvironment } from "./Caller.ts"
import { ask, lines } from "./ChildProgram.ts"
import { escapeLine } from "./Escape.ts"
import { type Finding, programNamed } from "./LocalTools.ts"
import { progressLine } from "./ProgressLine.ts"

export interface Repair {
  readonly what: string
  readonly done: boolean
  /** What to do by hand where it was not done. */
  readonly remedy?: string
}

/** As root itself, as a user whom sudo asks for nothing, or not at all. */
const asRoot = Effect.gen(function* () {
  const apt = yield* programNamed("apt-get")
  if (Option.isNone(apt)) return Option.none<ReadonlyArray<string>>()
  if (process.getuid?.() === 0) return Option.some([apt.value])
  const sudo = yield* programNamed("sudo")
  if (Option.isNone(sudo)) return Option.none()
  return Option.map(yield* ask(sudo.value, ["-n", "true"]), () => [sudo.value, "-n", apt.value])
})

/** Installs what of the tools Debian has a package of; nothing where nothing is missing. */
export const installMissing = (tools: ReadonlyArray<Finding>) =>
  Effect.gen(function* () {
    const missing = tools.flatMap(({ debian, found }) => (found || debian === undefined ? [] : [debian]))
    if (missing.length === 0) return []
    const what = `install ${missing.join(", ")}`
    const remedy = `sudo apt-get install ${missing.join(" ")}`
    const command = yield* asRoot
    if (Option.isNone(command)) return [{ what, done: false, remedy }]
    const [program = "", ...args] = command.value
    const { env } = yield* Caller
    const progress = yield* progressLine
    const aptEnvironment = { ...downloadEnvironment(env), DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" }
    const install = ["install", "-y", "--no-install-recommends", ...missing]
    return yield* lines(program, [...args, ...install], aptEnvironment).pipe(
      Stream.runForEach((line) => progress.show({ phase: "Installing packages", text: escapeLine(line) })),
      Effect.match({
        onFailure: ({ reason, stderr }): ReadonlyArray<Repair> => [
          { what: `${what}: ${escapeLine(lastLine(stderr) ?? reason)}`, done: false, remedy }
        ],
        onSuccess: () => [{ what, done: true }]
      }),
      Effect.ensuring(progress.clear)
    )
  })

const lastLine = (text: string) => text.trim().split("\n").at(-1) || undefined

/** Lines for a person. */
export const repairLines = (repairs: ReadonlyArray<Repair>): ReadonlyArray<string> =>
  repairs.length === 0
    ? ["Nothing to fix", ""]
    : [
        ...repairs.flatMap(({ done, remedy, what }) => [
          `${done ? "Fixed:    " : "Not fixed:"} ${what}`,
          ...(remedy === undefined ? [] : [`  try: ${remedy}`])
        ]),
        ""
      ]
