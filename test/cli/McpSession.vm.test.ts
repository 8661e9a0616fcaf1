/**
 * A session of an agent, recorded in docs/MCP.md: Python in a fresh sandbox from an image, a file that it wrote, and nothing left.
 * `AEGIS_UPDATE_DOCS=1 npx vitest run --project vm test/cli/McpSession.vm.test.ts` writes it anew.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { plainLayout, tool } from "../product/ImageRegistry.ts"
import { buildCache, dist, Product, until } from "../product/Product.ts"

const document = path.resolve(import.meta.dirname, "../../docs/MCP.md")
const block = /(?<=\n## A session\n[^#]*?\n```text\n)[^]*?(?=\n```\n)/

interface Answer {
  readonly isError?: boolean
  readonly content: ReadonlyArray<{ readonly text: string }>
  readonly structuredContent?: Record<string, unknown>
}

describe("an agent's session", () => {
  const scratch = mkdtempSync(path.join(tmpdir(), "aegis-session-"))
  const layout = path.join(scratch, "python")
  const recorded: Array<string> = []
  let product: Product
  let client: Client

  /** What differs from one run to the next is named by what it is. */
  const same = (text: string) =>
    text
      .replaceAll(layout, "/images/python")
      .replaceAll(product.home, "/home/me/.aegis")
      .replaceAll(/inst-\d+/g, "inst-N")
      .replaceAll(/exec-[0-9a-f]{16}/g, "exec-N")
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
      .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:PORT")

  const ask = async (name: string, args: Record<string, unknown> = {}) => {
    const answer = (await client.callTool({ name, arguments: args }, undefined, {
      timeout: 150_000
    })) as unknown as Answer
    assert.isUndefined(answer.isError, JSON.stringify(answer))
    return answer.structuredContent ?? {}
  }
  const say = async (name: string, args: Record<string, unknown> = {}) => {
    const told = await ask(name, args)
    recorded.push(`> ${name} ${same(JSON.stringify(args))}`, same(JSON.stringify(told)), "")
    return told
  }

  beforeAll(async () => {
    // An image that carries Python: the base that this machine has assembled, as one layer.
    const tree = path.join(scratch, "tree")
    mkdirSync(tree)
    tool("debugfs", "-R", `rdump / ${tree}`, path.join(buildCache, "test-home/base-rootfs/rootfs.ext4"))
    tool("tar", "-cf", path.join(scratch, "layer.tar"), "-C", tree, ".")
    rmSync(tree, { recursive: true, force: true })
    plainLayout(layout, path.join(scratch, "layer.tar"))
    product = await Product.make()
    await product.says("up")
    client = new Client({ name: "agent", version: "1" })
    const env = { PATH: process.env["PATH"] ?? "", ...product.env }
    await client.connect(new StdioClientTransport({ command: path.join(dist, "aegis-mcp"), args: [], env }))
    await client.listTools()
  })
  afterAll(async () => {
    await client?.close()
    await product?.remove()
    rmSync(scratch, { recursive: true, force: true })
  })

  it("S-189 runs Python in a fresh sandbox, reads a file that it wrote, and deletes it, as docs/MCP.md shows", async () => {
    const image = `oci:${layout}`
    await say("instance_start", {
      handle: "sandbox",
      command: ["sleep", "1000"],
      image,
      memory_mb: 256,
      network: "none"
    })
    const state = async () =>
      ((await ask("instance_info", { target: "sandbox" }))["instance"] as { readonly state: string }).state
    await until("it runs", async () => (await state()) === "running", 150)
    const script = 'open("/workspace/answer.txt", "w").write(f"{6 * 7}\\n"); print("written")'
    const ran = await say("exec", { target: "sandbox", command: ["python3", "-c", script] })
    assert.deepNestedInclude(ran, { exit_code: 0, "stdout.text": "written\n" })
    const read = await say("file_read", { target: "sandbox", path: "/workspace/answer.txt" })
    assert.deepInclude(read, { text: "42\n", more: false })
    assert.deepStrictEqual(await say("instance_delete", { target: "sandbox" }), { deleted: "sandbox" })
    assert.deepStrictEqual(await say("instance_list"), { instances: [] })
    await until("nothing is left of it", async () => (await product.left()).length === 0)

    const text = recorded.join("\n").trimEnd()
    if (process.env["AEGIS_UPDATE_DOCS"] === "1") {
      writeFileSync(
        document,
        readFileSync(document, "utf8").replace(block, () => text)
      )
    }
    assert.strictEqual(block.exec(readFileSync(document, "utf8"))?.[0], text)
  })
})
