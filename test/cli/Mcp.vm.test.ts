/**
 * An agent's session with `aegis-mcp`: the SDK's client, the program of dist/, the real daemon and real guests.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { existsSync, symlinkSync } from "node:fs"
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

  it("S-189 a call that is cancelled leaves nothing of its machine", async () => {
    const abort = new AbortController()
    const running = call("run", { command: ["sleep", "1000"] }, abort.signal).catch(() => "cancelled")
    await until("it runs", async () => (await instances()).some(({ state }) => state === "running"), 150)
    abort.abort()
    assert.strictEqual(await running, "cancelled")
    await until("it is gone", async () => (await instances()).length === 0 && (await product.left()).length === 0)
  })
})
