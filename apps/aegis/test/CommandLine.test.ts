import { assert, describe, it } from "@effect/vitest"
import { type CommandLine, readCommandLine } from "../src/CommandLine.ts"

const command = (...argv: ReadonlyArray<string>) => {
  const line = readCommandLine(argv)
  assert.strictEqual(line._tag, "Command", JSON.stringify(line))
  return line as Extract<CommandLine, { _tag: "Command" }>
}

const misuse = (...argv: ReadonlyArray<string>) => {
  const line = readCommandLine(argv)
  assert.strictEqual(line._tag, "Misuse", JSON.stringify(line))
  return line as Extract<CommandLine, { _tag: "Misuse" }>
}

const help = (...argv: ReadonlyArray<string>) => {
  const line = readCommandLine(argv)
  assert.strictEqual(line._tag, "Help", JSON.stringify(line))
  return (line as Extract<CommandLine, { _tag: "Help" }>).text
}

describe("readCommandLine", () => {
  it("S-004 help, --help and -h are the same top-level usage", () => {
    assert.strictEqual(help("help"), help("--help"))
    assert.strictEqual(help("help"), help("-h"))
  })

  it("S-005 the usage has its header, its commands and examples", () => {
    const text = help("help")
    assert.isTrue(text.startsWith("Usage: aegis <command> [options]\n"))
    assert.include(text, "\nCommands:\n")
    assert.include(text, "\nExamples:\n")
    for (const name of ["up", "down", "status", "doctor", "run", "instance", "secret", "rootfs"]) {
      assert.match(text, new RegExp(`^  ${name} `, "m"))
    }
  })

  it("S-006 D-21 no argument is misuse that shows the usage", () => {
    assert.include(misuse().usage ?? "", "Usage: aegis <command> [options]")
  })

  it("S-007 an unknown command is named, with the usage", () => {
    const line = misuse("bogus")
    assert.strictEqual(line.message, "unknown command: bogus")
    assert.include(line.usage ?? "", "Commands:")
    assert.strictEqual(misuse("stats").remedy, "did you mean aegis status?")
    assert.strictEqual(misuse("rnu").remedy, "did you mean aegis run?")
  })

  it("S-007 an unknown group command is named, with the group's usage", () => {
    const line = misuse("instance", "frobnicate")
    assert.strictEqual(line.message, "unknown instance command: frobnicate")
    assert.include(line.usage ?? "", "aegis instance <command>")
  })

  it("S-013 S-179 secret help prints the group's commands, and what is missing is named with the usage", () => {
    for (const text of [help("secret", "help"), help("secret", "--help"), help("help", "secret")]) {
      for (const name of ["set", "list", "delete", "import", "export", "rotate-key"])
        assert.match(text, new RegExp(`^  ${name} `, "m"))
    }
    assert.strictEqual(misuse("secret", "forget").message, "unknown secret command: forget")
    for (const name of ["set", "delete"]) {
      const line = misuse("secret", name)
      assert.include(line.message, "needs KEY")
      assert.include(line.remedy, `aegis secret ${name}`)
    }
  })

  it("P4 a value that was typed in a wrong way is not repeated", () => {
    for (const argv of [
      ["KEY", "-----BEGIN planted"],
      ["KEY", "--planted=1"],
      ["KEY", "my", "planted"]
    ]) {
      const { message, remedy, usage } = misuse("secret", "set", ...argv)
      assert.notInclude(`${message} ${remedy} ${usage}`, "planted")
    }
    assert.deepStrictEqual(command("secret", "set", "KEY", "-").words, ["secret", "set", '"KEY"', '"-"'])
  })

  it("S-012 instance help prints the group's commands", () => {
    for (const text of [help("instance", "help"), help("instance", "--help"), help("help", "instance")]) {
      for (const name of ["start", "list", "info", "stop", "delete", "pause", "resume", "prune", "wait", "watch"])
        assert.match(text, new RegExp(`^  ${name} `, "m"))
    }
  })

  it("every command has a help of its own with an example", () => {
    for (const path of [["run"], ["up"], ["doctor"], ["instance", "info"], ["rootfs", "list"]]) {
      const text = help(...path, "--help")
      assert.isTrue(text.startsWith(`Usage: aegis ${path.join(" ")}`))
      assert.include(text, "Examples:\n  aegis")
      assert.strictEqual(text, help("help", ...path))
    }
  })

  it("S-008 what stands behind -- is the guest's, whatever it looks like", () => {
    for (const words of [["--name", "x"], ["--help"], ["-h"], ["--version"], ["--"], ["sh", "--", "-c"]]) {
      assert.deepStrictEqual(command("run", "--", ...words).guestCommand, words)
    }
  })

  it("S-009 guest arguments stay words", () => {
    assert.deepStrictEqual(command("run", "--", "echo", "hello from aegis").guestCommand, ["echo", "hello from aegis"])
  })

  it("S-068 T-12 run without a command is misuse that shows its usage", () => {
    for (const argv of [["run"], ["run", "--"], ["run", "--name", "x"]]) {
      assert.include(misuse(...argv).usage ?? "", "Usage: aegis run")
    }
  })

  it("T-2 an unknown flag before -- is named", () => {
    assert.strictEqual(misuse("run", "--nmae", "box", "--", "a").message, "unknown flag: --nmae")
    assert.strictEqual(misuse("run", "--nmae", "box", "--", "a").remedy, "did you mean --name?")
    assert.strictEqual(misuse("run", "-x", "--", "a").message, "unknown flag: -x")
    assert.strictEqual(misuse("run", "--publish", "80", "--", "a").message, "unknown flag: --publish")
    assert.strictEqual(misuse("status", "--wizard").message, "unknown flag: --wizard")
    assert.strictEqual(misuse("status", "--log-level", "debug").message, "unknown flag: --log-level")
    assert.strictEqual(misuse("--json", "status").message, "unknown option: --json")
  })

  it("T-3 a flag without a value, and a value that looks like a flag, are refused", () => {
    assert.strictEqual(misuse("run", "--name").message, "--name needs a value")
    assert.strictEqual(misuse("run", "--name", "--", "a").message, "--name needs a value")
    assert.include(misuse("run", "--name", "--env", "A=1", "--", "a").message, "--name needs a value")
    assert.include(misuse("run", "--memory", "-5", "--", "a").message, 'and "-5" looks like a flag')
    assert.include(misuse("run", "--name=", "--", "a").message, "--name needs a value")
  })

  it("T-4 a flag given twice is refused, but for those that repeat", () => {
    assert.strictEqual(misuse("run", "--name", "a", "--name", "b", "--", "c").message, "--name is given twice")
    assert.strictEqual(misuse("status", "--json", "--json").message, "--json is given twice")
    assert.deepStrictEqual(command("run", "--env", "A=1", "--env=B=2", "--", "c").words, [
      "run",
      "--env",
      '"A=1"',
      "--env",
      '"B=2"'
    ])
  })

  it("D-17 flags stand before or after the positionals", () => {
    const before = command("instance", "info", "--json", "web").words
    assert.deepStrictEqual(command("instance", "info", "web", "--json").words, before)
    assert.deepStrictEqual(before, ["instance", "info", "--json", "true", '"web"'])
  })

  it("a switch takes no value, and short names stand for long ones", () => {
    assert.strictEqual(misuse("status", "--json=yes").message, "--json takes no value")
    assert.deepStrictEqual(command("run", "-i", "--", "cat").words, ["run", "--interactive", "true"])
    assert.strictEqual(misuse("run", "-i", "--interactive", "--", "cat").message, "--interactive is given twice")
  })

  it("positionals are counted", () => {
    assert.strictEqual(misuse("instance", "info").message, "aegis instance info needs HANDLE_OR_ID")
    assert.strictEqual(misuse("instance", "info", "a", "b").message, "unexpected argument: b")
    assert.strictEqual(misuse("status", "now").message, "unexpected argument: now")
    assert.strictEqual(misuse("run", "echo", "hi").remedy, "put the command behind --: aegis run -- echo hi")
    assert.strictEqual(misuse("status", "--", "x").message, "aegis status takes no -- COMMAND")
  })

  it("S-100 --stopped and --running exclude each other", () => {
    assert.include(misuse("instance", "list", "--stopped", "--running").message, "exclude each other")
  })

  it("S-080 S-092 instance start takes a command, or a name alone, and says so with both usage lines", () => {
    const forms =
      /^Usage: aegis instance start \[--name NAME\].* -- COMMAND \[ARGS\.\.\.\]\n {7}aegis instance start --name NAME\n$/
    assert.match(misuse("instance", "start").usage ?? "", forms)
    assert.match(misuse("instance", "start", "--json").usage ?? "", forms)
    assert.match(misuse("instance", "start", "--name", "web", "--").usage ?? "", forms)
    assert.deepStrictEqual(command("instance", "start", "--", "echo", "--name").guestCommand, ["echo", "--name"])
    assert.deepStrictEqual(command("instance", "start", "--name", "web").guestCommand, [])
    assert.deepStrictEqual(command("instance", "start", "--json", "--name", "web").guestCommand, [])
    assert.strictEqual(
      misuse("instance", "start", "--name", "web", "echo").remedy,
      "put the command behind --: aegis instance start -- echo"
    )
  })

  it("S-082 flags that a restart would not look at are refused without a command", () => {
    const line = misuse("instance", "start", "--name", "web", "--memory", "1024")
    assert.strictEqual(line.message, "--memory is given without a command")
    assert.include(line.remedy, "give --name alone")
  })

  it("S-147 exec takes an instance and a command, or the id of one to join and nothing else", () => {
    const line = command("exec", "web", "-it", "--env", "A=1", "--", "sh", "-c", "-it")
    assert.deepStrictEqual(line.words, ["exec", "--interactive", "true", "--tty", "true", "--env", '"A=1"', '"web"'])
    assert.deepStrictEqual(line.guestCommand, ["sh", "-c", "-it"])
    assert.deepStrictEqual(command("exec", "-i", "--attach", "exec-1").guestCommand, [])
    assert.strictEqual(misuse("exec", "web", "ls").remedy, "put the command behind --: aegis exec web -- ls")
    assert.strictEqual(misuse("exec", "--", "ls").message, "aegis exec needs HANDLE_OR_ID")
    assert.include(misuse("exec", "web").usage ?? "", "aegis exec --attach ID\n")
    assert.strictEqual(misuse("exec", "web", "--attach", "exec-1").message, "unexpected argument: web")
    assert.strictEqual(misuse("exec", "--attach", "exec-1", "-t").message, "--tty is given without a command")
    assert.strictEqual(misuse("exec", "--attach", "exec-1", "-d").message, "--detach and --attach exclude each other")
    assert.strictEqual(misuse("exec", "web", "-ix", "--", "ls").message, "unknown flag: -ix")
  })

  it("a positional in brackets may be left out", () => {
    assert.deepStrictEqual(command("events").words, ["events"])
    assert.deepStrictEqual(command("events", "-f", "web").words, ["events", "--follow", "true", '"web"'])
    assert.strictEqual(misuse("events", "a", "b").message, "unexpected argument: b")
    assert.strictEqual(misuse("why").message, "aegis why needs HANDLE_OR_ID")
    assert.strictEqual(misuse("audit", "verfy").remedy, "did you mean aegis audit verify?")
  })

  it("version and completions are answered without a daemon", () => {
    for (const word of ["version", "--version", "-v"])
      assert.deepStrictEqual(readCommandLine([word]), { _tag: "Version" })
    assert.deepStrictEqual(readCommandLine(["completions", "fish"]), { _tag: "Completions", shell: "fish" })
    assert.strictEqual(misuse("completions", "tcsh").message, "unknown shell: tcsh")
  })
})
