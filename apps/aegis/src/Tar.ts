/** A tar archive of a few text files. */
import { buffer } from "node:stream/consumers"
import { pack } from "tar-stream"

export interface TarFile {
  readonly name: string
  readonly text: string
}

/** All of them readable by their owner alone. `mtime`: the time of each. */
export const tar = (files: ReadonlyArray<TarFile>, mtime: Date): Promise<Buffer> => {
  const archive = pack()
  for (const { name, text } of files) archive.entry({ name, mode: 0o600, mtime }, text)
  archive.finalize()
  return buffer(archive)
}
