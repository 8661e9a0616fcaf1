/**
 * One `aegis-vmm` that waits, already started: Node, its bundle and libkrun are loaded before anybody asks for a VM.
 */
import { Process } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"

interface Waiting {
  readonly process: Process.Process
  readonly scope: Scope.CloseableScope
}

export interface Spare {
  /** A waiting process, now the caller's: its scope's end ends it. Started on the spot when none waits. */
  readonly take: Effect.Effect<Process.Process, Process.SpawnFailed, Scope.Scope>
  /** Starts the next one, if none waits. */
  readonly refill: Effect.Effect<void>
}

/** @param start starts one and brings it to where it waits for its VM. The spare itself ends with the scope. */
export const make = (
  start: Effect.Effect<Process.Process, Process.SpawnFailed, Scope.Scope>
): Effect.Effect<Spare, never, Scope.Scope> =>
  Effect.gen(function* () {
    let waiting: Waiting | undefined
    const begin = Effect.gen(function* () {
      const scope = yield* Scope.make()
      const process = yield* Scope.extend(start, scope).pipe(Effect.onError(() => Scope.close(scope, Exit.void)))
      return { process, scope }
    })
    const dismiss = Effect.suspend(() => (waiting === undefined ? Effect.void : Scope.close(waiting.scope, Exit.void)))
    yield* Effect.addFinalizer(() => dismiss)
    const lock = yield* Effect.makeSemaphore(1)
    const next = Effect.gen(function* () {
      const found = waiting
      waiting = undefined
      // One that has died while it waited is no spare.
      const lives = found !== undefined && Option.isSome(yield* found.process.state)
      return lives ? found : yield* begin
    })
    return {
      take: Effect.uninterruptible(
        Effect.gen(function* () {
          const { process, scope } = yield* lock.withPermits(1)(next)
          yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
          return process
        })
      ),
      refill: lock
        .withPermits(1)(
          Effect.suspend(() =>
            waiting !== undefined
              ? Effect.void
              : Effect.map(begin, (begun) => {
                  waiting = begun
                })
          )
        )
        .pipe(Effect.ignoreLogged)
    }
  })
