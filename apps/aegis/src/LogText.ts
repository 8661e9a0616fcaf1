/**
 * How a log is shown: what each entry becomes, and on which stream (S-165 to S-167, D-10).
 */
import { describeGap, type LogEntry, type LogLine } from "@aegis/domain"
import * as DateTime from "effect/DateTime"

export interface LogTextOptions {
  /** Whether prefixes are coloured on each of the two. */
  readonly color: { readonly stdout: boolean; readonly stderr: boolean }
  readonly timestamps: boolean
}

export interface LogOutput {
  readonly stream: "stdout" | "stderr"
  readonly bytes: Uint8Array
}

const newline = Buffer.from("\n")

const prefixes = (color: boolean) => ({
  primary: "",
  exec: color ? "\u001b[36m[exec]\u001b[0m " : "[exec] ",
  system: color ? "\u001b[33m[system]\u001b[0m " : "[system] "
})

/**
 * Entries as what is written, neighbours on one stream joined. A guest's bytes come through as they are. A partial entry has no line
 * feed: what follows from the same source belongs to its line. Anything else begins a line of its own, so that no prefix, and no line
 * without one, can stand behind another's words. Called again and again for one log, it goes on where it was.
 */
export const logText = ({ color, timestamps }: LogTextOptions) => {
  const prefix = { stdout: prefixes(color.stdout), stderr: prefixes(color.stderr) }
  /** Whose line is unfinished there. */
  const open: { stdout: string | undefined; stderr: string | undefined } = { stdout: undefined, stderr: undefined }
  return (entries: Iterable<LogEntry>): ReadonlyArray<LogOutput> => {
    const written: Array<{ readonly stream: "stdout" | "stderr"; readonly pieces: Array<Uint8Array> }> = []
    const write = (stream: "stdout" | "stderr", piece: Uint8Array) => {
      const last = written.at(-1)
      if (last?.stream === stream) last.pieces.push(piece)
      else written.push({ stream, pieces: [piece] })
    }
    const begin = (stream: "stdout" | "stderr", entry: LogEntry, head: string) => {
      if (open[stream] !== undefined) write(stream, newline)
      const text = timestamps ? `${DateTime.formatIso(entry.time)} ${head}` : head
      if (text !== "") write(stream, Buffer.from(text))
    }
    for (const entry of entries) {
      if (entry._tag === "Gap") {
        begin("stderr", entry, prefix.stderr.system)
        write("stderr", Buffer.from(`${describeGap(entry)}\n`))
        open.stderr = undefined
        continue
      }
      const { bytes, partial, source } = entry
      const stream = source === "system" ? "stdout" : entry.stream
      const owner = ownerOf(entry)
      if (open[stream] !== owner) begin(stream, entry, prefix[stream][source])
      write(stream, bytes)
      if (!partial) write(stream, newline)
      open[stream] = partial ? owner : undefined
    }
    return written.map(({ pieces, stream }) => ({ stream, bytes: Buffer.concat(pieces) }))
  }
}

const ownerOf = ({ execId, source }: LogLine) => (source === "exec" ? `exec ${execId ?? ""}` : source)
