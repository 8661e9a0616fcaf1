/**
 * `aegis-mcp` as a process, with the SDK's own client, against the scripted daemon.
 */
import type { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { spawn } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Answer, asker, buildAgent, caller, refuser, until } from "./Agent.ts"

const { aegis, clean, connect, directory, newHome, program } = buildAgent()

/** Its sockets that wait for connections, of TCP or of a name: a web page must have nothing to talk to. */
const listening = (pid: number | undefined) => {
  const descriptors = `/proc/${pid}/fd`
  const own = new Set(readdirSync(descriptors).map((fd) => linkOf(path.join(descriptors, fd))))
  const ofTcp = ["tcp", "tcp6"].flatMap((kind) =>
    tableOf(`/proc/${pid}/net/${kind}`).flatMap(([, , , state, , , , , , inode]) => (state === "0A" ? [inode] : []))
  )
  const ofUnix = tableOf(`/proc/${pid}/net/unix`).flatMap(([, , , flags, , , inode]) =>
    flags === "00010000" ? [inode] : []
  )
  return [...ofTcp, ...ofUnix].filter((inode) => own.has(`socket:[${inode}]`))
}
const tableOf = (file: string) =>
  readFileSync(file, "utf8")
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
/** A descriptor may be closed while it is looked at. */
const linkOf = (file: string) => {
  try {
    return readlinkSync(file)
  } catch {
    return ""
  }
}

describe("the MCP server", () => {
  const home = newHome()
  let client: Client
  const ask = asker(() => client)
  const refusal = refuser(() => client)
  const states = async () => {
    const { instances } = await ask("instance_list")
    return (instances as ReadonlyArray<{ handle?: string; state: string }>).map(({ state }) => state)
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

  it("S-173 S-174 a secret is set, named, listed and deleted; no answer has its value, and no refusal", async () => {
    const value = "planted-4711"
    const answers: Array<unknown> = []
    const keep = <A>(answer: A): A => {
      answers.push(answer)
      return answer
    }
    assert.deepStrictEqual(keep(await ask("secret_list")), { secrets: [], more: false })
    const set = keep(await ask("secret_set", { name: "API_KEY", value }))
    assert.deepInclude(set["secret"] as object, { name: "API_KEY", version: 1 })
    const listed = keep(await ask("secret_list"))
    assert.deepStrictEqual(
      (listed["secrets"] as ReadonlyArray<{ name: string }>).map(({ name }) => name),
      ["API_KEY"]
    )
    // By name only, and none where none is named.
    for (const asked of [{ secrets: ["API_KEY", "API_KEY=OTHER", "*"] }, {}]) {
      const { instance } = keep(await ask("instance_start", { command: ["sleep"], ...asked }))
      const { id } = instance as { id: string }
      await until(async () => JSON.stringify(await ask("instance_info", { target: id })).includes('"running"'))
      keep(await ask("instance_info", { target: id }))
      const events = JSON.stringify(keep(await ask("events", { target: id })))
      assert.strictEqual(events.includes('"variable":"OTHER"'), "secrets" in asked)
      await ask("instance_delete", { target: id })
    }
    for (const wrong of [
      { name: "API_KEY", value: { value } },
      { name: "API_KEY", value: [value] },
      { name: "API_KEY", secret: value },
      { name: "1", value },
      { name: "AEGIS_X", value }
    ]) {
      assert.strictEqual(keep(await refusal("secret_set", wrong)).code, "InvalidArgument")
    }
    assert.deepInclude(await refusal("instance_start", { command: ["sleep"], secrets: ["a/b"] }), {
      code: "InvalidArgument"
    })
    assert.deepStrictEqual(keep(await ask("secret_delete", { name: "API_KEY" })), { deleted: "API_KEY" })
    assert.strictEqual(keep(await refusal("secret_delete", { name: "API_KEY" })).code, "SecretUnknown")
    assert.notInclude(JSON.stringify(answers), value)
    const { tools } = await client.listTools()
    assert.sameMembers(
      tools.map(({ name }) => name).filter((name) => name.startsWith("secret")),
      ["secret_set", "secret_list", "secret_delete"]
    )
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
    for (const workspace of ["../up", "", "a/b:ro"]) {
      assert.deepInclude(await refusal("run", { command: ["x"], workspace }), { code: "InvalidArgument" })
    }
    for (const asked of [{ workspace: "w:ro" }, { workspace: "w", workspace_read_only: true }]) {
      const { instance } = await ask("instance_start", { command: ["sleep"], ...asked })
      const { id } = instance as { id: string }
      await until(async () => JSON.stringify(await ask("instance_info", { target: id })).includes('"running"'))
      const { events } = await ask("events", { target: id })
      for (const word of ['"name":"w"', '"readOnly":true']) assert.include(JSON.stringify(events), word)
      await ask("instance_delete", { target: id })
    }
    assert.deepInclude(await refusal("run", { command: ["absent", "x"] }), { code: "CommandNotStarted" })
    const unknown = await client.callTool({ name: "frobnicate" }).catch((error: Error) => error.message)
    assert.include(String(unknown), "unknown tool: frobnicate")
  })

  it("S-189 what its network reaches is what was asked for, ports of this machine's loopback among it", async () => {
    const network = { network: "none", network_allow: ["Example.com:443"], network_deny: ["10.0.0.0/8"] }
    const { stdout } = await ask("run", { command: ["env"], ...network, allow_host: [5432, 8080] })
    assert.deepStrictEqual(JSON.parse((stdout as { text: string }).text).network, {
      profile: "none",
      allow: [{ _tag: "Name", name: "example.com", port: 443 }],
      deny: [{ _tag: "Range", range: "10.0.0.0/8" }],
      hostPorts: [5432, 8080],
      log: false
    })
    const { message } = await refusal("instance_start", { command: ["sleep"], allow_host: [0] })
    assert.include(message, "allow_host.0: a port is a whole number from 1 to 65535")
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

  it("S-011 S-189 T-177 garbage is no reason to leave, standard output holds frames alone, and the end of input ends it", async () => {
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
    assert.deepStrictEqual(listening(child.pid), [])
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
