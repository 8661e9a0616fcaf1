import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"

/** `sha256:` and the hex digest of a file's bytes, which are read into one buffer, again and again. */
export const sha256OfFile = async (path: string): Promise<string> => {
  const handle = await fs.open(path)
  try {
    const hash = createHash("sha256")
    const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length)
      if (bytesRead === 0) return `sha256:${hash.digest("hex")}`
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await handle.close()
  }
}
