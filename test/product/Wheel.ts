/**
 * A Python package as pip takes it from an index (PEP 427), and the index (PEP 503).
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { crc32 } from "node:zlib"

/** A zip archive whose files are stored as they are (APPNOTE.TXT, 4.3). */
const zip = (files: Readonly<Record<string, Buffer>>): Buffer => {
  const entries: Array<Buffer> = []
  const directory: Array<Buffer> = []
  let offset = 0
  for (const [name, data] of Object.entries(files)) {
    const label = Buffer.from(name)
    // From the version that is needed to the length of the extra field: the same in both headers.
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(0x21, 8) // 1980-01-01
    common.writeUInt32LE(crc32(data), 10)
    common.writeUInt32LE(data.length, 14)
    common.writeUInt32LE(data.length, 18)
    common.writeUInt16LE(label.length, 22)
    const entry = Buffer.concat([Buffer.from("PK\u0003\u0004"), common, label, data])
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(offset, 10)
    directory.push(Buffer.from("PK\u0001\u0002"), Buffer.from([20, 3]), common, tail, label)
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
  const encoded = Object.fromEntries(Object.entries(texts).map(([file, text]) => [file, Buffer.from(text)]))
  return { file: `${name}-1.0-py3-none-any.whl`, bytes: zip({ [`${name}/data.bin`]: payload, ...encoded }) }
}

/** What an index says of one wheel, at `/simple/NAME/`. */
const pageOf = ({ bytes, file }: ReturnType<typeof wheel>) => {
  const sum = createHash("sha256").update(bytes).digest("hex")
  return `<!DOCTYPE html><html><body><a href="/files/${file}#sha256=${sum}">${file}</a></body></html>`
}

/** A server that has one wheel. */
export const packageIndex = (name: string, made: ReturnType<typeof wheel>): http.Server =>
  http.createServer(({ url }, answer) => {
    if (url === `/simple/${name}/`) {
      answer.setHeader("content-type", "text/html")
      answer.end(pageOf(made))
    } else if (url === `/files/${made.file}`) answer.end(made.bytes)
    else answer.writeHead(404).end()
  })

/** The same as files, for a server of files. */
export const packageFolder = (folder: string, name: string, made: ReturnType<typeof wheel>): void => {
  for (const inner of [`simple/${name}`, "files"]) mkdirSync(path.join(folder, inner), { recursive: true })
  writeFileSync(path.join(folder, "simple", name, "index.html"), pageOf(made))
  writeFileSync(path.join(folder, "files", made.file), made.bytes)
}

/** The pip that comes with this machine's Python, as a wheel: the guests' has none. */
export const bundledPip = (): string => {
  const directory = execFileSync("python3", [
    "-c",
    "import ensurepip, os; print(getattr(ensurepip, '_WHEEL_PKG_DIR', None) or os.path.dirname(ensurepip.__file__) + '/_bundled')"
  ])
    .toString()
    .trim()
  const found = readdirSync(directory).find((name) => /^pip-.*\.whl$/.test(name))
  if (found === undefined) throw new Error(`no wheel of pip in ${directory}: install python3-pip or python3-venv`)
  return path.join(directory, found)
}
