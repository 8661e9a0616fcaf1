/**
 * fsx, the file system exerciser: a pseudorandom sequence of reads, writes, mappings, truncations, holes and copies on one file, in which
 * each read is compared with what must be there.
 */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import * as path from "node:path"
import { setupModule } from "../setup/program.ts"

interface CacheModule {
  readonly cacheDirectory: (env: NodeJS.ProcessEnv, home: string) => string
  readonly makeCache: (root: string) => object
}
interface ToolsModule {
  readonly ensureFsx: (cache: object) => Promise<string>
}

/** Every operation that it knows on Linux. */
const config = `[weights]
read = 10
write = 10
mapread = 10
mapwrite = 10
truncate = 5
sendfile = 5
copy_file_range = 5
close_open = 2
invalidate = 2
fsync = 1
fdatasync = 1
posix_fadvise = 2
posix_fallocate = 2
punch_hole = 2
`

/** Makes a directory, to be a guest's workspace, with the program and its configuration. */
export const fsxWorkspace = async (directory: string): Promise<void> => {
  const { cacheDirectory, makeCache } = await setupModule<CacheModule>("cache.mjs")
  const { ensureFsx } = await setupModule<ToolsModule>("testtools.mjs")
  mkdirSync(directory)
  copyFileSync(await ensureFsx(makeCache(cacheDirectory(process.env, homedir()))), path.join(directory, "fsx"))
  writeFileSync(path.join(directory, "fsx.toml"), config)
}

/** The command of a guest with such a workspace: always the same operations; then the checksum of the file that they leave. */
export const fsxCommand = (operations: number): ReadonlyArray<string> => [
  "sh",
  "-c",
  `./fsx -N ${operations} -S 20261130 -f fsx.toml data && sha256sum data`
]
