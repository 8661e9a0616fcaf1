import { assert, describe, it } from "@effect/vitest"
import { version as domainVersion } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readCommandLine } from "../src/CommandLine.ts"
import { parse } from "../src/Commands.ts"
import { completions } from "../src/Completions.ts"
import { commands } from "../src/Manual.ts"
import { version } from "../src/Version.ts"

const words = (...argv: ReadonlyArray<string>) => {
  const line = readCommandLine(argv)
  return line._tag === "Command" ? line.words : assert.fail(JSON.stringify(line))
}

/** What the parser makes of a command line, as plain data. */
const parsed = (...argv: ReadonlyArray<string>) =>
  Effect.map(parse(words(...argv)), (value): unknown => JSON.parse(JSON.stringify(value)))

describe("parse", () => {
  it.effect("S-056 S-081 all flags of run arrive typed", () =>
    Effect.gen(function* () {
      const value = yield* parsed(
        ...["run", "--name", "web", "--image", "alpine:3.21", "--env", "A=1", "--env", "B=x=y", "--workspace", "./app"],
        ...["--secret", "KEY", "--secret=*", "--memory", "1024", "--cpus", "2"],
        ...["--expose", "80", "--expose=8080:tcp", "--idle-pause", "60s", "--idle-stop", "0"],
        ...[
          "--network",
          "none",
          "--allow",
          "a.b:443",
          "--deny=c.d",
          "--allow-host",
          "8080",
          "--network-log",
          "-i",
          "--",
          "echo"
        ]
      )
      const some = (text: string) => JSON.parse(JSON.stringify(Option.some(text))) as unknown
      assert.deepNestedInclude(value as object, {
        "subcommand.value[1]": {
          name: some("web"),
          image: some("alpine:3.21"),
          env: ["A=1", "B=x=y"],
          secret: ["KEY", "*"],
          workspace: some("./app"),
          memory: some("1024"),
          cpus: some("2"),
          expose: ["80", "8080:tcp"],
          idlePause: some("60s"),
          idleStop: some("0"),
          network: some("none"),
          allow: ["a.b:443"],
          deny: ["c.d"],
          allowHost: ["8080"],
          networkLog: true,
          interactive: true
        }
      })
    })
  )

  it.effect("T-6 values keep their = and their empty ends, and one that looks like a flag when it is attached", () =>
    Effect.gen(function* () {
      const value = yield* parsed("run", "--env", "A=", "--env=B==", "--env=--name=1", "--env", " C = d \n", "--", "a")
      assert.deepNestedInclude(value as object, {
        "subcommand.value[1].env": ["A=", "B==", "--name=1", " C = d \n"]
      })
    })
  )

  it.effect("a target that reads like a truth value or a command is still a target", () =>
    Effect.gen(function* () {
      for (const target of ["yes", "true", "1", "list", "run", "instance"]) {
        for (const argv of [
          ["instance", "info", "--json", target],
          ["instance", "info", target, "--json"]
        ]) {
          const value = yield* parsed(...argv)
          assert.deepNestedInclude(value as object, {
            "subcommand.value[1].subcommand.value[1]": { target, json: true }
          })
        }
      }
    })
  )

  it.effect("the parser knows every command and flag of the manual", () =>
    Effect.gen(function* () {
      for (const command of commands) {
        const [name] = command.path
        if (["help", "version", "completions"].includes(name)) continue
        for (const flag of command.flags) {
          const argv = [...command.path, flag.name, ...(flag.value === undefined ? [] : ["1"]), ...command.positionals]
          yield* parse(words(...argv, ...(command.guestCommand === false ? [] : ["--", "a"])))
        }
      }
    })
  )
})

describe("completions", () => {
  it("name every command and flag in every shell", () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const script = completions(shell)
      for (const command of commands) {
        for (const word of command.path) assert.include(script, word)
        for (const flag of command.flags) assert.include(script, shell === "fish" ? flag.name.slice(2) : flag.name)
      }
    }
  })
})

it("the version is the product's", () => {
  assert.strictEqual(version, domainVersion)
})
