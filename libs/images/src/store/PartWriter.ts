/**
 * Appends to a file while more arrives: what comes during a write goes out with the next one. A slow source's bytes are written as
 * they come, a fast one's in large pieces.
 */
import type * as fs from "node:fs/promises"
import { writeAll } from "./StoreFile.ts"

/** Bytes that may wait before their source does. */
const maxWaiting = 1024 * 1024

export class PartWriter {
  readonly #handle: fs.FileHandle
  readonly #report: (written: number) => void
  #position = 0
  #waiting: Array<Uint8Array> = []
  #waitingBytes = 0
  #writing: Promise<void> | undefined
  #failure: Error | undefined

  /** @param report is told how much of the file there is, after each write. */
  constructor(handle: fs.FileHandle, report: (written: number) => void) {
    this.#handle = handle
    this.#report = report
  }

  /** Takes bytes; resolves when there is room for more. Rejects when a write has failed. */
  async push(bytes: Uint8Array): Promise<void> {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.byteLength
    this.#writing ??= this.#write()
    if (this.#waitingBytes >= maxWaiting) await this.#writing
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Resolves when everything is written. */
  async flush(): Promise<void> {
    await this.#writing
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Where the next byte goes. Nothing may be waiting. */
  seek(position: number): void {
    this.#position = position
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const pieces = this.#waiting
        const bytes = this.#waitingBytes
        this.#waiting = []
        this.#waitingBytes = 0
        await writeAll(this.#handle, pieces, this.#position)
        this.#position += bytes
        this.#report(this.#position)
      }
    } catch (cause) {
      // The next to push or flush hears of it; what is waiting is lost, as is the file's end.
      this.#failure = cause instanceof Error ? cause : new Error(String(cause))
      this.#waiting = []
    }
    this.#writing = undefined
  }
}
