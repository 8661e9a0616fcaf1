/**
 * The program `aegis`. Help, version, completions and misuse are answered here, before Effect is loaded.
 */
import { readCommandLine } from "./CommandLine.ts"
import { completions } from "./Completions.ts"
import { formatError, useColor } from "./ErrorText.ts"
import { usageExitCode } from "./ExitCode.ts"
import { hasUnreadableWord } from "./RawArguments.ts"
import { version } from "./Version.ts"

const color = useColor(process.env, process.stderr.isTTY)

const refuse = (message: string, remedy: string, usage?: string) => {
  process.stderr.write(formatError({ message, remedy }, color) + (usage === undefined ? "" : `\n${usage}`))
  process.exitCode = usageExitCode
}

// A reader that has gone (`aegis help | head -1`) is no error of ours.
process.stdout.on("error", () => {})
process.stderr.on("error", () => {})

const argv = process.argv.slice(2)
const line = readCommandLine(argv)

if (hasUnreadableWord(argv)) {
  refuse("an argument is not UTF-8 text", "pass such bytes in a file or through standard input (run -i)")
} else if (line._tag === "Help") {
  process.stdout.write(line.text)
} else if (line._tag === "Version") {
  process.stdout.write(`aegis ${version}\n`)
} else if (line._tag === "Completions") {
  process.stdout.write(completions(line.shell))
} else if (line._tag === "Misuse") {
  refuse(line.message, line.remedy, line.usage)
} else {
  void import("./Execute.ts").then(({ execute }) => execute(line))
}
