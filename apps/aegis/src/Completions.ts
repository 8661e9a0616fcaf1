/**
 * Shell completion scripts, made from the manual.
 */
import { commands, groupCommands, groups } from "./Manual.ts"
import type { CommandManual } from "./ManualEntry.ts"

const topWords = () => [...new Set([...commands.map(({ path }) => path[0]), ...groups.map(({ name }) => name)])]

const flagNames = (command: CommandManual) =>
  command.flags.flatMap((flag) => (flag.short === undefined ? [flag.name] : [flag.name, flag.short])).concat("--help")

/** The words of a fixed choice such as `bash|zsh|fish`, in brackets where it may be left out. */
const choicesOf = (value = "") => (value.includes("|") ? value.replace(/^\[|\]$/g, "").split("|") : [])

const choices = (command: CommandManual) => command.positionals.flatMap(choicesOf)

/** The flags whose value is such a choice. */
const choosing = () => commands.flatMap(withValue).filter((flag) => choicesOf(flag.value).length > 0)

const withValue = (command: CommandManual) => command.flags.filter((flag) => flag.value !== undefined)

const isPath = (value: string | undefined) => value?.includes("PATH") === true

const bash = () => {
  const cases = commands.map((command) => {
    const words = [...choices(command), ...flagNames(command)].join(" ")
    return `    ${JSON.stringify(command.path.join(" "))}) words="${words}" ;;`
  })
  const groupCases = groups.map(
    ({ name }) =>
      `    ${name}) words="${groupCommands(name)
        .map(({ path }) => path[1])
        .join(" ")} help" ;;`
  )
  const valued = commands.flatMap(withValue)
  const paths = valued.filter((flag) => isPath(flag.value)).map((flag) => flag.name)
  const others = valued
    .filter((flag) => !isPath(flag.value) && choicesOf(flag.value).length === 0)
    .map((flag) => flag.name)
  const chosen = choosing().map(
    ({ name, value }) =>
      `\n    ${name}) COMPREPLY=($(compgen -W "${choicesOf(value).join(" ")}" -- "$current")); return ;;`
  )
  return `# aegis completion for bash: source <(aegis completions bash)
_aegis() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words="" command="" index
  for ((index = 1; index < COMP_CWORD; index++)); do
    if [[ "\${COMP_WORDS[index]}" == -- ]]; then
      COMPREPLY=($(compgen -c -f -- "$current"))
      return
    fi
  done
  case "$previous" in
    ${paths.join("|")}) COMPREPLY=($(compgen -d -- "$current")); return ;;${chosen.join("")}
    ${others.join("|")}) return ;;
  esac
  command="\${COMP_WORDS[1]}"
  case "$command" in
    ${groups.map(({ name }) => name).join("|")}) ((COMP_CWORD > 2)) && command="$command \${COMP_WORDS[2]}" ;;
  esac
  if ((COMP_CWORD == 1)); then
    words="${topWords().join(" ")} --help --version"
  else
    case "$command" in
${[...cases, ...groupCases].join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _aegis aegis
`
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** zsh's `_describe` splits an entry at its first colon. */
const described = (name: string, about: string) => quote(`${name.replaceAll(":", "\\:")}:${about}`)

const zsh = () => {
  const entries = [
    ...commands.filter(({ path }) => path.length === 1).map(({ path, summary }) => described(path[0], summary)),
    ...groups.map(({ name, summary }) => described(name, summary))
  ]
  const cases = [
    ...commands.map(
      (command) =>
        `    ${quote(command.path.join(" "))}) entries=(${[
          ...choices(command).map((choice) => described(choice, "")),
          ...command.flags.map((flag) => described(flag.name, flag.about)),
          described("--help", "Show help")
        ].join(" ")}) ;;`
    ),
    ...groups.map(
      ({ name }) =>
        `    ${name}) entries=(${groupCommands(name)
          .map(({ path, summary }) => described(path[1] ?? "", summary))
          .join(" ")}) ;;`
    )
  ]
  return `#compdef aegis
# aegis completion for zsh: source <(aegis completions zsh)
_aegis() {
  local -a entries
  local command="\${words[2]}"
  if (( \${words[(I)--]} > 0 && \${words[(I)--]} < CURRENT )); then
    _normal -p aegis
    return
  fi
  case "\${words[CURRENT-1]}" in
    ${commands
      .flatMap(withValue)
      .filter((flag) => isPath(flag.value))
      .map((flag) => flag.name)
      .join("|")}) _files -/; return ;;
${choosing()
  .map(({ name, value }) => `    ${name}) compadd ${choicesOf(value).join(" ")}; return ;;\n`)
  .join("")}  esac
  case "$command" in
    ${groups.map(({ name }) => name).join("|")}) (( CURRENT > 3 )) && command="$command \${words[3]}" ;;
  esac
  if (( CURRENT == 2 )); then
    entries=(${entries.join(" ")})
  else
    case "$command" in
${cases.join("\n")}
    esac
  fi
  _describe aegis entries
}
if [[ "\${funcstack[1]}" == _aegis ]]; then _aegis "$@"; else compdef _aegis aegis; fi
`
}

const fish = () => {
  const given = (value: string) => {
    const words = choicesOf(value)
    return words.length === 0 ? "" : ` -a ${quote(words.join(" "))}`
  }
  const lines = ["# aegis completion for fish: aegis completions fish | source", "complete -c aegis -f"]
  const first = (name: string, about: string) =>
    lines.push(`complete -c aegis -n __fish_use_subcommand -a ${name} -d ${quote(about)}`)
  for (const { path, summary } of commands) if (path.length === 1) first(path[0], summary)
  for (const { name, summary } of groups) first(name, summary)
  for (const { name } of groups) {
    const known = groupCommands(name).map(({ path }) => path[1] ?? "")
    for (const { path, summary } of groupCommands(name)) {
      const when = `__fish_seen_subcommand_from ${name}; and not __fish_seen_subcommand_from ${known.join(" ")}`
      lines.push(`complete -c aegis -n ${quote(when)} -a ${path[1]} -d ${quote(summary)}`)
    }
  }
  for (const command of commands) {
    const when = quote(command.path.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and "))
    for (const choice of choices(command)) lines.push(`complete -c aegis -n ${when} -a ${choice}`)
    for (const flag of command.flags) {
      const short = flag.short === undefined ? "" : ` -s ${flag.short.slice(1)}`
      const value = flag.value === undefined ? "" : isPath(flag.value) ? " -r -F" : ` -x${given(flag.value)}`
      lines.push(`complete -c aegis -n ${when} -l ${flag.name.slice(2)}${short}${value} -d ${quote(flag.about)}`)
    }
  }
  return `${lines.join("\n")}\n`
}

/** The script for a shell: bash, zsh or fish. */
export const completions = (shell: string): string => (shell === "zsh" ? zsh() : shell === "fish" ? fish() : bash())
