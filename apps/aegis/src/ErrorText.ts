/**
 * How a failure looks on the terminal: `error: MESSAGE` and `  try: REMEDY` (D-15).
 */
import { escapeText } from "./Escape.ts"

export interface Failure {
  readonly message: string
  readonly remedy?: string | undefined
  /** What the guest's console said last, for a guest that died. */
  readonly console?: string | undefined
  /** What the daemon's log said last, for a daemon that did not start. */
  readonly log?: string | undefined
}

/** The two lines, with the last lines of a console or log between them where there are any. All of it is escaped (T-19). */
export const formatError = (failure: Failure, color: boolean): string => {
  const label = (text: string, code: string) => (color ? `\u001b[${code}m${text}\u001b[0m` : text)
  const quote = (title: string, tail = "") => (tail.trim() === "" ? [] : [`  ${title}\n`, ...lastLines(tail.trim())])
  return [
    `${label("error:", "1;31")} ${escapeText(failure.message)}\n`,
    ...quote("the guest's console ended with:", failure.console),
    ...quote("the daemon's log ended with:", failure.log),
    ...(failure.remedy === undefined || failure.remedy === ""
      ? []
      : [`  ${label("try:", "1")} ${escapeText(failure.remedy)}\n`])
  ].join("")
}

/** Each marked as not ours. Consoles end lines with CR LF. */
const lastLines = (text: string) =>
  text
    .replaceAll("\r\n", "\n")
    .split("\n")
    .slice(-10)
    .map((line) => `  | ${escapeText(line)}\n`)

/** NO_COLOR forbids colour, FORCE_COLOR demands it, else a terminal has it (D-10). */
export const useColor = (
  env: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean | undefined
): boolean => {
  if (env["NO_COLOR"] !== undefined && env["NO_COLOR"] !== "") return false
  if (env["FORCE_COLOR"] !== undefined && env["FORCE_COLOR"] !== "") return env["FORCE_COLOR"] !== "0"
  return isTerminal === true && env["TERM"] !== "dumb"
}
