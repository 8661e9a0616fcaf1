/**
 * Child processes and how this program ends. Every child is ended with us, and what was half made is taken away first.
 */
import { spawn } from "node:child_process"
import { constants } from "node:os"

/** A failure that a person reads: one line that says what, one that says what to do about it. */
export class SetupError extends Error {
  /**
   * @param {string} message
   * @param {string} [remedy]
   */
  constructor(message, remedy) {
    super(message)
    this.remedy = remedy
  }
}

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {Record<string, string | undefined>} [env] Added to ours; `undefined` takes one away.
 * @property {(chunk: Buffer) => void} [onOutput] Gets stdout (unless `onStdout` is given) and stderr as they come.
 * @property {(chunk: Buffer) => void} [onStdout]
 * @property {Uint8Array} [input] What the child reads on stdin.
 * @property {boolean} [inherit] The child writes to our stdout and stderr itself.
 * @property {boolean} [foreground] The child stays in the terminal's process group and gets Ctrl+C from the terminal.
 * @property {(pid: number) => void} [onStart]
 * @property {number} [timeoutMs] The child's group is killed after this time.
 */

/** @typedef {{ pid: number, foreground: boolean, exited: Promise<unknown> }} Running */

/** @type {Set<Running>} */
const running = new Set()
/** @type {Set<() => void>} */
const cleanups = new Set()
let ending = false

/**
 * Runs a program to its end and returns its exit code; a signal counts as 128 + its number. Fails only if it cannot start or
 * outlives `timeoutMs`.
 *
 * @param {string} command
 * @param {ReadonlyArray<string>} args
 * @param {RunOptions} [options]
 * @returns {Promise<number>}
 */
export const exitCode = (command, args, options = {}) => {
  const { cwd, env, foreground = false, inherit = false, input, onOutput, onStart, onStdout, timeoutMs } = options
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    // A group of its own, so that a program is ended together with whatever it started.
    detached: !foreground,
    stdio: [
      input === undefined ? (foreground ? "inherit" : "ignore") : "pipe",
      inherit && onStdout === undefined ? "inherit" : "pipe",
      inherit ? "inherit" : "pipe"
    ]
  })
  const exited = new Promise((resolve, reject) => {
    let timedOut = false
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true
            signalGroup(entry, "SIGKILL")
          }, timeoutMs)
    child.on("error", (cause) => {
      clearTimeout(timer)
      reject(new SetupError(`${command} could not be started: ${cause.message}`))
    })
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      if (timedOut) {
        reject(
          new SetupError(`${command} ${args[0] ?? ""} did not end within ${Math.round((timeoutMs ?? 0) / 1000)} s`)
        )
      } else resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
    })
  })
  const entry = { pid: child.pid ?? 0, foreground, exited: exited.catch(() => undefined) }
  if (child.pid !== undefined) {
    running.add(entry)
    onStart?.(child.pid)
  }
  child.stdout?.on("data", onStdout ?? onOutput ?? (() => undefined))
  child.stderr?.on("data", onOutput ?? (() => undefined))
  if (input !== undefined) {
    // A child that ends before it has read everything says why by its exit code.
    child.stdin?.on("error", () => undefined)
    child.stdin?.end(input)
  }
  return exited.finally(() => running.delete(entry))
}

/**
 * Runs a program and fails unless it exits with 0.
 *
 * @param {string} command
 * @param {ReadonlyArray<string>} args
 * @param {RunOptions & { remedy?: string }} [options]
 */
export const run = async (command, args, options = {}) => {
  const code = await exitCode(command, args, options)
  if (code !== 0) throw new SetupError(`${command} ${args[0] ?? ""} failed with exit code ${code}`, options.remedy)
}

/**
 * Runs a program and returns what it printed on stdout.
 *
 * @param {string} command
 * @param {ReadonlyArray<string>} args
 * @param {RunOptions} [options]
 */
export const output = async (command, args, options = {}) => {
  /** @type {Array<Buffer>} */
  const chunks = []
  await run(command, args, { ...options, onStdout: (chunk) => chunks.push(chunk) })
  return Buffer.concat(chunks).toString("utf8")
}

/**
 * Like `output`, but `undefined` if the program is missing or fails.
 *
 * @param {string} command
 * @param {ReadonlyArray<string>} args
 */
export const outputIfAny = (command, args) => output(command, args).catch(() => undefined)

/**
 * Has `cleanup` run if this program is interrupted; the function returned takes it off the list again.
 *
 * @param {() => void} cleanup
 */
export const onInterrupt = (cleanup) => {
  cleanups.add(cleanup)
  return () => cleanups.delete(cleanup)
}

/** True once a signal has begun to end this program: whatever fails from now on fails because of it. */
export const interrupted = () => ending

/** Ends children, takes half-made things away and exits with 128 + the signal's number, on SIGINT, SIGTERM and SIGHUP. */
export const endOnSignals = () => {
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(signal, () => {
      const foreground = [...running].filter((child) => child.foreground)
      if (foreground.length > 0) {
        // A foreground program ends by its own rules, and what called it here goes on to clean up after it.
        // The terminal has sent Ctrl+C to it already.
        if (signal !== "SIGINT" || process.stdin.isTTY !== true) {
          for (const child of foreground) signalGroup(child, signal)
        }
        return
      }
      const again = ending
      ending = true
      void end(signal, again)
    })
  }
}

/**
 * @param {"SIGINT" | "SIGTERM" | "SIGHUP"} signal
 * @param {boolean} atOnce
 */
const end = async (signal, atOnce) => {
  const children = [...running]
  for (const child of children) signalGroup(child, atOnce ? "SIGKILL" : "SIGTERM")
  let timer
  const patience = new Promise((resolve) => {
    timer = setTimeout(resolve, 5000)
  })
  await Promise.race([Promise.all(children.map((child) => child.exited)), patience])
  clearTimeout(timer)
  for (const child of children) signalGroup(child, "SIGKILL")
  for (const cleanup of cleanups) cleanup()
  process.stderr.write("\ninterrupted\n")
  process.exit(128 + constants.signals[signal])
}

/**
 * @param {{ pid: number, foreground: boolean }} child
 * @param {NodeJS.Signals} signal
 */
const signalGroup = ({ foreground, pid }, signal) => {
  try {
    process.kill(foreground ? pid : -pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}
