/**
 * The frames of `POST /events`: a 16-byte header, then the payload (`docs/HARNESS_PROTOCOL.md`).
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { ExitEvent } from "./Protocol.ts"

const headerBytes = 16
const maxOutputBytes = 65_536
const maxEventBytes = 1024 * 1024

/** Bytes of a command. */
export interface OutputFrame {
  readonly _tag: "Output"
  readonly seq: bigint
  readonly stream: "stdout" | "stderr"
  readonly bytes: Uint8Array
}

/** A command's end. */
export interface ExitFrame {
  readonly _tag: "Exit"
  readonly seq: bigint
  readonly event: ExitEvent
}

export type Frame = OutputFrame | ExitFrame

/** The guest sent what the protocol does not allow. The channel and its VM are ended, nothing else (T-189). */
export class GuestProtocolViolation extends Data.TaggedError("GuestProtocolViolation")<{ readonly message: string }> {}

const decodeEvent = Schema.decodeUnknownEither(Schema.parseJson(ExitEvent), { onExcessProperty: "error" })
const utf8 = new TextDecoder("utf-8", { fatal: true })

/**
 * Cuts a byte stream into frames. `push` takes bytes as they come, however they are split, and gives the frames that are
 * complete. Holds at most one incomplete frame. After a violation the decoder must not be used again.
 */
export class FrameDecoder {
  /** What has come of the next frame, in pieces: they are joined once, when all of it is there. */
  #pieces: Array<Uint8Array> = []
  #held = 0
  /** How many bytes must be held before there is anything to decide. */
  #needed = headerBytes
  #next: bigint
  #ended = false

  /** @param after the last sequence number already seen: the first frame must carry the next one. */
  constructor(after: bigint) {
    this.#next = after + 1n
  }

  push(bytes: Uint8Array): Either.Either<ReadonlyArray<Frame>, GuestProtocolViolation> {
    if (bytes.length === 0) return Either.right([])
    if (this.#ended) return violation("bytes after the exit event")
    this.#pieces.push(bytes)
    this.#held += bytes.length
    if (this.#held < this.#needed) return Either.right([])
    const [only] = this.#pieces
    const buffer =
      this.#pieces.length === 1 && only !== undefined
        ? Buffer.from(only.buffer, only.byteOffset, only.byteLength)
        : Buffer.concat(this.#pieces)
    const frames: Array<Frame> = []
    let offset = 0
    this.#needed = headerBytes
    while (buffer.length - offset >= headerBytes) {
      const length = buffer.readUInt32BE(offset)
      const limit = buffer[offset + 4] === 3 ? maxEventBytes : maxOutputBytes
      if (length > limit) return violation(`a frame of ${length} bytes; at most ${limit} are allowed`)
      this.#needed = headerBytes + length
      if (buffer.length - offset < this.#needed) break
      const payload = buffer.subarray(offset + headerBytes, offset + this.#needed)
      const frame = this.#frame(buffer.subarray(offset, offset + headerBytes), payload)
      if (Either.isLeft(frame)) return Either.left(frame.left)
      frames.push(frame.right)
      offset += this.#needed
      this.#needed = headerBytes
    }
    this.#held = buffer.length - offset
    this.#pieces = this.#held === 0 ? [] : [buffer.subarray(offset)]
    if (this.#ended && this.#held > 0) return violation("bytes after the exit event")
    return Either.right(frames)
  }

  #frame(header: Buffer, payload: Buffer): Either.Either<Frame, GuestProtocolViolation> {
    if (this.#ended) return violation("a frame after the exit event")
    const type = header[4]
    const seq = header.readBigUInt64BE(8)
    if (header[5] !== 0 || header[6] !== 0 || header[7] !== 0) return violation("reserved bytes are not zero")
    if (seq !== this.#next) return violation(`sequence number ${seq} where ${this.#next} was due`)
    this.#next = seq + 1n
    if (type === 1 || type === 2) {
      return Either.right({ _tag: "Output", seq, stream: type === 1 ? "stdout" : "stderr", bytes: payload })
    }
    if (type !== 3) return violation(`unknown frame type ${type}`)
    return Either.try({
      try: () => utf8.decode(payload),
      catch: () => new GuestProtocolViolation({ message: "an event is not UTF-8" })
    }).pipe(
      Either.flatMap((text) =>
        Either.mapLeft(
          decodeEvent(text),
          (error) => new GuestProtocolViolation({ message: `an event is malformed: ${error.message}` })
        )
      ),
      Either.map((event): Frame => {
        this.#ended = true
        return { _tag: "Exit", seq, event }
      })
    )
  }
}

const violation = (message: string) => Either.left(new GuestProtocolViolation({ message }))

/** An acknowledgement: every event up to and including `seq` may be forgotten by the guest. */
export const acknowledgement = (seq: bigint): Uint8Array => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(seq)
  return bytes
}

/** A note: the host has stored every event up to and including `seq`; an exec's guest keeps them until they are acknowledged. */
export const notation = (seq: bigint): Uint8Array => acknowledgement(seq | (1n << 63n))
