/**
 * What every backend does between its VMM's spawn and the harness's first answer.
 */
import { BootFailed, BootTimeout } from "@aegis/domain"
import { ChannelBroken, connect, type GuestChannel } from "@aegis/guest"
import { type Process, UnixSocket } from "@aegis/host"
import type { Duplex } from "node:stream"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { bootLimit } from "./BootLimit.ts"
import type { VmEnd } from "./VmBackend.ts"

/** A process's end in words: `exit 1`, `killed by SIGKILL`. */
export const endInWords = ({ code, signal }: Process.ExitStatus): string => {
  if (signal !== null) return `killed by ${signal}`
  return code === null ? "its process is gone" : `exit ${code}`
}

/** Dials the channel of a VM. */
export const dial = (socket: string): Effect.Effect<Duplex, ChannelBroken> =>
  UnixSocket.connect(socket).pipe(
    Effect.map((connected): Duplex => connected),
    Effect.mapError(({ message }) => new ChannelBroken({ message }))
  )

/** A process beside a VMM, without which its guest cannot go on. */
export interface Helper {
  readonly name: string
  readonly process: Process.Process
}

/** What a helper said that failed: without it the VMM ends as well, and may be the first of whom that is seen. */
const blamed = (helpers: ReadonlyArray<Helper>): Effect.Effect<Option.Option<string>> =>
  Effect.forEach(
    helpers,
    ({ name, process }) =>
      Effect.gen(function* () {
        const status = yield* Effect.timeoutOption(process.exit, "200 millis")
        const words = (yield* process.stderrTail).trim()
        return Option.isSome(status) && status.value.code !== 0 && words !== "" ? [`${name} ended: ${words}`] : []
      }),
    { concurrency: "unbounded" }
  ).pipe(Effect.map((all) => Option.fromNullable(all.flat()[0])))

/**
 * Opens the channel at `socket`. A VMM that ends first fails it at once, with what it or its helper wrote to stderr; a guest that stays
 * silent fails it when the boot's time is over.
 */
export const awaitGuest = (
  vmm: Process.Process,
  socket: string,
  helpers: ReadonlyArray<Helper>
): Effect.Effect<GuestChannel, BootFailed | BootTimeout, Scope.Scope> =>
  Effect.gen(function* () {
    const limit = yield* bootLimit
    const died = Effect.gen(function* () {
      const status = yield* vmm.exit
      const ownWords = (yield* vmm.stderrTail).trim()
      const words = Option.getOrElse(yield* blamed(helpers), () => ownWords)
      return yield* new BootFailed({
        stage: "vmm",
        reason: words === "" ? endInWords(status) : `${endInWords(status)}: ${words}`,
        consoleTail: yield* vmm.stdoutTail,
        remedy: "aegis doctor checks the parts of the backend"
      })
    })
    const silent = Effect.flatMap(
      vmm.stdoutTail,
      (consoleTail) => new BootTimeout({ stage: "channel", seconds: Duration.toSeconds(limit), consoleTail })
    )
    return yield* connect(dial(socket)).pipe(
      Effect.raceFirst(died),
      Effect.timeoutOption(limit),
      Effect.flatMap(Option.match({ onNone: () => silent, onSome: Effect.succeed }))
    )
  })

/**
 * Watches the VMM from now on. What it gives succeeds when the VMM's process has ended; a helper that ends, and without which its
 * guest cannot go on, ends the VMM (T-242), whether anybody waits for that or not. The scope's end kills the VMM before it lets go of
 * what was acquired earlier.
 */
export const watchVm = (
  vmm: Process.Process,
  helpers: ReadonlyArray<Helper>
): Effect.Effect<Effect.Effect<VmEnd>, never, Scope.Scope> =>
  Effect.gen(function* () {
    // A guest whose channel is closed first would wake up to hear of that: fifty that end at once would take the processors for it.
    yield* Effect.addFinalizer(() => vmm.signal("SIGKILL"))
    const end = yield* Deferred.make<VmEnd>()
    const ended = Effect.map(vmm.exit, (status): VmEnd => ({ cause: endInWords(status) }))
    const without = (helper: Helper) =>
      Effect.gen(function* () {
        const status = yield* helper.process.exit
        // A helper also ends because its VM has: then the VMM is on its way out, and says so itself.
        const own = yield* Effect.timeoutOption(ended, "200 millis")
        if (Option.isSome(own)) return own.value
        yield* vmm.signal("SIGKILL")
        return { cause: `${helper.name}: ${endInWords(status)}` }
      })
    const first = Effect.raceAll([ended, ...helpers.map(without)])
    yield* Effect.forkScoped(Effect.flatMap(first, (ended) => Deferred.succeed(end, ended)))
    return Deferred.await(end)
  })
