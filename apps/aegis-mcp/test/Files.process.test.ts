/**
 * The tools for files against the scripted daemon.
 */
import { createHash, randomBytes } from "node:crypto"
import { assert, describe, it } from "vitest"
import { agentWithInstance } from "./Agent.ts"

describe("the tools for files", () => {
  const { ask, refusal } = agentWithInstance()
  const read = (path: string, more: Record<string, unknown> = {}) => ask("file_read", { target: "web", path, ...more })
  const write = (path: string, more: Record<string, unknown>) => ask("file_write", { target: "web", path, ...more })

  /** All of it, by `next`. */
  const readAll = async (path: string) => {
    const pieces: Array<Buffer> = []
    for (let offset: unknown = 0; offset !== undefined;) {
      const { base64, next, text } = await read(path, { offset })
      pieces.push(text === undefined ? Buffer.from(String(base64), "base64") : Buffer.from(String(text)))
      offset = next
    }
    return Buffer.concat(pieces)
  }

  it("S-189 what is written is read back, as text or as bytes, with its size and whether there is more", async () => {
    assert.deepStrictEqual(await write("/t", { text: "zażółć\n" }), { path: "/t", bytes: 11 })
    assert.deepStrictEqual(await read("/t"), {
      ...{ path: "/t", size: 11, offset: 0, bytes: 11 },
      ...{ text: "zażółć\n", more: false }
    })
    assert.deepStrictEqual(await read("/t", { offset: 2, limit: 4 }), {
      ...{ path: "/t", size: 11, offset: 2, bytes: 4 },
      ...{ text: "żó", more: true, next: 6 }
    })
    assert.deepInclude(await read("/t", { offset: 3, limit: 3 }), { base64: "vMOz", more: true, next: 6 })
    assert.deepInclude(await read("/t", { offset: 99 }), { size: 11, bytes: 0, text: "", more: false })
    await write("/b", { base64: "AAH+/w==" })
    assert.deepInclude(await read("/b"), { size: 4, base64: "AAH+/w==", more: false })
    await write("/empty", { text: "" })
    assert.deepInclude(await read("/empty"), { size: 0, text: "", more: false })
  })

  it("S-189 a large file goes in pieces, and comes out in pieces, the same", async () => {
    const half = randomBytes(200 * 1024)
    const lines = Buffer.from("a line of text\u0002 — and more\n".repeat(4000))
    await write("/large", { base64: half.toString("base64"), how: "create" })
    await write("/large", { text: lines.toString(), how: "append" })
    const all = await readAll("/large")
    const hash = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex")
    assert.strictEqual(hash(all), hash(Buffer.concat([half, lines])))
  })

  it("S-189 a file is replaced, continued, or made where there is none; permissions are octal", async () => {
    await write("/how", { text: "long enough", mode: "755" })
    assert.deepInclude(await read("/how.mode"), { text: "755" })
    await write("/how", { text: "ab" })
    await write("/how", { text: "c", how: "append", mode: "0600" })
    assert.deepInclude(await read("/how"), { text: "abc" })
    assert.deepInclude(await read("/how.mode"), { text: "600" })
    const taken = await refusal("file_write", { target: "web", path: "/how", text: "", how: "create" })
    assert.deepInclude(taken, { code: "FileRefused", message: 'instance "web": /how: file exists' })
  })

  it("S-189 refusals have the error's tag and its remedy, and say what does not fit", async () => {
    assert.deepInclude(await refusal("file_read", { target: "web", path: "/none" }), {
      code: "FileNotFound",
      remedy: "look at what is there: aegis exec web -- ls -la /workspace"
    })
    assert.deepInclude(await refusal("file_read", { target: "nobody", path: "/t" }), { code: "NotFound" })
    for (const wrong of [
      { path: "t", text: "" },
      { path: "/t" },
      { path: "/t", text: "", base64: "" },
      { path: "/t", base64: "?" },
      { path: "/t", text: "", mode: "4755" },
      { path: "/t", text: "", mode: "rwx" },
      { path: "/t", text: "", how: "truncate" },
      { path: "/t", text: "\ud83d" },
      { path: "/t", text: "x".repeat(512 * 1024 + 1) },
      { path: "/a\0b", text: "" }
    ]) {
      const { code, message } = await refusal("file_write", { target: "web", ...wrong })
      assert.strictEqual(code, "InvalidArgument")
      assert.isBelow(message.length, 9000)
    }
    assert.deepInclude(await read("/t"), { text: "zażółć\n" })
  })
})
