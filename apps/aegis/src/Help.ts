/**
 * Help texts, rendered from the manual.
 */
import { commands, findCommand, groupCommands, groups, isGroup } from "./Manual.ts"
import type { CommandManual, FlagManual } from "./ManualEntry.ts"

const width = 12

const rows = (entries: ReadonlyArray<readonly [string, string]>, indent: number) => {
  const column = Math.max(width, ...entries.map(([name]) => name.length + 2))
  return entries.map(([name, about]) => `${" ".repeat(indent)}${name.padEnd(column)}${about}`)
}

const flagWords = (flag: FlagManual) =>
  `${flag.short === undefined ? "" : `${flag.short}, `}${flag.name}${flag.value === undefined ? "" : ` ${flag.value}`}`

/** `aegis run [--name NAME] [--env K=V]... -- COMMAND [ARGS...]`, and the short form of a command that has one. */
export const synopses = (command: CommandManual): readonly [string, ...Array<string>] => {
  const { guestCommand } = command
  const full = [
    "aegis",
    ...command.path,
    ...command.flags.map((flag) => `[${flagWords(flag).replace(", ", "|")}]${flag.repeats === true ? "..." : ""}`),
    ...command.positionals,
    ...(command.path[0] === "help" ? ["[COMMAND]"] : []),
    ...(guestCommand === false ? [] : ["-- COMMAND [ARGS...]"])
  ].join(" ")
  const alone = command.flags.find(({ name }) => name === guestCommand)
  return alone === undefined ? [full] : [full, ["aegis", ...command.path, flagWords(alone)].join(" ")]
}

/** What `aegis help` prints (S-004, S-005). */
export const topLevelHelp = (): string => {
  const single = commands.filter((command) => command.path.length === 1)
  const entry = (name: string, summary: string) => [name, summary] as const
  const afterRun = single.findIndex((command) => command.path[0] === "run") + 1
  const entries = [
    ...single.slice(0, afterRun).map((command) => entry(command.path[0], command.summary)),
    ...groups.map((group) => entry(group.name, group.summary)),
    ...single.slice(afterRun).map((command) => entry(command.path[0], command.summary))
  ]
  return lines(
    "Usage: aegis <command> [options]",
    "",
    "Commands:",
    ...rows(entries, 2),
    "",
    "Examples:",
    "  aegis up",
    '  aegis run -- echo "hello from aegis"',
    "  aegis run --workspace . -- python app.py",
    "  aegis instance start --name web -- python3 -m http.server 80",
    "  aegis instance list",
    "  aegis logs web --follow",
    "",
    "aegis help COMMAND tells more about a command."
  )
}

/** What `aegis instance help` prints (S-012). */
export const groupHelp = (name: string): string =>
  lines(
    `Usage: aegis ${name} <command> [options]`,
    "",
    "Commands:",
    ...rows(
      groupCommands(name).map((command) => [command.path.slice(1).join(" "), command.summary]),
      2
    ),
    "",
    "Examples:",
    ...groupCommands(name).map((command) => `  ${command.examples[0]}`),
    "",
    `aegis ${name} COMMAND --help tells more about a command.`
  )

/** What `aegis run --help` prints. */
export const commandHelp = (command: CommandManual): string =>
  lines(
    `Usage: ${synopses(command).join("\n       ")}`,
    "",
    `${command.summary}.`,
    ...(command.details === undefined ? [] : ["", command.details]),
    ...(command.flags.length === 0
      ? []
      : [
          "",
          "Options:",
          ...rows(
            command.flags.map((flag) => [
              flagWords(flag),
              flag.repeats === true ? `${flag.about} (may be repeated)` : flag.about
            ]),
            2
          )
        ]),
    "",
    "Examples:",
    ...command.examples.map((example) => `  ${example}`)
  )

/** The help for a topic: the words after `aegis help`, or those before `--help`. Undefined when nothing is called so. */
export const helpFor = (topic: ReadonlyArray<string>): string | undefined => {
  const [first] = topic
  if (first === undefined) return topLevelHelp()
  if (topic.length === 1 && isGroup(first)) return groupHelp(first)
  const command = findCommand(topic)
  return command === undefined ? undefined : commandHelp(command)
}

const lines = (...all: ReadonlyArray<string>) => `${all.join("\n")}\n`
