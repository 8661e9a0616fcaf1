/**
 * What a guest sends as a tar archive, as files of this machine. The archive is hostile, and another guest may share the directory that it
 * goes to: every name is opened part by part, below a directory that is held open, and no part may be a symlink.
 */
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as tar from "tar-stream"
import { OpenTree } from "./OpenTree.ts"

/** Where it goes: what the archive's first name is called in that directory, which is there. */
export interface Destination {
  readonly directory: string
  readonly name: string
}

export interface Unpacked {
  readonly files: number
  readonly bytes: number
  /** What was not made: symlinks that lead outside, devices and the like. */
  readonly leftOut: ReadonlyArray<string>
}

const limits = {
  /** Of a name or a link's target. */
  nameBytes: 4096,
  /** How many names are told of those that were left out. */
  leftOut: 1000
}

/** The archive is no archive, or would lead where it must not. */
export class ArchiveRefused extends Error {}

/** Fails with what the kernel says, or with `ArchiveRefused`. What was made before stays. */
export const unpack = async (
  archive: AsyncIterable<Uint8Array>,
  { directory, name: called }: Destination
): Promise<Unpacked> => {
  const tree = await OpenTree.at(directory)
  const leftOut: Array<string> = []
  let [entries, files, bytes] = [0, 0, 0]
  try {
    const extract = tar.extract()
    const read = pipeline(Readable.from(archive, { highWaterMark: 1 }), extract)
    // Its failure comes out of the loop as well.
    read.catch(() => undefined)
    for await (const entry of extract) {
      entries++
      const { linkname, mode, mtime, name, type } = entry.header
      const parts = partsOf(name, called)
      if (type === "directory") {
        await tree.directory(parts)
      } else if (type === "file" || type === "contiguous-file") {
        const file = await tree.create(parts, mode & 0o777)
        try {
          for await (const piece of entry) {
            if (!(piece instanceof Uint8Array)) continue
            await file.writeFile(piece)
            bytes += piece.length
          }
          if (Number.isFinite(mtime.getTime())) await file.utimes(mtime, mtime)
        } finally {
          await file.close()
        }
        files++
      } else if (type === "symlink" && staysInside(linkname, parts.length)) {
        await tree.symlink(parts, linkname)
        files++
      } else if (leftOut.length < limits.leftOut) {
        leftOut.push(name)
      }
      entry.resume()
    }
    await read
  } finally {
    await tree.close()
  }
  if (entries === 0) throw new ArchiveRefused("the archive is empty")
  return { files, bytes, leftOut }
}

/** The parts of an entry's name, the first of them as it is called here. */
const partsOf = (name: string, called: string): ReadonlyArray<string> => {
  const [first, ...below] = name.replace(/\/$/, "").split("/")
  const wrong = [first, ...below].some((part) => part === "" || part === "." || part === ".." || part?.includes("\0"))
  if (wrong || Buffer.byteLength(name) > limits.nameBytes) {
    throw new ArchiveRefused(`the archive has a name that leads elsewhere: ${JSON.stringify(name.slice(0, 200))}`)
  }
  return [called, ...below]
}

/**
 * Whether a symlink leads to nothing but what was copied: upwards at its begin only, and not above the copy's top. A part behind another
 * name may be a symlink itself, from which upwards leads elsewhere than it seems.
 */
const staysInside = (target: string, parts: number): boolean => {
  const words = target.split("/").filter((word) => word !== "." && word !== "")
  const upwards = words.findIndex((word) => word !== "..")
  const up = upwards === -1 ? words.length : upwards
  return (
    target !== "" &&
    !target.startsWith("/") &&
    !target.includes("\0") &&
    Buffer.byteLength(target) <= limits.nameBytes &&
    up <= parts - 2 &&
    !words.slice(up).includes("..")
  )
}
