/** Transcripts in documents: a block's commands (`$ …`), each with what is printed below it, and where they are run. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { freePort } from "../../libs/runtime/test/freePort.ts"
import { dist, Product, start } from "./Product.ts"

export interface Line {
  readonly command: string
  readonly printed: string
}

/** The commands of a block, each with what stands below it, to the next one. */
export const linesOf = (block: string): ReadonlyArray<Line> =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [command = "", ...printed] = text.split("\n")
      return { command, printed: printed.join("\n") }
    })

/** A text without what differs from one machine and day to the next: ids, pids, times, ports, sizes, and how wide a column is. */
export const shapeOf = (text: string) =>
  text
    .replaceAll(/inst-(173f\.\.\.|\d+)/g, "ID")
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?/g, "TIME")
    .replaceAll(/\[\d\d\/\w{3}\/\d{4} \d\d:\d\d:\d\d\]/g, "[TIME]")
    .replaceAll(/pid \d+/g, "pid N")
    .replaceAll(/:\d{4,5}\b/g, ":PORT")
    .replaceAll(/\b\d{5} leads to\b/g, "PORT leads to")
    .replaceAll(/\b\d+(\.\d+)? ?(ms|s|m|min)\b( ago)?/g, "SPAN")
    .replaceAll(/\b\d+ (seconds?|minutes?)( ago)?/g, "SPAN")
    .replaceAll(/just now/g, "SPAN")
    .replaceAll(/\b\d+ event/g, "N event")
    .replaceAll(/(sent|received) \d+(\.\d+)? [kM]?B in \d+/g, "$1 BYTES in N")
    .replaceAll(/(libkrun|qemu) \((kvm|tcg|emulat\w+)[^)]*\)/g, "BACKEND")
    .replaceAll(/[ \t]+/g, " ")
    .replaceAll(/ $/gm, "")

/**
 * A person's terminal: a product of its own, `aegis` on the PATH behind what lies in `bin`, and an empty directory to stand in. Where a
 * command says 8099 it means the product's router.
 */
export const terminal = async () => {
  const router = await freePort()
  const product = await Product.make({ AEGIS_ROUTER_PORT: String(router) })
  const home = mkdtempSync(path.join(tmpdir(), "aegis-terminal-"))
  const [bin, cwd] = [path.join(home, "bin"), path.join(home, "app")]
  for (const folder of [bin, cwd]) mkdirSync(folder)
  const env = { ...product.env, HOME: home, PATH: `${bin}:${dist}:${process.env["PATH"] ?? ""}` }
  return {
    product,
    home,
    bin,
    /** Begins a shell's line, whose errors come among its output. */
    begin: (line: string) => start("sh", ["-c", `exec 2>&1; ${line.replaceAll(":8099", `:${router}`)}`], { cwd, env }),
    /** What it has printed, as the document has it. */
    shown: (printed: string) => printed.replaceAll(`:${router}`, ":8099"),
    remove: async () => {
      await product.remove()
      rmSync(home, { recursive: true, force: true })
    }
  }
}
