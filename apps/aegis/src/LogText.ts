/**
 * How a log is shown: what each entry becomes, and on which stream (S-165 to S-167, D-10).
 */
import { describeGap, type LogEntry } from "@aegis/domain"
import * as DateTime from "effect/DateTime"

export interface LogTextOptions {
  readonly color: boolean
  readonly timestamps: boolean
}

export interface LogOutput {
  readonly stream: "stdout" | "stderr"
  readonly bytes: Uint8Array
}

const prefixes = { exec: "\u001b[36m[exec]\u001b[0m ", system: "\u001b[33m[system]\u001b[0m " } as const
const plainPrefixes = { exec: "[exec] ", system: "[system] " } as const
const newline = Buffer.from("\n")

/**
 * Entries as what is written, neighbours on one stream joined. A guest's bytes come through as they are; a partial entry has no line
 * feed, since what follows belongs to its line.
 */
export const logText = ({ color, timestamps }: LogTextOptions) => {
  const prefix = color ? prefixes : plainPrefixes
  /** Per stream, whether what was written last is an unfinished line. */
  const open = { stdout: false, stderr: false }
  return (entries: Iterable<LogEntry>): ReadonlyArray<LogOutput> => {
    const written: Array<{ readonly stream: "stdout" | "stderr"; readonly pieces: Array<Uint8Array> }> = []
    const write = (stream: "stdout" | "stderr", piece: Uint8Array) => {
      const last = written.at(-1)
      if (last?.stream === stream) last.pieces.push(piece)
      else written.push({ stream, pieces: [piece] })
    }
    for (const entry of entries) {
      const stamp = timestamps ? `${DateTime.formatIso(entry.time)} ` : ""
      if (entry._tag === "Gap") {
        write("stderr", Buffer.from(`${stamp}${prefix.system}${describeGap(entry)}\n`))
        continue
      }
      const { bytes, partial, source } = entry
      const stream = source === "system" ? "stdout" : entry.stream
      const head = source === "primary" ? stamp : `${stamp}${prefix[source]}`
      if (head !== "" && !open[stream]) write(stream, Buffer.from(head))
      write(stream, bytes)
      if (!partial) write(stream, newline)
      open[stream] = partial
    }
    return written.map(({ pieces, stream }) => ({ stream, bytes: Buffer.concat(pieces) }))
  }
}
