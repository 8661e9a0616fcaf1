/**
 * The command line, read once before anything else: what is asked for, or what is wrong with it. Everything behind the first
 * `--` is the guest's and is never looked at (S-008).
 */
import { helpFor, synopses } from "./Help.ts"
import { commands, findCommand, groupCommands, groups, isGroup } from "./Manual.ts"
import type { CommandManual, FlagManual } from "./ManualEntry.ts"
import { near } from "./Suggestion.ts"

export type CommandLine =
  | { readonly _tag: "Help"; readonly text: string }
  | { readonly _tag: "Version" }
  | { readonly _tag: "Completions"; readonly shell: string }
  | {
      readonly _tag: "Command"
      readonly command: CommandManual
      /** The command's name, then each flag in its long form with its value, then the positionals; values as JSON strings. */
      readonly words: ReadonlyArray<string>
      readonly guestCommand: ReadonlyArray<string>
    }
  | Misuse

/** A usage error: exit 2 (D-21). `usage` is shown below it where the whole shape was missed. */
export interface Misuse {
  readonly _tag: "Misuse"
  readonly message: string
  readonly remedy: string
  readonly usage?: string
}

const helpWords = ["--help", "-h"]

/** Reads the words after `aegis`. */
export const readCommandLine = (argv: ReadonlyArray<string>): CommandLine => {
  const dashes = argv.indexOf("--")
  const own = dashes === -1 ? argv : argv.slice(0, dashes)
  const guest = dashes === -1 ? undefined : argv.slice(dashes + 1)
  const [first, ...rest] = own
  if (first === undefined) {
    return misuse("no command was given", "aegis help", helpFor([]))
  }
  if (helpWords.includes(first)) return help(rest.filter((word) => !word.startsWith("-")))
  if (first === "--version" || first === "-v") return { _tag: "Version" }
  if (first === "help") return help(rest.filter((word) => !helpWords.includes(word)))
  if (first.startsWith("-")) return misuse(`unknown option: ${first}`, "aegis help", helpFor([]))
  if (isGroup(first)) return readGroup(first, rest, guest)
  const command = findCommand([first])
  if (command === undefined) {
    const names = [...commands.map(({ path }) => path[0]), ...groups.map(({ name }) => name)]
    return misuse(`unknown command: ${first}`, near(first, names, "aegis ") ?? "aegis help", helpFor([]))
  }
  return readWords(command, rest, guest)
}

const help = (topic: ReadonlyArray<string>): CommandLine => {
  const text = helpFor(topic)
  return text === undefined
    ? misuse(`unknown command: ${topic.join(" ")}`, "aegis help", helpFor([]))
    : { _tag: "Help", text }
}

const readGroup = (
  group: string,
  rest: ReadonlyArray<string>,
  guest: ReadonlyArray<string> | undefined
): CommandLine => {
  const [name, ...words] = rest
  if (name === undefined) return misuse(`aegis ${group} needs a command`, `aegis ${group} help`, helpFor([group]))
  if (name === "help" || helpWords.includes(name))
    return help([group, ...words.filter((word) => !word.startsWith("-"))])
  const command = findCommand([group, name])
  if (command === undefined) {
    const known = groupCommands(group).map(({ path }) => path[1] ?? "")
    return name.startsWith("-")
      ? misuse(`unknown option: ${name}`, `flags stand behind the command: aegis ${group} COMMAND ${name}`)
      : misuse(
          `unknown ${group} command: ${name}`,
          near(name, known, `aegis ${group} `) ?? `aegis ${group} help`,
          helpFor([group])
        )
  }
  return readWords(command, words, guest)
}

/** `-it` is `-i -t`, where all of it are switches of the command. */
const apart = (command: CommandManual) => (word: string) => {
  if (!/^-[a-z]{2,}$/.test(word)) return [word]
  const letters = [...word.slice(1)].map((letter) => `-${letter}`)
  const switches = command.flags.filter(({ short, value }) => short !== undefined && value === undefined)
  return letters.every((letter) => switches.some(({ short }) => short === letter)) ? letters : [word]
}

const readWords = (
  command: CommandManual,
  typed: ReadonlyArray<string>,
  guest: ReadonlyArray<string> | undefined
): CommandLine => {
  const words = typed.flatMap(apart(command))
  const name = `aegis ${command.path.join(" ")}`
  if (words.some((word) => helpWords.includes(word))) return help(command.path)
  const seen = new Set<string>()
  const flagWords: Array<string> = []
  const positionals: Array<string> = []
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? ""
    if (!word.startsWith("-") || word === "-") {
      positionals.push(word)
      continue
    }
    const equals = word.startsWith("--") ? word.indexOf("=") : -1
    const given = equals === -1 ? word : word.slice(0, equals)
    const flag = command.flags.find((candidate) => candidate.name === given || candidate.short === given)
    if (flag === undefined && command.discreet === true) {
      return misuse(
        `a word that begins with - is no flag of ${name}`,
        `${name} --help; such a value comes through standard input`
      )
    }
    if (flag === undefined) {
      const known = near(
        given,
        command.flags.map((candidate) => candidate.name),
        ""
      )
      return misuse(
        `unknown flag: ${given}`,
        known ??
          (command.guestCommand !== false
            ? `${name} --help; the guest command's own flags stand behind --`
            : `${name} --help`)
      )
    }
    if (seen.has(flag.name) && flag.repeats !== true) {
      return misuse(`${flag.name} is given twice`, `give ${flag.name} once`)
    }
    seen.add(flag.name)
    if (flag.value === undefined) {
      if (equals !== -1) return misuse(`${flag.name} takes no value`, `give ${flag.name} alone`)
      // The parser behind us would take a following `yes` or `1` for a switch's value; an explicit one leaves it alone.
      flagWords.push(flag.name, "true")
      continue
    }
    const value = equals === -1 ? words[index + 1] : word.slice(equals + 1)
    const refusal = badValue(flag, flag.value, value, equals !== -1)
    if (value === undefined || refusal !== undefined) return refusal ?? noValue(flag, flag.value)
    if (equals === -1) index++
    flagWords.push(flag.name, JSON.stringify(value))
  }
  const clash = command.flags.find((flag) => seen.has(flag.name) && flag.excludes?.some((other) => seen.has(other)))
  if (clash !== undefined) {
    return misuse(`${clash.name} and ${clash.excludes?.join(", ")} exclude each other`, "give one of them, or neither")
  }
  return finish(command, name, { flagWords, seen, positionals }, guest)
}

interface Words {
  readonly flagWords: ReadonlyArray<string>
  /** The flags that were given, by their long names. */
  readonly seen: ReadonlySet<string>
  readonly positionals: ReadonlyArray<string>
}

const finish = (
  command: CommandManual,
  name: string,
  { flagWords, positionals, seen }: Words,
  guest: ReadonlyArray<string> | undefined
): CommandLine => {
  const extra = positionals[command.positionals.length]
  if (extra !== undefined && command.discreet === true) {
    return misuse(
      `${name} takes no more than ${command.positionals.join(" ")}`,
      "put quotes around a value with spaces"
    )
  }
  if (extra !== undefined) {
    return command.guestCommand !== false
      ? misuse(`unexpected argument: ${extra}`, `put the command behind --: ${withDashes(command, name, positionals)}`)
      : misuse(`unexpected argument: ${extra}`, `${name} --help`)
  }
  const missing = command.positionals[positionals.length]
  // A flag that stands alone says it all.
  const alone = guest === undefined && [...seen].some((flag) => flag === command.guestCommand)
  if (alone && positionals[0] !== undefined) {
    return misuse(`unexpected argument: ${positionals[0]}`, synopses(command).join(", or "))
  }
  if (missing !== undefined && !missing.startsWith("[") && !alone) {
    return misuse(`${name} needs ${missing}`, synopses(command).join(", or "))
  }
  const refusal = badGuestCommand(command, name, seen, guest)
  if (refusal !== undefined) return refusal
  if (command.path[0] === "version") return { _tag: "Version" }
  if (command.path[0] === "completions") {
    const shell = positionals[0] ?? ""
    return ["bash", "zsh", "fish"].includes(shell)
      ? { _tag: "Completions", shell }
      : misuse(`unknown shell: ${shell}`, "use bash, zsh or fish")
  }
  return {
    _tag: "Command",
    command,
    words: [...command.path, ...flagWords, ...positionals.map((word) => JSON.stringify(word))],
    guestCommand: guest ?? []
  }
}

const withDashes = ({ positionals: { length } }: CommandManual, name: string, words: ReadonlyArray<string>) =>
  [name, ...words.slice(0, length), "--", ...words.slice(length)].join(" ")

const badGuestCommand = (
  command: CommandManual,
  name: string,
  seen: ReadonlySet<string>,
  guest: ReadonlyArray<string> | undefined
) => {
  const { guestCommand } = command
  if (guestCommand === false) {
    return guest === undefined ? undefined : misuse(`${name} takes no -- COMMAND`, synopses(command).join(", or "))
  }
  if (guest !== undefined && guest.length > 0) return undefined
  const usage = `Usage: ${synopses(command).join("\n       ")}\n`
  const withCommand = `${name} -- COMMAND [ARGS...]`
  if (guestCommand === true || guest !== undefined) return misuse(`${name} needs a command to run`, withCommand, usage)
  if (!seen.has(guestCommand)) {
    return misuse(`${name} needs a command to run, or ${guestCommand}`, withCommand, usage)
  }
  // What such a flag says would not be looked at: the instance has a configuration of its own (S-082).
  const { beside, remedy } = command.alone ?? startsAgain(guestCommand)
  const idle = [...seen].find((flag) => flag !== guestCommand && !beside.includes(flag))
  return idle === undefined ? undefined : misuse(`${idle} is given without a command`, remedy, usage)
}

const startsAgain = (flag: string) => ({
  beside: ["--json"],
  remedy: `put a command behind -- for a new instance, or give ${flag} alone to start a stopped one again`
})

const badValue = (flag: FlagManual, value: string, given: string | undefined, attached: boolean) => {
  if (given === undefined) return noValue(flag, value)
  if (given.startsWith("-") && !attached) {
    return misuse(
      `${flag.name} needs a value, and "${given}" looks like a flag`,
      `${flag.name} ${value}, or ${flag.name}=${given} if it is meant`
    )
  }
  return given === "" ? misuse(`${flag.name} needs a value that is not empty`, `${flag.name} ${value}`) : undefined
}

const noValue = (flag: FlagManual, value: string) => misuse(`${flag.name} needs a value`, `${flag.name} ${value}`)

const misuse = (message: string, remedy: string, usage?: string): Misuse =>
  usage === undefined ? { _tag: "Misuse", message, remedy } : { _tag: "Misuse", message, remedy, usage }
