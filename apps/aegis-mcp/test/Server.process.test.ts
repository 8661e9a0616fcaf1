/**
 * `aegis-mcp` as a process, with the SDK's own client, against the scripted daemon.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { buildSync } from "esbuild"
import { spawn } from "node:child_process"
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { buildProgram } from "../../aegis/test/scripted/Program.ts"

const { aegis, clean, directory, newHome, product } = buildProgram()
const program = path.join(product, "aegis-mcp")
buildSync({
  ...{ entryPoints: [path.join(import.meta.dirname, "../src/main.ts")], outfile: `${program}.cjs` },
  ...{ bundle: true, platform: "node", format: "cjs", target: "node20", logLevel: "error" },
  external: ["bufferutil", "utf-8-validate", "msgpackr-extract"]
})
writeFileSync(program, `#!/usr/bin/env node\nrequire("./aegis-mcp.cjs")\n`)
chmodSync(program, 0o755)

const connect = async (home: string) => {
  const client = new Client({ name: "test", version: "1" })
  const env = { PATH: process.env["PATH"] ?? "", AEGIS_HOME: home }
  await client.connect(new StdioClientTransport({ command: program, args: [], env, stderr: "pipe" }))
  // The client checks structured content against the schemas that it has listed.
  await client.listTools()
  return client
}

interface Answer {
  readonly isError?: boolean
  readonly content: ReadonlyArray<{ readonly text: string }>
  readonly structuredContent?: Record<string, unknown>
}

const caller =
  (client: () => Client) =>
  async (name: string, args: Record<string, unknown> = {}): Promise<Answer> =>
    (await client().callTool({ name, arguments: args })) as unknown as Answer

describe("the MCP server", () => {
  const home = newHome()
  let client: Client
  const call = caller(() => client)
  const ask = async (name: string, args: Record<string, unknown> = {}) => {
    const answer = await call(name, args)
    assert.isUndefined(answer.isError, JSON.stringify(answer))
    assert.deepStrictEqual(JSON.parse(answer.content[0]?.text ?? ""), answer.structuredContent)
    assert.isAtMost(Buffer.byteLength(JSON.stringify(answer.structuredContent)), 64 * 1024)
    return answer.structuredContent ?? {}
  }
  const refusal = async (name: string, args: Record<string, unknown> = {}) => {
    const answer = await call(name, args)
    assert.isTrue(answer.isError)
    return JSON.parse(answer.content[0]?.text ?? "").error as { code: string; message: string; remedy: string }
  }
  const states = async () => {
    const { instances } = await ask("instance_list")
    return (instances as ReadonlyArray<{ handle?: string; state: string }>).map(({ state }) => state)
  }
  const until = async (what: () => Promise<boolean>) => {
    while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  beforeAll(async () => {
    assert.strictEqual((await aegis(["up"], { home })).code, 0)
    client = await connect(home)
  }, 60_000)
  afterAll(async () => {
    await client?.close()
    await aegis(["down"], { home })
    clean()
  })

  it("S-189 lists its tools with schemas and annotations", async () => {
    const { tools } = await client.listTools()
    const hints = (name: string) => tools.find((tool) => tool.name === name)?.annotations
    assert.isAbove(tools.length, 14)
    for (const { annotations, inputSchema, outputSchema } of tools) {
      assert.deepStrictEqual([inputSchema.type, outputSchema?.type], ["object", "object"])
      assert.isBoolean(annotations?.readOnlyHint)
    }
    assert.deepInclude(hints("instance_delete"), { destructiveHint: true, readOnlyHint: false })
    assert.deepInclude(hints("logs"), { destructiveHint: false, readOnlyHint: true })
  })

  it("S-189 run gives output, exit code and progress, and leaves nothing", async () => {
    const told: Array<string> = []
    const answer = (await client.callTool({ name: "run", arguments: { command: ["print", "out", "err"] } }, undefined, {
      onprogress: ({ message }) => void told.push(message ?? "")
    })) as unknown as Answer
    assert.deepNestedInclude(answer.structuredContent ?? {}, {
      exit_code: 0,
      "stdout.text": "out",
      "stderr.text": "err",
      "stdout.truncated": false
    })
    assert.match(told.join("\n"), /is being made\nthe command runs/)
    assert.deepNestedInclude(await ask("run", { command: ["exit", "3"] }), { exit_code: 3 })
    assert.deepNestedInclude(await ask("run", { command: ["signal", "9"] }), { exit_code: 137 })
    assert.notProperty(await ask("run", { command: ["die"] }), "exit_code")
    assert.deepStrictEqual(await states(), [])
  })

  it("S-189 a flood of output is cut in its middle, with a word on how to read all of it", async () => {
    const { note, stdout } = await ask("run", { command: ["flood", String(8 * 1024 * 1024)] })
    assert.deepInclude(stdout as object, { bytes: 8 * 1024 * 1024, truncated: true })
    assert.include((stdout as { text: string }).text, "left out ...]")
    assert.include(note as string, "named workspace")
  })

  it("S-189 cancelling run ends and removes its instance", async () => {
    const abort = new AbortController()
    const running = client
      .callTool({ name: "run", arguments: { command: ["sleep"] } }, undefined, { signal: abort.signal })
      .catch(() => "cancelled")
    await until(async () => (await states()).length === 1)
    abort.abort()
    assert.strictEqual(await running, "cancelled")
    await until(async () => (await states()).length === 0)
  })

  it("S-189 an instance is started, shown, paused, resumed, stopped, started again and deleted", async () => {
    const state = async () => ((await ask("instance_info", { target: "web" }))["instance"] as { state: string }).state
    await ask("instance_start", { command: ["sleep"], handle: "Web", env: { TOKEN: "s3cret" } })
    await until(async () => (await state()) === "running")
    await ask("instance_pause", { target: "web" })
    assert.strictEqual(await state(), "paused")
    assert.deepInclude(await refusal("instance_pause", { target: "web" }), { code: "StateConflict" })
    await ask("instance_resume", { target: "web" })
    await ask("instance_stop", { target: "web", grace_seconds: 1 })
    assert.strictEqual(await state(), "stopped")
    assert.deepInclude(await ask("instance_start", { command: ["sleep"], handle: "web" }), { restarted: true })
    assert.match(JSON.stringify(await ask("why", { target: "web" })), /web is/)
    const { events, more } = await ask("events", { target: "web" })
    assert.isFalse(more)
    assert.isNotEmpty(events)
    assert.deepStrictEqual(await ask("instance_delete", { target: "web" }), { deleted: "web" })
    assert.deepInclude(await refusal("instance_info", { target: "web" }), {
      code: "NotFound",
      message: 'instance "web" not found',
      remedy: "aegis instance list shows what there is"
    })
  })

  it("S-189 the longest command does not make a list longer than its limit", async () => {
    const long = Array.from({ length: 300 }, (_, at) => `${at}\u0001${"x".repeat(2000)}`)
    for (let n = 0; n < 4; n++) await ask("instance_start", { command: ["sleep", ...long], handle: `long${n}` })
    const handles: Array<string> = []
    for (let after: unknown, first = true; first || after !== undefined; first = false) {
      const told = await ask("instance_list", after === undefined ? {} : { after })
      for (const { handle } of told["instances"] as ReadonlyArray<{ handle: string }>) handles.push(handle)
      after = told["next"]
    }
    assert.deepStrictEqual(handles, ["long0", "long1", "long2", "long3"])
    await ask("events", { target: "long0" })
    for (const target of handles) await ask("instance_delete", { target })
  })

  it("S-189 a long log comes in pages", async () => {
    await ask("instance_start", { command: ["chatter", "5000"], handle: "chatter" })
    const { entries, more } = await ask("logs", { target: "chatter", tail: 100_000 })
    assert.isTrue(more)
    assert.isAtMost((entries as ReadonlyArray<unknown>).length, 1000)
    const few = await ask("logs", { target: "chatter", tail: 2 })
    assert.deepInclude(few, { more: false, next: 1_000_000_000 })
    await ask("instance_delete", { target: "chatter" })
  })

  it("S-189 a workspace's tree comes in pages and follows no link", async () => {
    const root = path.join(home, "data/workspaces/notes")
    mkdirSync(path.join(root, "sub/deep"), { recursive: true })
    writeFileSync(path.join(root, "a.txt"), "12345")
    writeFileSync(path.join(root, "sub/deep/b.txt"), "1")
    symlinkSync("/etc", path.join(root, "etc"))
    for (let n = 0; n < 1200; n++) writeFileSync(path.join(root, "sub", `f${String(n).padStart(4, "0")}`), "")
    const paths: Array<string> = []
    const kinds = new Map<string, unknown>()
    let after: unknown
    do {
      const told = await ask("workspace_tree", { workspace: "notes", ...(after === undefined ? {} : { after }) })
      for (const entry of told["entries"] as ReadonlyArray<{ path: string }>) {
        paths.push(entry.path)
        kinds.set(entry.path, entry)
      }
      after = told["next"]
    } while (after !== undefined)
    assert.strictEqual(paths.length, 1205)
    assert.strictEqual(new Set(paths).size, paths.length)
    assert.deepStrictEqual(kinds.get("a.txt"), { path: "a.txt", kind: "file", size: 5 })
    assert.deepStrictEqual(kinds.get("etc"), { path: "etc", kind: "symlink" })
    assert.isTrue(kinds.has("sub/deep/b.txt"))
    symlinkSync("/etc", path.join(home, "data/workspaces/outside"))
    assert.deepInclude(await refusal("workspace_tree", { workspace: "outside" }), { code: "WorkspaceRefused" })
    assert.deepInclude(await refusal("workspace_tree", { workspace: "../x" }), { code: "InvalidArgument" })
    assert.deepInclude(await refusal("workspace_tree"), { code: "InvalidArgument" })
  })

  it("S-189 images and root file systems are listed and pulled", async () => {
    assert.property(await ask("image_list"), "total_bytes")
    const { variants } = await ask("rootfs_list")
    assert.deepInclude(variants as ReadonlyArray<unknown>, {
      variant: "debian-python",
      about: "Debian and Python 3, assembled on this machine by mmdebstrap",
      active: true
    })
    const { image } = await ask("image_pull", { image: "pulled:1" })
    assert.strictEqual((image as { _tag: string })._tag, "Pulled")
  })

  it("S-189 arguments that do not fit, and unknown tools, are said", async () => {
    const { code, message } = await refusal("run", { command: [], memory_mb: 1, nonsense: true })
    assert.strictEqual(code, "InvalidArgument")
    for (const word of ["command", "memory_mb", "nonsense"]) assert.include(message, word)
    assert.deepInclude(await refusal("run", { command: ["x"], workspace: "../up" }), { code: "InvalidArgument" })
    assert.deepInclude(await refusal("run", { command: ["absent", "x"] }), { code: "CommandNotStarted" })
    const unknown = await client.callTool({ name: "frobnicate" }).catch((error: Error) => error.message)
    assert.include(String(unknown), "unknown tool: frobnicate")
  })

  it("S-189 without a daemon calls fail with the remedy, and find it when it comes", async () => {
    const other = newHome()
    const lonely = await connect(other)
    const answer = await caller(() => lonely)("instance_list")
    assert.deepStrictEqual(JSON.parse(answer.content[0]?.text ?? ""), {
      error: { code: "DaemonUnreachable", message: "aegisd is not running. Run 'aegis up' first.", remedy: "aegis up" }
    })
    await aegis(["up"], { home: other })
    assert.isUndefined((await caller(() => lonely)("instance_list")).isError)
    await aegis(["down"], { home: other })
    assert.isTrue((await caller(() => lonely)("instance_list")).isError)
    await lonely.close()
  })

  it("S-011 S-189 garbage is no reason to leave, standard output holds frames alone, and the end of input ends it", async () => {
    const link = path.join(directory, "linked-mcp")
    symlinkSync(program, link)
    const child = spawn(link, [], { env: { PATH: process.env["PATH"], AEGIS_HOME: home } })
    let out = ""
    child.stdout.on("data", (bytes: Buffer) => (out += bytes.toString()))
    const ended = new Promise((resolve) => child.once("close", resolve))
    const send = (message: object) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)
    child.stdin.write(Buffer.from('no json\n\n[]\n{"jsonrpc":"1.0"}\n\xff\x00\n', "latin1"))
    const params = { protocolVersion: "2024-11-05", capabilities: {}, clientInfo: { name: "raw", version: "1" } }
    send({ id: 1, method: "initialize", params })
    send({ method: "notifications/initialized" })
    send({ id: 2, method: "no/such" })
    send({ id: 3, method: "tools/call", params: { name: "instance_list", arguments: {} } })
    await until(async () => out.includes('"id":3'))
    // A call that runs does not keep it, and its instance goes with it.
    send({ id: 4, method: "tools/call", params: { name: "run", arguments: { command: ["sleep"] } } })
    await until(async () => (await states()).length === 1)
    child.stdin.end()
    assert.strictEqual(await ended, 0)
    await until(async () => (await states()).length === 0)
    const frames = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { id: number; result?: { protocolVersion: string } })
    assert.deepStrictEqual(frames.map(({ id }) => id).sort(), [1, 2, 3])
    assert.strictEqual(frames.find(({ id }) => id === 1)?.result?.protocolVersion, "2024-11-05")
  })
})
