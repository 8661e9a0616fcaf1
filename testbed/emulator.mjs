import { mkdir } from "node:fs/promises"
import * as path from "node:path"
import { aptWith, codename, ownSources, unpackAll } from "./apt.mjs"
import { needProgram, run, TestbedError } from "./process.mjs"

/** From here on QEMU's SVM keeps the host's own kernel alive; Debian 12's 7.2 lets it panic under a few guests now and then. */
const firstSound = 9

/** What is kept under it is of one Debian and these packages. */
export const emulatorVersion = "bookworm-backports-1"

const packages = ["qemu-system-x86", "qemu-system-common", "qemu-system-data"]

/** @param {string} program */
const majorVersion = async (program) =>
  Number(/version (\d+)\./.exec((await run(program, ["--version"])).toString("utf8"))?.[1] ?? 0)

/** Unpacks it into `scratch`, an empty directory, and installs nothing. @param {string} scratch */
const fetchInto = async (scratch) => {
  const apt = aptWith(scratch, await ownSources(scratch, [["debian", "bookworm-backports"]]))
  await apt.update()
  await apt.download(...packages.map((name) => `${name}/bookworm-backports`))
  const made = path.join(scratch, "qemu")
  await mkdir(made)
  await unpackAll(scratch, made)
  return made
}

/**
 * A QEMU whose emulated SVM is sound: the system's own, or on Debian 12 the one of its backports, whose libraries and firmware are those
 * that the system's own needs. `cached` keeps what is fetched. Where it cannot be had, the system's.
 * @param {(fetch: (scratch: string) => Promise<string>) => Promise<string>} cached
 * @param {(line: string) => void} report
 * @returns {Promise<string>} the program
 */
export const ensureEmulator = async (cached, report) => {
  const own = needProgram("qemu-system-x86_64", "qemu-system-x86")
  if ((await majorVersion(own)) >= firstSound || (await codename()) !== "bookworm") return own
  try {
    const directory = await cached((scratch) => {
      report("fetching QEMU of Debian's backports")
      return fetchInto(scratch)
    })
    const program = path.join(directory, "usr/bin/qemu-system-x86_64")
    await majorVersion(program)
    return program
  } catch (error) {
    if (!(error instanceof TestbedError)) throw error
    report(`QEMU of Debian's backports cannot be had, the system's is used: ${error.message}`)
    return own
  }
}
