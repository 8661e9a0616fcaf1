/**
 * What a person sees of a build: on a terminal one live line per step, elsewhere plain lines. All of it goes to stderr.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { interrupted } from "./children.mjs"

/**
 * @typedef {object} StepLog What a step reports to.
 * @property {(chunk: Buffer) => void} write Appends a program's output to the step's log; its last line is shown.
 * @property {(text: string) => void} say Replaces the detail shown behind the step's title.
 * @property {(text: string) => void} result Sets the words shown when the step is done.
 */

/**
 * @typedef {object} Progress
 * @property {<A>(title: string, work: (log: StepLog) => Promise<A>) => Promise<A>} step Names a piece of work, shows that it
 *   goes on and how long it took, and on failure prints the end of its log.
 * @property {(text: string) => void} note Prints a line.
 */

const TAIL_LINES = 30
const HEARTBEAT_MS = 30_000

/**
 * @param {{ stream: { write: (text: string) => unknown, isTTY?: boolean, columns?: number }, logDirectory: string }} options
 * @returns {Progress}
 */
export const makeProgress = ({ logDirectory, stream }) => {
  const live = stream.isTTY === true && process.env["TERM"] !== "dumb"
  const note = (/** @type {string} */ text) => void stream.write(`${text}\n`)
  return {
    note,
    step: async (title, work) => {
      const started = performance.now()
      const file = path.join(logDirectory, `${title.replaceAll(/[^a-zA-Z0-9.]+/g, "-")}.log`)
      fs.mkdirSync(logDirectory, { recursive: true })
      fs.writeFileSync(file, "")
      let detail = ""
      let words = ""
      const seconds = () => elapsed(performance.now() - started)
      const line = () => {
        const width = (stream.columns ?? 80) - 1
        stream.write(`\r\x1b[2K${`  ${title}  ${seconds()}${detail === "" ? "" : `  ${detail}`}`.slice(0, width)}`)
      }
      if (live) line()
      const timer = setInterval(
        live ? line : () => note(`  ${title} … ${seconds()}${detail === "" ? "" : `: ${detail}`}`),
        live ? 100 : HEARTBEAT_MS
      )
      const finish = (/** @type {string} */ text) => {
        clearInterval(timer)
        stream.write(`${live ? "\r\x1b[2K" : ""}${text}\n`)
      }
      try {
        const result = await work({
          write: (chunk) => {
            fs.appendFileSync(file, chunk)
            detail = lastLine(chunk.toString("utf8")) ?? detail
          },
          say: (text) => {
            fs.appendFileSync(file, `${text}\n`)
            detail = text
          },
          result: (text) => {
            words = text
          }
        })
        finish(`ok ${title}${words === "" ? "" : ` (${words})`}  ${seconds()}`)
        return result
      } catch (cause) {
        if (!interrupted()) {
          finish(`FAILED ${title}  ${seconds()}`)
          const tail = fs.readFileSync(file, "utf8").trimEnd().split("\n").slice(-TAIL_LINES)
          if (tail.some((text) => text !== ""))
            note(`${tail.map((text) => `  | ${text}`).join("\n")}\n  the whole log: ${file}`)
        }
        throw cause
      } finally {
        clearInterval(timer)
      }
    }
  }
}

/**
 * "0.4 s", "53 s", "2 min 05 s".
 *
 * @param {number} ms
 */
export const elapsed = (ms) => {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`
}

/**
 * The last line that has something on it, without escape sequences and other control characters.
 *
 * @param {string} text
 */
const lastLine = (text) =>
  text
    .replaceAll(/\x1b\[[0-9;?]*[a-zA-Z]/g, "")
    .split(/[\r\n]+/)
    .map((line) => line.replaceAll(/[\x00-\x1f\x7f]/g, " ").trim())
    .findLast((line) => line !== "")
