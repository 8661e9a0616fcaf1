import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { type FileContent, fileContent } from "../src/FileContent.ts"
import { dataLimit, jsonBytes } from "../src/OutputLimit.ts"

const bytesOf = ({ base64, text }: FileContent) =>
  text === undefined ? Buffer.from(base64 ?? "", "base64") : Buffer.from(text)

/** All of a file, read as a client reads it. */
const readAll = (file: Buffer, limit: number) => {
  const pieces: Array<FileContent> = []
  for (let at = 0; at < file.length;) {
    const piece = file.subarray(at, at + limit)
    const content = fileContent(piece, at + piece.length >= file.length)
    assert.isAbove(content.bytes, 0)
    assert.strictEqual(bytesOf(content).length, content.bytes)
    assert.isAtMost(jsonBytes(content.text ?? content.base64), dataLimit + 2)
    pieces.push(content)
    at += content.bytes
  }
  return pieces
}

describe("fileContent", () => {
  it("pieces of any size, put together, are the file", () => {
    const words = fc.string({ unit: "binary", maxLength: 40 }).map((text) => Buffer.from(text))
    const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
    fc.assert(
      fc.property(fc.array(fc.oneof(words, bytes)), fc.integer({ min: 1, max: 50 }), (parts, limit) => {
        const file = Buffer.concat(parts)
        assert.deepStrictEqual(Buffer.concat(readAll(file, limit).map(bytesOf)), file)
      })
    )
  })

  it("text stays text wherever it is cut, unless a piece has no room for one character", () => {
    const file = Buffer.from("\ufeffzażółć 💚 gęślą\r\n".repeat(40))
    for (let limit = 4; limit < 60; limit++) {
      for (const { base64 } of readAll(file, limit)) assert.isUndefined(base64)
    }
    assert.isTrue(readAll(Buffer.from("💚"), 3).every(({ text }) => text === undefined))
  })

  it("what is not UTF-8 or has a NUL is base64, and an empty file is text", () => {
    for (const file of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0x61, 0], [0x61, 0xe2, 0x82]]) {
      assert.deepStrictEqual(fileContent(Buffer.from(file), true), {
        bytes: file.length,
        base64: Buffer.from(file).toString("base64")
      })
    }
    assert.deepStrictEqual(fileContent(new Uint8Array(), true), { bytes: 0, text: "" })
  })

  it("what takes more room as JSON than as bytes is cut to what fits", () => {
    const control = Buffer.from("\u0001💚".repeat(12_000))
    assert.strictEqual(Buffer.compare(Buffer.concat(readAll(control, dataLimit).map(bytesOf)), control), 0)
    const random = Buffer.alloc(dataLimit, 0xfe)
    assert.deepStrictEqual(
      readAll(random, dataLimit).map(({ bytes }) => bytes),
      [46_080, 15_360]
    )
  })
})
