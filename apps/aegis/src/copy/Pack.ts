/**
 * A file or a tree of this machine as a tar archive.
 */
import { constants, type Stats } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as tar from "tar-stream"

/** Large enough that a call for each piece costs little. */
const pieceBytes = 256 * 1024

/** Opened so, nothing makes us wait, and no symlink that came meanwhile is followed. */
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/**
 * Files, directories and symlinks; other things in a tree are left out. A symlink that is named itself is followed. A file that changes
 * meanwhile comes in the length that it had.
 */
export const pack = async (named: string): Promise<Readable> => {
  const real = await fs.realpath(named)
  const top = await fs.stat(real)
  if (!top.isFile() && !top.isDirectory()) throw new Error(`${named} is neither a file nor a directory`)
  const archive = tar.pack()
  const filling = add(archive, real, path.basename(path.resolve(named)) || "root")
  filling.then(
    () => archive.finalize(),
    (error: Error) => archive.destroy(error)
  )
  return Readable.from(archive)
}

const add = async (archive: tar.Pack, at: string, name: string): Promise<void> => {
  const found = await fs.lstat(at)
  if (found.isDirectory()) {
    await entry(archive, { name: `${name}/`, type: "directory", ...aboutOf(found) })
    for (const child of (await fs.readdir(at)).sort()) await add(archive, path.join(at, child), `${name}/${child}`)
  } else if (found.isSymbolicLink()) {
    await entry(archive, { name, type: "symlink", linkname: await fs.readlink(at), ...aboutOf(found) })
  } else if (found.isFile()) {
    const handle = await fs.open(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    try {
      const about = await handle.stat()
      if (about.isFile()) await pipeline(Readable.from(exactly(handle, about.size)), sinkOf(archive, name, about))
    } finally {
      await handle.close()
    }
  }
}

const sinkOf = (archive: tar.Pack, name: string, about: Stats) =>
  archive.entry({ name, type: "file", size: about.size, ...aboutOf(about) })

const aboutOf = ({ mode, mtime }: Stats) => ({ mode: mode & 0o777, mtime })

const entry = (archive: tar.Pack, header: Parameters<tar.Pack["entry"]>[0]) =>
  new Promise<void>((resolve, reject) => {
    archive.entry(header, (error) => (error ? reject(error) : resolve()))
  })

/** As many bytes as were promised: zeros in the place of those that are no more. */
async function* exactly(handle: fs.FileHandle, size: number) {
  for (let at = 0; at < size;) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(pieceBytes, size - at)), 0, undefined, at)
    yield bytesRead === 0 ? buffer : buffer.subarray(0, bytesRead)
    at += bytesRead === 0 ? buffer.length : bytesRead
  }
}
