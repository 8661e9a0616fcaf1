/**
 * `aegis secret` as a process, against the scripted daemon.
 */
import { execFileSync, spawn } from "node:child_process"
import { readFileSync, truncateSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { buildProgram } from "./scripted/Program.ts"

const { aegis, clean, newHome, program } = buildProgram()
const home = newHome()

/** What arrived at the daemon last, as `[name, value]`. */
const arrived = (count = 1): ReadonlyArray<unknown> =>
  readFileSync(path.join(home, "secrets.log"), "utf8")
    .trim()
    .split("\n")
    .slice(-count)
    .map((line): unknown => JSON.parse(line))

const run = async (argv: ReadonlyArray<string>, input?: string | Buffer) => {
  const { code, stderr, stdout } = await aegis(["secret", ...argv], {
    home,
    ...(input === undefined ? {} : { input: Buffer.from(input) })
  })
  return { code, stderr, stdout: stdout.toString() }
}

const done = (stdout: string) => ({ code: 0, stderr: "", stdout })

beforeAll(async () => {
  const up = await aegis(["up"], { home })
  assert.strictEqual(up.code, 0, up.stderr)
}, 60_000)
afterAll(async () => {
  await aegis(["down"], { home })
  clean()
})

describe("aegis secret", { timeout: 120_000 }, () => {
  it("S-176 S-177 S-178 set, list and delete print what the reference shows", async () => {
    assert.deepStrictEqual(await run(["list"]), done("No secrets\n"))
    assert.deepStrictEqual(await run(["set", "DB_PASSWORD", "a=b c"]), done("Secret DB_PASSWORD set\n"))
    assert.deepStrictEqual(await run(["set", "API_KEY", "sk-test123"]), done("Secret API_KEY set\n"))
    assert.deepStrictEqual(arrived(2), [
      ["DB_PASSWORD", "a=b c"],
      ["API_KEY", "sk-test123"]
    ])
    assert.deepStrictEqual(await run(["list"]), done("Secrets:\n  API_KEY\n  DB_PASSWORD\n"))
    assert.deepStrictEqual(await run(["export", "--names"]), done("API_KEY\nDB_PASSWORD\n"))
    assert.deepStrictEqual(await run(["delete", "DB_PASSWORD"]), done("Secret DB_PASSWORD deleted\n"))
    const unknown = await run(["delete", "DB_PASSWORD"])
    assert.deepStrictEqual([unknown.code, unknown.stdout], [1, ""])
    assert.match(unknown.stderr, /^error: secret "DB_PASSWORD" not found\n {2}try: aegis secret set DB_PASSWORD/)
  })

  it("T-119 without a value, or with -, it is read from standard input, less one newline", async () => {
    for (const [input, value] of [
      ["one\n", "one"],
      ["one", "one"],
      ["one\r\n", "one"],
      ["a\nb\n\n", "a\nb\n"],
      [" ä \u{1f511}", " ä \u{1f511}"]
    ] as const) {
      assert.deepStrictEqual(await run(["set", "K"], input), done("Secret K set\n"))
      assert.deepStrictEqual(arrived(), [["K", value]])
    }
    await run(["set", "K", "-"], "dash\n")
    assert.deepStrictEqual(arrived(), [["K", "dash"]])
    const bytes = await run(["set", "K"], Buffer.from([0x70, 0xff, 0x70]))
    assert.deepStrictEqual([bytes.code, bytes.stdout], [2, ""])
    assert.include(bytes.stderr, "standard input is not UTF-8 text")
  })

  /** On a terminal of its own; `type` says what is typed when the question is there. */
  const onTerminal = (type: string) =>
    new Promise<{ readonly code: number | null; readonly shown: string }>((resolve) => {
      const child = spawn("script", ["-qefc", `'${program}' secret set TYPED`, "/dev/null"], {
        env: { PATH: process.env["PATH"], AEGIS_HOME: home, TERM: "xterm" }
      })
      let shown = ""
      let asked = false
      child.stdout.on("data", (bytes: Buffer) => {
        shown += bytes.toString()
        if (asked || !shown.includes("(not shown): ")) return
        asked = true
        child.stdin.write(type)
      })
      child.on("close", (code) => resolve({ code, shown }))
    })

  it("on a terminal it is asked for and not shown; Backspace corrects, Ctrl+C ends it", async () => {
    const { code, shown } = await onTerminal("plantex\u007fd\r")
    assert.strictEqual(code, 0, shown)
    assert.include(shown, "Value of TYPED (not shown): ")
    assert.include(shown, "Secret TYPED set")
    assert.notInclude(shown, "plant")
    assert.deepStrictEqual(arrived(), [["TYPED", "planted"]])
    const ended = await onTerminal("plant\u0003")
    assert.strictEqual(ended.code, 130, ended.shown)
    assert.deepStrictEqual(arrived(), [["TYPED", "planted"]])
  })

  it("import stores what a .env file has, all at once, and names what cannot be a name", async () => {
    const file = path.join(home, "app.env")
    writeFileSync(file, "# comment\nA=one\nexport B=\"two\nlines\" # more\n\nC='x = y'\n")
    assert.deepStrictEqual(await run(["import", file]), done("Secret A set\nSecret B set\nSecret C set\n"))
    assert.deepStrictEqual(arrived(3), [
      ["A", "one"],
      ["B", "two\nlines"],
      ["C", "x = y"]
    ])
    assert.deepStrictEqual(await run(["import", "-"], "D=4\n"), done("Secret D set\n"))
    for (const [text, reason] of [
      ["", "there is no variable in it"],
      ["AEGIS_X=planted\n", "invalid KEY: AEGIS_X"],
      ["OK=1\nNOT-OK=planted\n", "invalid KEY: NOT-OK"]
    ] as const) {
      const refused = await run(["import", "-"], text)
      assert.strictEqual(refused.code, 2)
      assert.include(refused.stderr, reason)
      assert.notInclude(refused.stderr, "planted")
    }
    assert.deepStrictEqual(arrived(), [["D", "4"]])
    assert.include((await run(["import", "/no/such"])).stderr, "cannot read /no/such")
  })

  it("T-148 import reads no FIFO, device, directory or endless file, and waits for none", async () => {
    const fifo = path.join(home, "fifo")
    const sparse = path.join(home, "sparse")
    execFileSync("mkfifo", [fifo])
    writeFileSync(sparse, "")
    truncateSync(sparse, 20 * 1024 ** 3)
    for (const [file, reason] of [
      [fifo, "it is no regular file"],
      ["/dev/zero", "it is no regular file"],
      [home, "it is no regular file"],
      [sparse, "has more than 16777216 bytes"],
      ["/proc/self/cmdline", "there is no variable in it"]
    ] as const) {
      const refused = await run(["import", file])
      assert.strictEqual(refused.code, 2, file)
      assert.include(refused.stderr, reason)
    }
  })

  it("D-17 --json is one document each; export without --names, and a bad name, are usage errors", async () => {
    const document = async (...argv: ReadonlyArray<string>): Promise<unknown> =>
      JSON.parse((await run([...argv, "--json"])).stdout)
    await run(["import", "-"], "ONLY=1\n")
    const found = await document("set", "ONLY", "2")
    assert.deepStrictEqual(found, { name: "ONLY", version: 2, created_at: "2026-02-19T10:30:00Z" })
    assert.deepInclude((await document("list")) as ReadonlyArray<unknown>, found)
    assert.include((await document("export", "--names")) as ReadonlyArray<string>, "ONLY")
    assert.deepStrictEqual(await document("delete", "ONLY"), { deleted: "ONLY" })
    assert.isNumber(((await document("rotate-key")) as { secrets: number }).secrets)
    assert.match((await run(["rotate-key"])).stdout, /^Key rotated, \d+ secrets encrypted anew\n$/)
    for (const argv of [["export"], ["set", "A-B", "v"], ["set", ""], ["set"], ["delete"], ["import"]]) {
      const refused = await run(argv)
      assert.deepStrictEqual([refused.code, refused.stdout], [2, ""], argv.join(" "))
      assert.match(refused.stderr, /^error: .*\n {2}try: /, argv.join(" "))
    }
  })
})
