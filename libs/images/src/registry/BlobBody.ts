/**
 * A blob's bytes over as many connections as it takes: broken ones are taken up again where they broke.
 */
import { DigestMismatch, PullStalled, type RegistryError } from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { brokenOff, type Failure, type Transient } from "./Failure.ts"
import { makePatience } from "./Retry.ts"

/** A blob that has begun to come. */
export interface BlobRead {
  /**
   * The place in the blob of the first byte: what was asked for, or 0 when the registry gives a blob only whole. Then what the
   * reader has is to be dropped: it gets everything anew (T-98).
   */
  readonly startsAt: number
  /**
   * The bytes from there to the blob's last, never more (T-100), over as many connections as it takes. A piece holds until the next
   * is asked for. Their hash is the reader's to check: a registry, or a mirror, may have sent other bytes.
   */
  readonly bytes: Stream.Stream<Uint8Array, RegistryError>
}

/** One answer with bytes of the blob. */
export interface OpenBody {
  readonly startsAt: number
  readonly body: Stream.Stream<Uint8Array, Failure>
}

export interface BlobPlan {
  readonly registry: string
  readonly reference: string
  readonly digest: string
  readonly size: number
  readonly open: (position: number) => Effect.Effect<OpenBody, Failure, Scope.Scope>
}

/** A download that brings less than `stallBytes` in `stallMillis` has stalled (T-103). */
const stallMillis = 60_000
const stallBytes = 64 * 1024

/** Opens the blob at `offset`. Three tries in a row that bring nothing are the most. */
export const readBlob = (plan: BlobPlan, offset: number): Effect.Effect<BlobRead, RegistryError, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const patience = makePatience()
    const connect = (position: number): Effect.Effect<Connection, RegistryError> =>
      Effect.catchTag(openConnection(plan, position, scope), "Transient", (failure) =>
        Effect.zipRight(patience.wait(failure), connect(position))
      )
    let current = yield* connect(offset)
    const startsAt = current.startsAt
    let position = startsAt
    let skip = 0

    const reconnect = (failure: Transient): Effect.Effect<void, RegistryError> =>
      Effect.gen(function* () {
        yield* current.close
        yield* patience.wait(failure)
        current = yield* connect(position)
        skip = position - current.startsAt
      })

    const next: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<RegistryError>> = Effect.suspend(() =>
      Effect.matchEffect(current.pull, {
        onSuccess: arrived,
        onFailure: Option.match({ onNone: ended, onSome: broke })
      })
    )

    const arrived = (chunk: Chunk.Chunk<Uint8Array>): typeof next => {
      const fresh: Array<Uint8Array> = []
      for (const bytes of chunk) {
        const known = Math.min(skip, bytes.length)
        skip -= known
        if (bytes.length > known) fresh.push(bytes.subarray(known))
      }
      if (fresh.length === 0) return next
      position += fresh.reduce((sum, bytes) => sum + bytes.length, 0)
      if (position > plan.size) return Effect.fail(Option.some(sizeMismatch(plan, `more than ${plan.size} bytes`)))
      patience.renew()
      return Effect.succeed(Chunk.unsafeFromArray(fresh))
    }
    const broke = (failure: Failure): typeof next => {
      // What goes wrong after the last byte is of no interest.
      if (position === plan.size) return Effect.fail(Option.none())
      if (failure._tag !== "Transient") return Effect.fail(Option.some(failure))
      return Effect.zipRight(Effect.mapError(reconnect(failure), Option.some), next)
    }
    const ended = (): typeof next =>
      broke(brokenOff(plan.registry, `the connection ended ${plan.size - position} bytes too early`))

    return { startsAt, bytes: Stream.repeatEffectChunkOption(next) }
  })

/** The blob that is there is not the one that is described (T-59). */
export const sizeMismatch = ({ digest, reference, size }: Omit<BlobPlan, "open" | "registry">, actual: string) =>
  new DigestMismatch({ reference, what: `the size of ${digest}`, expected: `${size} bytes`, actual })

interface Connection extends OpenBody {
  readonly pull: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<Failure>>
  readonly close: Effect.Effect<void>
}

/** In a scope of its own under the reader's: whatever is interrupted, it is closed at the end. */
const openConnection = (plan: BlobPlan, position: number, reader: Scope.Scope): Effect.Effect<Connection, Failure> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(reader, ExecutionStrategy.sequential)
    const close = Scope.close(scope, Exit.void)
    const opened = yield* Scope.extend(plan.open(position), scope).pipe(Effect.onError(() => close))
    const pull = yield* Scope.extend(Stream.toPull(opened.body), scope)
    return { ...opened, pull: watched(plan.registry, pull), close }
  })

/** Fails when too little comes. Only the waiting for the registry counts, not what the reader does in between. */
const watched = (registry: string, pull: Connection["pull"]): Connection["pull"] => {
  let waited = 0
  let came = 0
  const stalled = () =>
    Option.some(
      new PullStalled({ registry, reason: `less than ${stallBytes / 1024} KiB came in ${stallMillis / 1000} s` })
    )
  return Effect.gen(function* () {
    const begun = yield* Clock.currentTimeMillis
    const chunk = yield* Effect.timeoutFail(pull, { duration: Math.max(0, stallMillis - waited), onTimeout: stalled })
    waited += (yield* Clock.currentTimeMillis) - begun
    came += Chunk.reduce(chunk, 0, (sum, bytes) => sum + bytes.length)
    if (came >= stallBytes) {
      waited = 0
      came = 0
    } else if (waited >= stallMillis) return yield* Effect.fail(stalled())
    return chunk
  })
}
