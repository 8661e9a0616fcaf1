import { ChannelLost, type EndReason, Exited, Signaled, VmDied } from "@aegis/domain"
import type { ExitEvent, Frame, OutputFrame } from "@aegis/guest"
import type { Vm } from "@aegis/vm"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/**
 * Hands the guest's output behind the event number `after` to `deliver` until the primary has ended, and says how it did. Bytes are
 * acknowledged to the guest only after `deliver` has taken them, so a slow reader slows the command down and loses nothing. The
 * exit never is: until it is written down, a daemon that comes after this one must hear of it again.
 * Never fails: a channel that breaks is a way to end.
 */
export const pump = <A>(
  vm: Vm,
  after: bigint,
  deliver: (output: ReadonlyArray<OutputFrame>) => Effect.Effect<A>
): Effect.Effect<EndReason> =>
  Effect.gen(function* () {
    const { acknowledge, frames } = yield* vm.guest.events(after)
    let exit = Option.none<ExitEvent>()
    yield* Stream.runForEachChunk(frames, (chunk) =>
      Effect.gen(function* () {
        const output = Chunk.toReadonlyArray(chunk).filter(isOutput)
        const end = Option.filter(Chunk.last(chunk), (frame) => frame._tag === "Exit")
        if (Option.isSome(end)) exit = Option.some(end.value.event)
        const newest = output.at(-1)
        if (newest === undefined) return
        yield* deliver(output)
        yield* acknowledge(newest.seq)
      })
    )
    return yield* Option.match(exit, { onNone: () => lost(vm, "the guest closed the channel"), onSome: endOf })
  }).pipe(
    Effect.catchTags({
      ChannelBroken: ({ message }) => lost(vm, message),
      HarnessRefused: ({ message }) => lost(vm, message),
      GuestProtocolViolation: ({ message }) =>
        Effect.succeed(new ChannelLost({ reason: `the guest broke the protocol: ${message}` }))
    }),
    Effect.scoped
  )

const isOutput = (frame: Frame): frame is OutputFrame => frame._tag === "Output"

const endOf = ({ code, oom, signal }: ExitEvent) =>
  Effect.succeed(
    signal === undefined ? new Exited({ code: code ?? 0 }) : new Signaled({ signal, outOfMemory: oom ?? false })
  )

/** A channel that broke is nearly always a VM that has gone: its process's end says more than the socket's. */
const lost = (vm: Vm, reason: string) =>
  vm.ended.pipe(
    Effect.timeoutOption("2 seconds"),
    Effect.flatMap(
      Option.match({
        onNone: (): Effect.Effect<EndReason> => Effect.succeed(new ChannelLost({ reason })),
        onSome: ({ cause }) => Effect.map(vm.consoleTail, (consoleTail) => new VmDied({ cause, consoleTail }))
      })
    )
  )
