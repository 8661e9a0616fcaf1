import { ByCli, Handle, InstanceSpec, type InstanceState } from "@aegis/domain"
import { Journal, recordAfter, InstanceRecords, type InstanceRecord } from "@aegis/journal"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Instances } from "../src/index.ts"
import { runtime } from "./runtime.ts"

const cause = new ByCli({ command: "test" })
const handle = Handle.make("web")
const spec = new InstanceSpec({ command: ["sleep"], handle })

type Command = "start" | "stop" | "pause" | "resume" | "remove" | "wake"
const commands: ReadonlyArray<Command> = ["start", "stop", "pause", "resume", "remove", "wake"]

const perform = (command: Command) =>
  Effect.flatMap(Instances, (instances) => {
    switch (command) {
      case "start":
        return Effect.asVoid(
          Effect.flatMap(instances.start(spec, cause), () => Effect.asVoid(instances.wake(handle, cause)))
        )
      case "stop":
        return Effect.asVoid(instances.stop(handle, Duration.zero, cause))
      case "pause":
        return Effect.asVoid(instances.pause(handle, cause))
      case "resume":
        return Effect.asVoid(instances.resume(handle, cause))
      case "remove":
        return instances.remove(handle, cause)
      case "wake":
        return Effect.asVoid(instances.wake(handle, cause))
    }
  })

/** What must be the case after a command, whoever had the state before; `undefined` is "no record". */
const model = (state: InstanceState | undefined, command: Command): { next: typeof state; tag?: string } => {
  if (state === undefined && command !== "start") return { next: undefined, tag: "NotFound" }
  switch (command) {
    case "start":
      if (state === "running") return { next: state, tag: "HandleTaken" }
      return state === "paused" ? { next: state, tag: "StateConflict" } : { next: "running" }
    case "stop":
      return { next: "stopped" }
    case "pause":
      return state === "running" ? { next: "paused" } : { next: state, tag: "StateConflict" }
    case "resume":
      return state === "paused" ? { next: "running" } : { next: state, tag: "StateConflict" }
    case "remove":
      return { next: undefined }
    case "wake":
      return { next: "running" }
  }
}

const stateNow = Effect.flatMap(Instances, (instances) => Effect.option(instances.get(handle))).pipe(
  Effect.map((found) => Option.getOrUndefined(Option.map(found, ({ state }) => state)))
)

/** The records, and what they are when they are made anew from the journal's events. */
const recordsAgree = Effect.gen(function* () {
  const journal = yield* Journal
  const records = yield* InstanceRecords
  const folded = new Map<string, InstanceRecord>()
  yield* Stream.runForEach(journal.events(), (event) =>
    Effect.sync(() => {
      if (event.instanceId === undefined) return
      const next = recordAfter(Option.fromNullable(folded.get(event.instanceId)), event)
      if (Option.isSome(next)) folded.set(event.instanceId, next.value)
      else folded.delete(event.instanceId)
    })
  )
  assert.deepStrictEqual(
    (yield* records.list()).map(({ id, state }) => [id, state]),
    [...folded.values()].map(({ id, state }) => [id, state])
  )
})

describe("sequences of commands on the simulated backend", () => {
  it.live(
    "S-121 to S-132 D-01 to D-03 every sequence ends where the model says",
    () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(fc.array(fc.constantFrom(...commands), { maxLength: 12 }), (sequence) =>
            Effect.gen(function* () {
              let state: InstanceState | undefined
              for (const command of sequence) {
                const result = yield* Effect.either(perform(command))
                const { next, tag } = model(state, command)
                assert.strictEqual(Either.isLeft(result) ? result.left._tag : undefined, tag, `${state} ${command}`)
                assert.strictEqual(yield* stateNow, next, `after ${state} ${command}`)
                state = next
              }
              yield* recordsAgree
            }).pipe(
              Effect.provide(runtime()),
              Effect.scoped,
              Logger.withMinimumLogLevel(LogLevel.Warning),
              Effect.runPromise
            )
          ),
          { numRuns: 25 }
        )
      ),
    60_000
  )

  it.live(
    "T-45 twenty commands at once: no deadlock, one state, and the journal agrees",
    () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(fc.array(fc.constantFrom(...commands), { minLength: 20, maxLength: 20 }), (batch) =>
            Effect.gen(function* () {
              yield* Effect.forEach(batch, (command) => Effect.either(perform(command)), { concurrency: "unbounded" })
              const instances = yield* Instances
              assert.isAtMost((yield* instances.list).length, 1)
              yield* recordsAgree
              yield* Effect.either(instances.remove(handle, cause))
              assert.deepStrictEqual(yield* instances.list, [])
            }).pipe(
              Effect.provide(runtime()),
              Effect.scoped,
              Effect.timeout("15 seconds"),
              Logger.withMinimumLogLevel(LogLevel.Warning),
              Effect.runPromise
            )
          ),
          { numRuns: 10 }
        )
      ),
    60_000
  )
})
