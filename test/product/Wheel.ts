/**
 * A Python package as pip takes it from an index (PEP 427), and the index (PEP 503).
 */
import { createHash } from "node:crypto"
import * as http from "node:http"
import { crc32 } from "node:zlib"

/** A zip archive whose files are stored as they are (APPNOTE.TXT, 4.3). */
const zip = (files: Readonly<Record<string, Buffer>>): Buffer => {
  const entries: Array<Buffer> = []
  const directory: Array<Buffer> = []
  let offset = 0
  for (const [name, data] of Object.entries(files)) {
    const path = Buffer.from(name)
    // From the version that is needed to the length of the extra field: the same in both headers.
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(0x21, 8) // 1980-01-01
    common.writeUInt32LE(crc32(data), 10)
    common.writeUInt32LE(data.length, 14)
    common.writeUInt32LE(data.length, 18)
    common.writeUInt16LE(path.length, 22)
    const entry = Buffer.concat([Buffer.from("PK\u0003\u0004"), common, path, data])
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(offset, 10)
    directory.push(Buffer.from("PK\u0001\u0002"), Buffer.from([20, 3]), common, tail, path)
    entries.push(entry)
    offset += entry.length
  }
  const central = Buffer.concat(directory)
  const end = Buffer.alloc(18)
  const count = Object.keys(files).length
  end.writeUInt16LE(count, 4)
  end.writeUInt16LE(count, 6)
  end.writeUInt32LE(central.length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...entries, central, Buffer.from("PK\u0005\u0006"), end])
}

/** A wheel of a package that holds these bytes. */
export const wheel = (name: string, payload: Buffer): { readonly file: string; readonly bytes: Buffer } => {
  const info = `${name}-1.0.dist-info`
  const texts = {
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n`,
    [`${info}/WHEEL`]: "Wheel-Version: 1.0\nGenerator: aegis\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    [`${info}/RECORD`]: `${name}/data.bin,,\n${info}/METADATA,,\n${info}/WHEEL,,\n${info}/RECORD,,\n`
  }
  const encoded = Object.fromEntries(Object.entries(texts).map(([path, text]) => [path, Buffer.from(text)]))
  return { file: `${name}-1.0-py3-none-any.whl`, bytes: zip({ [`${name}/data.bin`]: payload, ...encoded }) }
}

/** A server that has one wheel, at `/simple/NAME/`. */
export const packageIndex = (name: string, { bytes, file }: ReturnType<typeof wheel>): http.Server => {
  const sum = createHash("sha256").update(bytes).digest("hex")
  return http.createServer(({ url }, answer) => {
    if (url === `/simple/${name}/`) {
      answer.setHeader("content-type", "text/html")
      answer.end(`<!DOCTYPE html><html><body><a href="/files/${file}#sha256=${sum}">${file}</a></body></html>`)
    } else if (url === `/files/${file}`) answer.end(bytes)
    else answer.writeHead(404).end()
  })
}
