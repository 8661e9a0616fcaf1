import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import * as path from "node:path"
import { needProgram, run } from "./process.mjs"

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

const option = (name, value) => ["-o", `${name}=${value}`]

/** apt with package lists of its own, so that neither root nor the system's lists are needed, nor changed. */
export const ownState = async (scratch) => {
  for (const directory of ["apt/lists/partial", "apt/cache/archives/partial"]) {
    await mkdir(path.join(scratch, directory), { recursive: true })
  }
  return [
    ...option("Dir::State", path.join(scratch, "apt")),
    ...option("Dir::State::Lists", path.join(scratch, "apt/lists")),
    ...option("Dir::State::Status", "/dev/null"),
    ...option("Dir::Cache", path.join(scratch, "apt/cache")),
    ...option("Acquire::Languages", "none"),
    ...option("APT::Architecture", "amd64"),
    ...option("APT::Architectures", "amd64")
  ]
}

/** This Debian's name, and bookworm where it is none. */
export const codename = async () => {
  const release = existsSync("/etc/os-release") ? await readFile("/etc/os-release", "utf8") : ""
  return /^ID=debian$/m.test(release) ? (/^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1] ?? "bookworm") : "bookworm"
}

/** The same, asking these suites of Debian: `["debian", "bookworm"]` is the archive and the suite in it. */
export const ownSources = async (scratch, suites) => {
  const file = path.join(scratch, "debian.list")
  const line = ([archive, suite]) => `deb [signed-by=${keyring}] http://deb.debian.org/${archive} ${suite} main\n`
  await writeFile(file, suites.map(line).join(""))
  return [
    ...(await ownState(scratch)),
    ...option("Dir::Etc::SourceList", file),
    ...option("Dir::Etc::SourceParts", "/dev/null")
  ]
}

/** apt-get and apt-cache with these options, in `scratch`; what is downloaded lies there. */
export const aptWith = (scratch, options) => {
  // apt as root drops to the user _apt, which may not write here; as a plain user the option changes nothing.
  const all = [...options, ...option("APT::Sandbox::User", "root"), "-q"]
  const call = (program, ...args) => run(needProgram(program, "apt"), [...all, ...args], { cwd: scratch })
  return {
    update: () => call("apt-get", "update"),
    show: async (name) => (await call("apt-cache", "show", "--no-all-versions", name)).toString("utf8"),
    download: (...names) => call("apt-get", "download", ...names)
  }
}

/** Unpacks every package that lies in `scratch` into `target`, installing nothing. */
export const unpackAll = async (scratch, target) => {
  for (const name of await readdir(scratch)) {
    if (name.endsWith(".deb")) await run(needProgram("dpkg-deb", "dpkg"), ["-x", path.join(scratch, name), target])
  }
}
