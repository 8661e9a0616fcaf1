import { ByCli, Handle, InstanceSpec, type RunEvent, VcpuCount, MemoryMib } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { existsSync, readdirSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Instances } from "../src/index.ts"
import { runtime, workspaces } from "./runtime.ts"

const cause = new ByCli({ command: "test" })

const spec = (command: readonly [string, ...Array<string>], more: Partial<InstanceSpec> = {}) =>
  new InstanceSpec({ command, ...more })

const run = (command: readonly [string, ...Array<string>], more: Partial<InstanceSpec> = {}) =>
  Effect.flatMap(Instances, (instances) =>
    Effect.map(Stream.runCollect(instances.run(spec(command, more), cause)), Chunk.toReadonlyArray)
  )

const text = (events: ReadonlyArray<RunEvent>, stream = "stdout") =>
  Buffer.concat(
    events.flatMap((event) => (event._tag === "Output" && event.stream === stream ? [event.bytes] : []))
  ).toString()

const reason = (events: ReadonlyArray<RunEvent>) => {
  const last = events.at(-1)
  return last?._tag === "Ended" ? last.reason : undefined
}

const nothingLeft = Effect.gen(function* () {
  const instances = yield* Instances
  assert.deepStrictEqual(yield* instances.list, [])
  assert.deepStrictEqual(existsSync(workspaces) ? readdirSync(workspaces) : [], [])
})

setFlagsFromString("--expose-gc")
const collect: unknown = runInNewContext("gc")

/** Bytes, without what is garbage already. */
const heapInUse = () => {
  if (typeof collect === "function") collect()
  return process.memoryUsage().heapUsed
}

describe("Instances on the simulated backend", () => {
  it.scoped("S-057 run creates, follows, waits and deletes", () =>
    Effect.gen(function* () {
      const events = yield* run(["echo", "hello", "from", "aegis"])
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Created", "Started", "Output", "Ended"]
      )
      assert.strictEqual(text(events), "hello from aegis\n")
      yield* nothingLeft
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("S-066 the end carries the command's exit code, or its signal", () =>
    Effect.gen(function* () {
      assert.deepInclude(reason(yield* run(["exit", "42"])), { _tag: "Exited", code: 42 })
      assert.deepInclude(reason(yield* run(["signal", "9"])), { _tag: "Signaled", signal: 9, outOfMemory: false })
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("S-067 the two streams are kept apart", () =>
    Effect.gen(function* () {
      const events = yield* run(["both"])
      assert.deepStrictEqual([text(events), text(events, "stderr")], ["out", "err"])
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("D-09 S-078 the environment is the base one, and --env wins", () =>
    Effect.gen(function* () {
      const env = JSON.parse(text(yield* run(["env"], { handle: Handle.make("web"), env: { TERM: "dumb", A: "1" } })))
      assert.deepInclude(env, { HOME: "/root", TERM: "dumb", A: "1", AEGIS_HANDLE: "web" })
      assert.match(env.AEGIS_INSTANCE_ID, /^inst-\d+$/)
      assert.sameMembers(Object.keys(env), ["PATH", "HOME", "TERM", "A", "AEGIS_HANDLE", "AEGIS_INSTANCE_ID"])
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("a command that is not there fails the stream, and nothing is left", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(run(["missing"]))
      assert.deepInclude(error, { _tag: "CommandNotStarted", cause: "not-found", program: "missing" })
      yield* nothingLeft
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("T-18 a reader that goes away takes the instance with it", () =>
    Effect.gen(function* () {
      const instances = yield* Instances
      const started = yield* Deferred.make<void>()
      const reader = yield* instances.run(spec(["sleep"]), cause).pipe(
        Stream.tap((event) => (event._tag === "Started" ? Deferred.succeed(started, undefined) : Effect.void)),
        Stream.runDrain,
        Effect.fork
      )
      yield* Deferred.await(started)
      assert.lengthOf(yield* instances.list, 1)
      assert.lengthOf(readdirSync(workspaces), 1)
      yield* Fiber.interrupt(reader)
      yield* nothingLeft
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("S-060 remove ends the command with SIGTERM, its last words still flow, and the reader sees Stopped", () =>
    Effect.gen(function* () {
      const instances = yield* Instances
      const started = yield* Deferred.make<void>()
      const reader = yield* instances.run(spec(["on-term"], { handle: Handle.make("web") }), cause).pipe(
        Stream.tap((event) => (event._tag === "Started" ? Deferred.succeed(started, undefined) : Effect.void)),
        Stream.runCollect,
        Effect.fork
      )
      yield* Deferred.await(started)
      yield* instances.remove("WEB", cause)
      const events = Chunk.toReadonlyArray(yield* Fiber.join(reader))
      assert.strictEqual(text(events), "signal 15\n")
      assert.deepInclude(reason(events), { _tag: "Stopped" })
      yield* nothingLeft
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("S-079 D-06 a handle that is taken is refused, and the instance that has it stays", () =>
    Effect.gen(function* () {
      const instances = yield* Instances
      const handle = Handle.make("web")
      yield* instances.start(spec(["sleep"], { handle }), cause)
      const error = yield* Effect.flip(run(["echo"], { handle }))
      assert.deepInclude(error, { _tag: "HandleTaken", handle: "web" })
      assert.lengthOf(yield* instances.list, 1)
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("T-35 of fifty creates with one handle exactly one succeeds", () =>
    Effect.gen(function* () {
      const instances = yield* Instances
      const attempts = Array.from({ length: 50 }, () =>
        instances.start(spec(["sleep"], { handle: Handle.make("one") }), cause)
      )
      const exits = yield* Effect.all(attempts.map(Effect.exit), { concurrency: "unbounded" })
      assert.lengthOf(exits.filter(Exit.isSuccess), 1)
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("S-016 D-20 ids are distinct and increase while the clock stands still", () =>
    Effect.gen(function* () {
      const instances = yield* Instances
      const ids: Array<string> = []
      for (let i = 0; i < 20; i++) ids.push((yield* instances.start(spec(["sleep"]), cause)).instance.id)
      assert.deepStrictEqual([...new Set(ids)], ids)
      assert.deepStrictEqual(
        [...ids].sort((a, b) => (BigInt(a.slice(5)) < BigInt(b.slice(5)) ? -1 : 1)),
        ids
      )
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("T-215 a VMM that dies under the command ends the instance with what was seen", () =>
    Effect.gen(function* () {
      const events = yield* run(["crash"])
      assert.strictEqual(text(events), "before")
      assert.deepInclude(reason(events), { _tag: "VmDied", cause: "exit 0" })
      yield* nothingLeft
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("T-189 a guest that breaks the protocol is ended, and the next one runs", () =>
    Effect.gen(function* () {
      const ended = reason(yield* run(["garble"]))
      assert.strictEqual(ended?._tag, "ChannelLost")
      assert.strictEqual(text(yield* run(["echo", "next"])), "next\n")
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("T-207 a reader that is slow loses nothing: 8 MiB through a ring of 1 MiB", () =>
    Effect.gen(function* () {
      const instances = yield* Instances
      const bytes = yield* instances.run(spec(["flood", "8"]), cause).pipe(
        Stream.tap(() => Effect.yieldNow()),
        Stream.runFold(0, (sum, event) => (event._tag === "Output" ? sum + event.bytes.length : sum))
      )
      assert.strictEqual(bytes, 8 * 1024 * 1024)
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("standard input arrives whole and ends; without -i it is refused", () =>
    Effect.gen(function* () {
      const instances = yield* Instances
      const fed = yield* instances.run(spec(["cat"], { interactive: true }), cause).pipe(
        Stream.tap((event) =>
          event._tag === "Created"
            ? Effect.fork(
                Effect.gen(function* () {
                  for (const piece of ["one ", "two ", "three"])
                    yield* instances.writeStdin(event.id, Buffer.from(piece), false)
                  yield* instances.writeStdin(event.id, new Uint8Array(0), true)
                })
              )
            : Effect.void
        ),
        Stream.runCollect
      )
      assert.strictEqual(text(Chunk.toReadonlyArray(fed)), "one two three")
      const { id } = (yield* instances.start(spec(["sleep"]), cause)).instance
      assert.deepInclude(yield* Effect.flip(instances.writeStdin(id, new Uint8Array(1), false)), {
        _tag: "StateConflict"
      })
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped("T-215 a VMM that dies before it answers is BootFailed", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* Effect.flip(run(["echo"])), { _tag: "BackendUnavailable" })
      yield* nothingLeft
    }).pipe(Effect.provide(runtime({ fault: "dies" })))
  )

  it.scoped("D-19 more than the host has is refused before anything is made", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        run(["echo"], { memoryMib: MemoryMib.make(1_048_576), vcpus: VcpuCount.make(1) })
      )
      assert.deepInclude(error, { _tag: "ResourcesRefused", resource: "memory" })
      yield* nothingLeft
    }).pipe(Effect.provide(runtime()))
  )

  it.scoped(
    "T-280 500 starts, stops and deletions leave descriptors and memory where they were",
    () =>
      Effect.gen(function* () {
        const instances = yield* Instances
        const round = Effect.gen(function* () {
          const { id } = (yield* instances.start(spec(["sleep"]), cause)).instance
          yield* instances.stop(id, Duration.zero, cause)
          yield* instances.remove(id, cause)
        })
        const open = () => readdirSync("/proc/self/fd").length
        yield* Effect.repeatN(round, 49)
        const before = { open: open(), heap: heapInUse() }
        yield* Effect.repeatN(round, 449)
        assert.isAtMost(open(), before.open + 2)
        assert.isBelow(heapInUse() - before.heap, 16 * 1024 * 1024)
        assert.deepStrictEqual(yield* instances.list, [])
        yield* nothingLeft
      }).pipe(Effect.provide(runtime())),
    120_000
  )

  it.scoped("the daemon's end ends every instance", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const instances = yield* Effect.provide(Instances, yield* Layer.build(runtime()))
          yield* instances.start(spec(["sleep"]), cause)
          yield* instances.start(spec(["sleep"]), cause)
        })
      )
      assert.deepStrictEqual(readdirSync(workspaces), [])
    })
  )
})
