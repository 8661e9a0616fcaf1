import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import * as path from "node:path"

/**
 * Why a testbed could not be made or a job in it has no exit code; `output` is what the job or the failing program had
 * printed.
 */
export class TestbedError extends Error {
  /**
   * @param {"missing-program" | "preparation-failed" | "timeout" | "crashed" | "aborted"} kind
   * @param {string} message
   * @param {string} [output]
   */
  constructor(kind, message, output = "") {
    super(output === "" ? message : `${message}\n${output}`)
    this.name = "TestbedError"
    this.kind = kind
    this.output = output
  }
}

// A plain user's PATH on Debian lacks the sbin directories, where depmod and mke2fs live.
const searchPath = () =>
  [...(process.env.PATH ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"].filter(Boolean)

/** The absolute path of a program, also of one that only root has on its PATH; undefined when there is none. */
export const findProgram = (name) =>
  searchPath()
    .map((directory) => path.join(directory, name))
    .find((candidate) => existsSync(candidate))

/**
 * The same for a program the testbed cannot do without: throws a TestbedError that names the Debian package to
 * install.
 */
export const needProgram = (name, debianPackage) => {
  const found = findProgram(name)
  if (found !== undefined) return found
  throw new TestbedError(
    "missing-program",
    `${name} is not installed. Install it with: apt-get install ${debianPackage}`
  )
}

/**
 * Runs a program to its end and resolves with its stdout, as bytes. Rejects with a TestbedError that carries its
 * stderr when it fails.
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {{ cwd?: string, input?: Uint8Array, signal?: AbortSignal }} [options]
 * @returns {Promise<Buffer>}
 */
export const run = (program, args, options = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["pipe", "pipe", "pipe"],
      signal: options.signal
    })
    const stdout = []
    const stderr = []
    const fail = (why) =>
      reject(
        options.signal?.aborted
          ? new TestbedError("aborted", "The testbed was interrupted")
          : new TestbedError(
              "preparation-failed",
              `${path.basename(program)} ${why}`,
              Buffer.concat(stderr).toString("utf8").trim().slice(-4000)
            )
      )
    child.stdout.on("data", (chunk) => stdout.push(chunk))
    child.stderr.on("data", (chunk) => stderr.push(chunk))
    child.stdin.on("error", () => {}) // a program may end before it has read all of its input; its exit code tells
    child.on("error", (error) => fail(`could not be run: ${error.message}`))
    child.on("close", (code, signal) =>
      code === 0
        ? resolve(Buffer.concat(stdout))
        : fail(signal === null ? `ended with ${code}` : `was ended by ${signal}`)
    )
    child.stdin.end(options.input)
  })
