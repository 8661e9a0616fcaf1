/**
 * `aegis mcp`, with a stand-in for Claude Code that writes down what it is called with.
 */
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "vitest"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import * as path from "node:path"
import { buildProgram } from "./scripted/Program.ts"

const { aegis, clean, directory, newHome, product } = buildProgram()
const binary = path.join(product, "aegis-mcp")
const home = newHome()

const executable = (file: string, text: string) => {
  writeFileSync(file, `#!/bin/sh\n${text}\n`)
  chmodSync(file, 0o755)
}

/** A PATH with this `claude` alone on it, beside node. */
const withClaude = (text: string) => {
  const folder = mkdtempSync(path.join(directory, "bin-"))
  executable(path.join(folder, "claude"), text)
  return `${folder}:${path.dirname(process.execPath)}:/usr/bin:/bin`
}

const noClaude = `${path.dirname(process.execPath)}:/usr/bin:/bin`

describe("aegis mcp", () => {
  let cwd = ""
  const mcp = async (PATH: string, ...argv: ReadonlyArray<string>) => {
    const ran = await aegis(["mcp", ...argv], { home, cwd, env: { PATH } })
    return { ...ran, stdout: ran.stdout.toString() }
  }
  const argvOf = () => readFileSync(path.join(cwd, "argv"), "utf8").trimEnd().split("\n")
  const recording = withClaude(`printf '%s\\n' "$@" > argv; echo noise`)

  beforeAll(() => executable(binary, "exit 0"))
  beforeEach(() => {
    cwd = mkdtempSync(path.join(directory, "cwd-"))
  })
  afterAll(clean)

  it("S-182 S-183 S-185 S-186 S-188 install registers with Claude Code for the user, without a daemon", async () => {
    const { code, stderr, stdout } = await mcp(recording, "install")
    assert.deepStrictEqual(
      [code, stdout, stderr],
      [0, `aegis MCP server registered in Claude Code\n  binary: ${binary}\n  scope:  user\n`, ""]
    )
    assert.deepStrictEqual(argvOf(), ["mcp", "add", "--transport", "stdio", "--scope", "user", "aegis", "--", binary])
    assert.isFalse(existsSync(path.join(cwd, ".mcp.json")))
  })

  it("S-184 --project registers for the project", async () => {
    const { code, stdout } = await mcp(recording, "install", "--project")
    assert.deepStrictEqual([code, stdout.endsWith("  scope:  project\n")], [0, true])
    assert.include(argvOf().join(" "), "--scope project aegis")
  })

  it("S-187 uninstall removes it", async () => {
    const { code, stdout } = await mcp(recording, "uninstall")
    assert.deepStrictEqual([code, stdout], [0, "aegis MCP server removed from Claude Code\n"])
    assert.deepStrictEqual(argvOf(), ["mcp", "remove", "aegis"])
  })

  it("S-186 what Claude Code refuses is said in its words, exit 1", async () => {
    const refusing = withClaude("echo 'MCP server aegis already exists' >&2; exit 3")
    const { code, stderr, stdout } = await mcp(refusing, "install")
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.include(stderr, "error: MCP server aegis already exists\n")
  })

  it("S-186 without Claude Code the configuration is printed, exit 1", async () => {
    const { code, stderr, stdout } = await mcp(noClaude, "install")
    assert.strictEqual(code, 1)
    assert.deepStrictEqual(JSON.parse(stdout), {
      mcpServers: { aegis: { type: "stdio", command: binary, args: [] } }
    })
    assert.include(stderr, "claude was not found")
    assert.deepStrictEqual(readdirSync(cwd), [])
  })

  it("S-186 without aegis-mcp nothing is registered, exit 1", async () => {
    rmSync(binary)
    const { code, stderr } = await mcp(recording, "install")
    executable(binary, "exit 0")
    assert.strictEqual(code, 1)
    assert.include(stderr, `aegis-mcp binary not found at ${binary}`)
    assert.isFalse(existsSync(path.join(cwd, "argv")))
  })

  it("S-186 aegis-mcp is also found on PATH", async () => {
    rmSync(binary)
    const elsewhere = mkdtempSync(path.join(directory, "elsewhere-"))
    executable(path.join(elsewhere, "aegis-mcp"), "exit 0")
    const { stdout } = await mcp(`${elsewhere}:${recording}`, "install")
    executable(binary, "exit 0")
    assert.include(stdout, `  binary: ${elsewhere}/aegis-mcp\n`)
  })

  it("S-184 without Claude Code --project writes .mcp.json, keeps what is there, and uninstall takes only ours out", async () => {
    const file = path.join(cwd, ".mcp.json")
    const before = { $comment: "ours", mcpServers: { other: { command: "x", env: { A: "1" } } } }
    writeFileSync(file, JSON.stringify(before))
    chmodSync(file, 0o600)
    for (const _ of [1, 2]) assert.strictEqual((await mcp(noClaude, "install", "--project")).code, 0)
    const entry = { type: "stdio", command: binary, args: [] }
    assert.deepStrictEqual(JSON.parse(readFileSync(file, "utf8")), {
      ...before,
      mcpServers: { ...before.mcpServers, aegis: entry }
    })
    assert.deepStrictEqual(readdirSync(cwd), [".mcp.json"])
    assert.strictEqual((await mcp(noClaude, "uninstall")).stdout, `aegis MCP server removed from ${file}\n`)
    assert.deepStrictEqual(JSON.parse(readFileSync(file, "utf8")), before)
    assert.strictEqual((await mcp(noClaude, "uninstall")).code, 1)
  })

  it("S-184 a .mcp.json that cannot be understood is left as it is", async () => {
    const file = path.join(cwd, ".mcp.json")
    for (const text of ["{", "[1]", '{"mcpServers": 3}']) {
      writeFileSync(file, text)
      const { code, stderr } = await mcp(noClaude, "install", "--project")
      assert.strictEqual(code, 1, text)
      assert.include(stderr, "it is no JSON object with mcpServers")
      assert.strictEqual(readFileSync(file, "utf8"), text)
    }
  })

  it("S-184 a directory that cannot be written to is said, exit 1", async () => {
    mkdirSync(path.join(cwd, ".mcp.json"))
    const { code, stderr } = await mcp(noClaude, "install", "--project")
    assert.strictEqual(code, 1)
    assert.include(stderr, ".mcp.json")
  })

  it("S-007 an unknown command of the group is refused", async () => {
    const { code, stderr } = await mcp(noClaude, "frob")
    assert.strictEqual(code, 2)
    assert.include(stderr, "unknown mcp command: frob")
  })
})
