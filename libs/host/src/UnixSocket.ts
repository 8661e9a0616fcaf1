/**
 * The rules of Unix sockets, in one place.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Stats } from "node:fs"
import * as fs from "node:fs/promises"
import * as net from "node:net"

export class SocketFailed extends Data.TaggedError("SocketFailed")<{
  readonly path: string
  readonly code: string
  readonly message: string
}> {
  get remedy() {
    return `check what ${this.path} is and who owns it`
  }
}

const failed = (path: string) => (error: NodeJS.ErrnoException) =>
  new SocketFailed({ path, code: error.code ?? "", message: `${path}: ${error.message}` })

/** A connected socket, the caller's to destroy. */
export const connect = (path: string): Effect.Effect<net.Socket, SocketFailed> =>
  Effect.async((resume) => {
    const socket = net.connect({ path })
    const fail = (error: NodeJS.ErrnoException) => resume(Effect.fail(failed(path)(error)))
    socket.once("error", fail)
    socket.once("connect", () => {
      socket.off("error", fail)
      // Whoever uses the socket hears of its errors; between two owners one must not end the process.
      socket.on("error", () => undefined)
      resume(Effect.succeed(socket))
    })
    return Effect.sync(() => socket.destroy())
  })

/**
 * What is at the path: `listening` when somebody accepts, `refused` for the file of one who has gone. A symlink is not followed
 * and is no socket (T-258).
 */
export const probe = (path: string): Effect.Effect<"listening" | "refused" | "absent" | "not-a-socket", SocketFailed> =>
  Effect.flatMap(lookAt(path), (found) => {
    if (found === undefined) return Effect.succeed("absent" as const)
    if (!found.isSocket()) return Effect.succeed("not-a-socket" as const)
    return connect(path).pipe(
      Effect.map((socket) => {
        socket.destroy()
        return "listening" as const
      }),
      Effect.catchAll((error) => {
        if (error.code === "ENOENT") return Effect.succeed("absent" as const)
        if (error.code === "ECONNREFUSED") return Effect.succeed("refused" as const)
        // Linux's answer where the listener's queue is full: it is there, and busy.
        if (error.code === "EAGAIN") return Effect.succeed("listening" as const)
        return Effect.fail(error)
      })
    )
  })

/** The flag of a socket that accepts, in the kernel's table: __SO_ACCEPTCON. */
const accepts = "00010000"

/**
 * Whether somebody listens at the path, found without connecting: for a listener that serves one connection only. The file is
 * there from bind(2) on, a moment before listen(2). Linux's /proc.
 */
export const isListening = (path: string): Effect.Effect<boolean> =>
  Effect.map(
    Effect.promise(() => fs.readFile("/proc/net/unix", "utf8").catch(() => "")),
    (table) => table.split("\n").some((line) => line.endsWith(` ${path}`) && line.split(" ")[3] === accepts)
  )

/** Waits until somebody does; the caller limits it by time. A program that has just been started takes a few milliseconds. */
export const untilListening = (path: string): Effect.Effect<void> =>
  Effect.asVoid(
    Effect.repeat(isListening(path), { until: (listening) => listening, schedule: Schedule.spaced("2 millis") })
  )

/** Removes the file of a listener that has gone; anything else at the path, and another user's, is an error, and stays (T-258). */
export const removeStale = (path: string): Effect.Effect<void, SocketFailed> =>
  Effect.gen(function* () {
    const state = yield* probe(path)
    if (state === "absent") return
    if (state !== "refused") {
      const what = state === "listening" ? "somebody listens there already" : "is not a socket"
      return yield* new SocketFailed({ path, code: "EEXIST", message: `${path}: ${what}` })
    }
    const found = yield* lookAt(path)
    if (found === undefined) return
    if (process.getuid !== undefined && found.uid !== process.getuid()) {
      return yield* new SocketFailed({ path, code: "EPERM", message: `${path}: belongs to user ${found.uid}` })
    }
    yield* Effect.tryPromise({
      try: () => fs.rm(path, { force: true }),
      catch: (cause) => failed(path)(asError(cause))
    })
  })

const lookAt = (path: string): Effect.Effect<Stats | undefined, SocketFailed> =>
  Effect.tryPromise({ try: () => fs.lstat(path), catch: (cause) => failed(path)(asError(cause)) }).pipe(
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => Effect.succeed(undefined)
    )
  )

const asError = (cause: unknown): NodeJS.ErrnoException => (cause instanceof Error ? cause : new Error(String(cause)))
