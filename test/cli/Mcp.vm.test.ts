/**
 * An agent's session with `aegis-mcp`: the SDK's client, the program of dist/, the real daemon and real guests.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { randomBytes } from "node:crypto"
import { existsSync, readFileSync, symlinkSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { dist, Product, until } from "../product/Product.ts"

interface Answer {
  readonly isError?: boolean
  readonly content: ReadonlyArray<{ readonly text: string }>
  readonly structuredContent?: Record<string, unknown>
}

describe("an agent", () => {
  let product: Product
  let client: Client
  const call = async (name: string, args: Record<string, unknown> = {}, signal?: AbortSignal) =>
    (await client.callTool({ name, arguments: args }, undefined, {
      timeout: 150_000,
      ...(signal === undefined ? {} : { signal })
    })) as unknown as Answer
  const ask = async (name: string, args: Record<string, unknown> = {}) => {
    const answer = await call(name, args)
    assert.isUndefined(answer.isError, JSON.stringify(answer))
    return answer.structuredContent ?? {}
  }
  /** Whether a process of the instance `box` has the word among its arguments. */
  const isThere = async (word: string) => {
    const command = ["sh", "-c", `grep -las ${word.replace(/^./, "[$&]")} /proc/[0-9]*/cmdline`]
    return (await ask("exec", { target: "box", command }))["exit_code"] === 0
  }
  const gone = (word: string) => until(`${word} is gone`, async () => !(await isThere(word)), 30)
  const instances = async () => (await ask("instance_list"))["instances"] as ReadonlyArray<{ state: string }>

  beforeAll(async () => {
    product = await Product.make()
    // As it stands on a person's PATH.
    const program = path.join(product.home, "linked-mcp")
    symlinkSync(path.join(dist, "aegis-mcp"), program)
    client = new Client({ name: "agent", version: "1" })
    const env = { PATH: process.env["PATH"] ?? "", ...product.env }
    await client.connect(new StdioClientTransport({ command: program, args: [], env }))
    await client.listTools()
  })
  afterAll(async () => {
    await client?.close()
    await product?.remove()
  })

  it("S-011 the programs lie beside each other", () => {
    for (const name of ["aegis", "aegisd", "aegis-mcp"]) {
      assert.isTrue(existsSync(path.join(dist, name)), name)
    }
  })

  it("S-189 is told to start the daemon where there is none", async () => {
    const answer = await call("run", { command: ["true"] })
    assert.isTrue(answer.isError)
    assert.strictEqual(JSON.parse(answer.content[0]?.text ?? "").error.remedy, "aegis up")
    const up = await product.run(["up"])
    assert.strictEqual(up.code, 0, up.stderr)
  })

  it("S-189 runs Python in a fresh sandbox, reads its output, and finds the file that it wrote", async () => {
    const script =
      "import os, sys; print(6 * 7); print('warned', file=sys.stderr); open('/workspace/answer', 'w').write('42')"
    const ran = await ask("run", { command: ["python3", "-c", script], workspace: "agent" })
    assert.deepNestedInclude(ran, { exit_code: 0, "stdout.text": "42\n", "stderr.text": "warned\n" })
    assert.deepStrictEqual((await ask("workspace_tree", { workspace: "agent" }))["entries"], [
      { path: "answer", kind: "file", size: 2 }
    ])
    assert.deepStrictEqual(await instances(), [])
  })

  it("S-173 S-174 T-131 T-305 a guest has a secret only where it is named; what it prints of it is shown, and SECRETS.md says so", async () => {
    const value = `planted-${randomBytes(12).toString("hex")}`
    await ask("secret_set", { name: "TOKEN", value })
    const print = ["sh", "-c", 'printf "<%s>" "$TOKEN$OTHER"']
    const without = await ask("run", { command: print, memory_mb: 64 })
    assert.deepNestedInclude(without, { "stdout.text": "<>" })
    const given = await ask("run", { command: print, memory_mb: 64, secrets: ["TOKEN=OTHER"] })
    assert.deepNestedInclude(given, { "stdout.text": `<${value}>` })
    const documented = readFileSync(path.join(dist, "../docs/SECRETS.md"), "utf8")
    assert.match(documented, /What a guest prints.*in clear\. Nothing is masked/)
    assert.notInclude(JSON.stringify([await ask("secret_list"), await ask("events")]), value)
    await ask("secret_delete", { name: "TOKEN" })
    const unknown = await call("run", { command: print, secrets: ["TOKEN"] })
    assert.strictEqual(JSON.parse(unknown.content[0]?.text ?? "").error.code, "SecretUnknown")
  })

  it("S-189 starts an instance, pages through its log with each line once, and deletes it", async () => {
    await ask("instance_start", { command: ["sh", "-c", "seq 3000; exec sleep 1000"], handle: "worker" })
    await until(
      "the log is whole",
      async () => JSON.stringify(await ask("logs", { target: "worker", tail: 1 })).includes('"line":"3000"'),
      150
    )
    const seen: Array<string> = []
    for (let after = 0, more = true; more;) {
      const told = await ask("logs", { target: "worker", after })
      const entries = told["entries"] as ReadonlyArray<{ line: string; source: string }>
      for (const { line, source } of entries) if (source === "server") seen.push(line)
      after = told["next"] as number
      more = told["more"] as boolean
    }
    assert.deepStrictEqual(
      seen,
      Array.from({ length: 3000 }, (_, at) => String(at + 1))
    )
    assert.strictEqual(
      ((await ask("instance_info", { target: "worker" }))["instance"] as { state: string }).state,
      "running"
    )
    await ask("instance_delete", { target: "worker" })
    assert.deepStrictEqual(await instances(), [])
  })

  it("S-147 S-155 S-156 runs commands in an instance: input, environment, user, directory, time limit, exit code", async () => {
    await ask("instance_start", { command: ["sleep", "10000"], handle: "box", memory_mb: 128 })
    const exec = (script: string, more: Record<string, unknown> = {}) =>
      ask("exec", { target: "box", command: ["sh", "-c", script], ...more })
    const asked = { env: { WORD: "a b" }, workdir: "/tmp", user: { uid: 1000, gid: 100 }, stdin: "from here\n" }
    const told = await exec('cat; echo "$WORD" "$(pwd)" "$(id -u):$(id -g)"; echo oops >&2; exit 7', asked)
    assert.deepNestedInclude(told, {
      exit_code: 7,
      "stdout.text": "from here\na b /tmp 1000:100\n",
      "stderr.text": "oops\n"
    })
    const late = await exec("echo begun; exec sleep 4711", { timeout_seconds: 1 })
    assert.deepNestedInclude(late, { timed_out: true, "stdout.text": "begun\n" })
    await gone("4711")
    const long = await exec("seq 1 10000")
    assert.deepInclude(long["stdout"] as object, { truncated: true })
    const lines: Array<string> = []
    for (let after: unknown = 0, more: unknown = true; more === true;) {
      const page = await ask("logs", { target: "box", exec: long["exec_id"], after })
      for (const { line } of page["entries"] as ReadonlyArray<{ line: string }>) lines.push(line)
      after = page["next"]
      more = page["more"]
    }
    assert.deepStrictEqual([lines.length, lines[0], lines.at(-1)], [10_000, "1", "10000"])
  })

  it("T-16 an exec that is cancelled is gone in the guest, and tells until then that it runs", async () => {
    const abort = new AbortController()
    const progress: Array<string> = []
    const running = client
      .callTool(
        {
          name: "exec",
          arguments: { target: "box", command: ["sh", "-c", "sleep 4712 & trap '' HUP TERM; sleep 4713"] }
        },
        undefined,
        { signal: abort.signal, timeout: 150_000, onprogress: ({ message }) => void progress.push(message ?? "") }
      )
      .catch(() => "cancelled")
    await until("it has told twice", () => /runs for 5 s[^]*runs for 10 s/.test(progress.join("\n")), 60)
    assert.isTrue(await isThere("4713"))
    abort.abort()
    assert.strictEqual(await running, "cancelled")
    await gone("4713")
    await gone("4712")
  })

  it("S-189 writes files in a guest and reads them back, bytes as they were", async () => {
    const file = (name: string, path: string, more: Record<string, unknown> = {}) =>
      ask(name, { target: "box", path, ...more })
    const bytes = randomBytes(300 * 1024)
    const made = { base64: bytes.toString("base64"), how: "create", mode: "750" }
    await file("file_write", "/tmp/new/dir/data", made)
    await file("file_write", "/tmp/new/dir/data", { text: "zażółć\n", how: "append" })
    const pieces: Array<Buffer> = []
    for (let offset: unknown = 0; offset !== undefined;) {
      const { base64, next, size, text } = await file("file_read", "/tmp/new/dir/data", { offset, limit: 60_000 })
      assert.strictEqual(size, bytes.length + 11)
      pieces.push(text === undefined ? Buffer.from(String(base64), "base64") : Buffer.from(String(text)))
      offset = next
    }
    assert.strictEqual(Buffer.compare(Buffer.concat(pieces), Buffer.concat([bytes, Buffer.from("zażółć\n")])), 0)
    const stat = await ask("exec", { target: "box", command: ["stat", "-c", "%a %u %s", "/tmp/new/dir/data"] })
    assert.deepNestedInclude(stat, { "stdout.text": `750 0 ${bytes.length + 11}\n` })
    await file("file_write", "/tmp/run.sh", { text: "#!/bin/sh\necho it runs\n", mode: "755" })
    assert.deepNestedInclude(await ask("exec", { target: "box", command: ["/tmp/run.sh"] }), {
      "stdout.text": "it runs\n"
    })
    assert.match(String((await file("file_read", "/proc/version"))["text"]), /^Linux version/)
    for (const [name, args, code] of [
      ["file_read", { path: "/nowhere" }, "FileNotFound"],
      ["file_read", { path: "/tmp/new" }, "FileRefused"],
      ["file_read", { path: "/dev/zero" }, "FileRefused"],
      ["file_write", { path: "/tmp/run.sh", text: "", how: "create" }, "FileRefused"],
      ["file_write", { path: "/proc/version", text: "" }, "FileRefused"]
    ] as const) {
      const answer = await call(name, { target: "box", ...args })
      assert.strictEqual(JSON.parse(answer.content[0]?.text ?? "").error?.code, code, `${name} ${args.path}`)
    }
  })

  it("S-152 an agent's doing is told as its tool's", async () => {
    await ask("instance_pause", { target: "box" })
    await ask("exec", { target: "box", command: ["true"] })
    const why = await product.says("why", "box")
    for (const words of [
      /An MCP client \(tool instance_start\) created it to run sleep 10000\./,
      /An MCP client \(tool instance_pause\) paused it\./,
      /An MCP client \(tool exec\) resumed it\./
    ]) {
      assert.match(why, words)
    }
    assert.match(await product.says("events", "box"), /paused \(MCP tool instance_pause\)/)
    await product.run(["instance", "pause", "box"])
    assert.match(await product.says("why", "box"), /box \(inst-\d+\) is paused by aegis instance pause\./)
    await ask("instance_delete", { target: "box" })
  })

  it("S-189 a call that is cancelled leaves nothing of its machine", async () => {
    const abort = new AbortController()
    const running = call("run", { command: ["sleep", "1000"] }, abort.signal).catch(() => "cancelled")
    await until("it runs", async () => (await instances()).some(({ state }) => state === "running"), 150)
    abort.abort()
    assert.strictEqual(await running, "cancelled")
    await until("it is gone", async () => (await instances()).length === 0 && (await product.left()).length === 0)
  })
})
