/** A tar archive of a few files, written in the POSIX ustar format (IEEE Std 1003.1, "pax", ustar Interchange Format). */

const BLOCK = 512

/**
 * @typedef {{ name: string, bytes?: Uint8Array, mode: number }} TarEntry A regular file, or without `bytes` a directory; the
 *   name at most 100 bytes of ASCII.
 */

/**
 * Owned by root, times zero: equal entries give equal bytes.
 *
 * @param {ReadonlyArray<TarEntry>} entries
 */
export const tar = (entries) =>
  Buffer.concat([
    ...entries.flatMap(({ bytes, mode, name }) => {
      const padding = Buffer.alloc((BLOCK - ((bytes?.length ?? 0) % BLOCK)) % BLOCK)
      return [header(name, mode, bytes), bytes ?? Buffer.alloc(0), padding]
    }),
    Buffer.alloc(2 * BLOCK)
  ])

/**
 * @param {string} name
 * @param {number} mode
 * @param {Uint8Array | undefined} bytes
 */
const header = (name, mode, bytes) => {
  const block = Buffer.alloc(BLOCK)
  const octal = (/** @type {number} */ value, /** @type {number} */ at, /** @type {number} */ width) =>
    block.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1")
  block.write(bytes === undefined ? `${name}/` : name, 0, 100, "latin1")
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(bytes?.length ?? 0, 124, 12)
  octal(0, 136, 12)
  block.write("        ", 148, "latin1")
  block.write(bytes === undefined ? "5" : "0", 156, "latin1")
  block.write("ustar\x0000", 257, "latin1")
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1")
  return block
}
