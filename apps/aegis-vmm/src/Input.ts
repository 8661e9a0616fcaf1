/**
 * Requests from standard input, one line each, read without an event loop: this process has nothing else to do until it is
 * told what to become, and none of Node's streams are worth their start-up time.
 */
import { type Libc, maxRequestBytes, type SystemCallFailed } from "@aegis/native-bridge"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"

/** The request cannot be read or means nothing. */
export class RequestRefused extends Data.TaggedError("RequestRefused")<{ readonly reason: string }> {
  override get message() {
    return `aegis-vmm cannot use its request: ${this.reason}`
  }
  get remedy() {
    return "aegis-vmm is started by aegisd; both must be of the same version"
  }
}

const stdin = 0

/**
 * Gives the next line at each call, without its newline; none at the end of input. The last line may end with the input
 * instead of a newline.
 */
export const makeInput = (libc: Libc) => {
  let pending = Buffer.alloc(0)
  let ended = false

  const take = Effect.suspend((): Effect.Effect<Option.Option<Option.Option<string>>, RequestRefused> => {
    const newline = pending.indexOf(0x0a)
    if (newline < 0 && !ended) {
      return pending.length > maxRequestBytes
        ? new RequestRefused({ reason: `it is over ${maxRequestBytes} bytes long` })
        : Effect.succeed(Option.none())
    }
    const line = newline < 0 ? pending : pending.subarray(0, newline)
    pending = newline < 0 ? Buffer.alloc(0) : pending.subarray(newline + 1)
    return Effect.succeed(Option.some(line.length === 0 && newline < 0 ? Option.none() : Option.some(line.toString())))
  })

  const fill: Effect.Effect<void, RequestRefused | SystemCallFailed> = Effect.gen(function* () {
    yield* libc.waitReadable(stdin)
    const block = Buffer.alloc(16 * 1024)
    const count = yield* Effect.try({
      try: () => fs.readSync(stdin, block, 0, block.length, null),
      catch: (cause) => new RequestRefused({ reason: cause instanceof Error ? cause.message : String(cause) })
    })
    ended = count === 0
    pending = Buffer.concat([pending, block.subarray(0, count)])
  })

  const next: Effect.Effect<Option.Option<string>, RequestRefused | SystemCallFailed> = Effect.flatMap(
    take,
    Option.match({ onSome: Effect.succeed, onNone: () => Effect.zipRight(fill, next) })
  )
  return next
}
