/**
 * The part of a guest's channel that concerns its files (`docs/HARNESS_PROTOCOL.md`, `/files`).
 */
import type { FileWriting } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as http2 from "node:http2"
import { bodyOf, bytesOf, type ChannelBroken, type ChannelError, decodeAnswer, request } from "./GuestRequest.ts"
import { Extracted, FilePieceAnswer } from "./Protocol.ts"

/** An archive on its way into the guest. */
export interface Upload {
  /** Waits while the guest is behind. Bytes that a guest refuses are dropped: `done` says why. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void>
  /** The archive is whole. */
  readonly end: Effect.Effect<void>
  /** What was unpacked, once it is. */
  readonly done: Effect.Effect<Extracted, ChannelError>
}

/** Paths are the guest's, absolute. Each fails with `not-found`, or with `file` and the kernel's words. */
export interface GuestFiles {
  /** What is at a path as a tar archive, read only as fast as it is taken. It is hostile. */
  readonly archive: (path: string) => Effect.Effect<Stream.Stream<Uint8Array, ChannelBroken>, ChannelError, Scope.Scope>
  /** Unpacks an archive at a path, or below it, where `into` demands that it is a directory. The scope's end breaks off. */
  readonly extract: (path: string, into: boolean) => Effect.Effect<Upload, ChannelError, Scope.Scope>
  readonly read: (
    path: string,
    offset: number,
    limit: number
  ) => Effect.Effect<typeof FilePieceAnswer.Type, ChannelError>
  readonly write: (path: string, bytes: Uint8Array, writing: FileWriting) => Effect.Effect<void, ChannelError>
}

interface Routes {
  readonly json: <A, I>(path: string, answer: Schema.Schema<A, I>, body?: string) => Effect.Effect<A, ChannelError>
  readonly command: (path: string, body: string) => Effect.Effect<void, ChannelError>
}

const query = (path: string) => `path=${encodeURIComponent(path)}`

export const filesOf = (session: http2.ClientHttp2Session, { command, json }: Routes): GuestFiles => ({
  archive: (path) =>
    Effect.gen(function* () {
      const { status, stream } = yield* request(session, "GET", `/files?${query(path)}`)
      stream.end()
      const code = yield* status
      if (code !== 200) yield* bodyOf(stream, code)
      return bytesOf(stream)
    }),
  extract: (path, into) =>
    Effect.gen(function* () {
      const { status, stream } = yield* request(session, "PUT", `/files?${query(path)}&into=${into}`)
      // The guest may refuse at once, before anybody asks for its answer.
      const answer = yield* status.pipe(
        Effect.flatMap((code) => bodyOf(stream, code)),
        Effect.flatMap((text) => decodeAnswer(Extracted, text)),
        Effect.interruptible,
        Effect.forkScoped
      )
      return {
        write: (bytes: Uint8Array) =>
          Effect.async<void>((resume) => {
            if (stream.writableEnded || stream.destroyed) return resume(Effect.void)
            stream.write(bytes, () => resume(Effect.void))
          }),
        end: Effect.sync(() => void stream.end()),
        done: Fiber.join(answer)
      }
    }),
  read: (path, offset, limit) => json("/files/read", FilePieceAnswer, JSON.stringify({ path, offset, limit })),
  write: (path, bytes, { how, mode }) => {
    const content = { path, bytes: Encoding.encodeBase64(bytes), append: how === "append" }
    // What is not asked for is not said: a harness of an earlier daemon does not know the words.
    const exclusive = how === "create" ? { exclusive: true } : {}
    return command(
      "/files/write",
      JSON.stringify({ ...content, ...exclusive, ...(mode === undefined ? {} : { mode }) })
    )
  }
})
