/**
 * What every backend does between its VMM's spawn and the harness's first answer.
 */
import { BootFailed, BootTimeout } from "@aegis/domain"
import { ChannelBroken, connect, type GuestChannel } from "@aegis/guest"
import { type Process, UnixSocket } from "@aegis/host"
import type { Duplex } from "node:stream"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { bootLimit } from "./BootLimit.ts"
import type { VmEnd } from "./VmBackend.ts"

/** A process's end in words: `exit 1`, `killed by SIGKILL`. */
export const endInWords = ({ code, signal }: Process.ExitStatus): string =>
  signal === null ? `exit ${code}` : `killed by ${signal}`

/**
 * Opens the channel at `socket`. A VMM that ends first fails it at once, with what it wrote to stderr; a guest that stays
 * silent fails it when the boot's time is over.
 */
export const awaitGuest = (
  vmm: Process.Process,
  socket: string
): Effect.Effect<GuestChannel, BootFailed | BootTimeout, Scope.Scope> =>
  Effect.gen(function* () {
    const limit = yield* bootLimit
    const dial = UnixSocket.connect(socket).pipe(
      Effect.map((connected): Duplex => connected),
      Effect.mapError(({ message }) => new ChannelBroken({ message }))
    )
    const died = Effect.gen(function* () {
      const status = yield* vmm.exit
      const words = (yield* vmm.stderrTail).trim()
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
    return yield* connect(dial).pipe(
      Effect.raceFirst(died),
      Effect.timeoutOption(limit),
      Effect.flatMap(Option.match({ onNone: () => silent, onSome: Effect.succeed }))
    )
  })

/** When the VMM's process ends, or a helper without which its guest cannot go on: then the VMM is ended too (T-242). */
export const vmEnd = (
  vmm: Process.Process,
  helpers: ReadonlyArray<{ readonly name: string; readonly process: Process.Process }>
): Effect.Effect<VmEnd> =>
  helpers.reduce(
    (ended, { name, process }) =>
      Effect.raceFirst(
        ended,
        process.exit.pipe(
          Effect.zipLeft(vmm.signal("SIGKILL")),
          Effect.map((status) => ({ cause: `${name}: ${endInWords(status)}` }))
        )
      ),
    Effect.map(vmm.exit, (status): VmEnd => ({ cause: endInWords(status) }))
  )
