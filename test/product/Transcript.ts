/** Transcripts in documents: a block's commands (`$ …`), each with what is printed below it. */

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
