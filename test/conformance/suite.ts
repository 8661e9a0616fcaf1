/**
 * What every backend must do, run against each of them: the same guest, the same channel, the same end.
 */
import { MemoryMib, VcpuCount } from "@aegis/domain"
import { BootMessage, type Frame, type GuestEvents, protocolVersion } from "@aegis/guest"
import { ProcessTable } from "@aegis/host"
import type { Vm, VmBackend } from "@aegis/vm"
import { assert } from "chai"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

export interface ConformanceOptions {
  readonly backend: Effect.Effect<VmBackend>
  /** An image with a shell and busybox's tools; none for a simulated guest. */
  readonly rootDisk: string | undefined
  /** Where the VMs' run directories are: empty when none runs. */
  readonly runDirectory: string | undefined
  /** How much longer than on a machine with a hypervisor things may take. */
  readonly patience: number
}

const memoryMib = MemoryMib.make(256)
const vcpus = VcpuCount.make(1)

const boot = (options: ConformanceOptions, id: string) =>
  Effect.flatMap(options.backend, (backend) => backend.boot({ id, memoryMib, vcpus, rootDisk: options.rootDisk }))

const message = (vm: Vm, argv: BootMessage["argv"], more: Partial<BootMessage> = {}) =>
  new BootMessage({
    protocol: protocolVersion,
    argv,
    env: Redacted.make({ PATH: "/bin" }),
    cwd: "/",
    hostname: "guest",
    clockMs: 1_795_515_600_000,
    seed: Buffer.alloc(64, 7),
    rootDevice: vm.rootDevice,
    stdin: "null",
    ...more
  })

const shell = (script: string): BootMessage["argv"] => ["/bin/sh", "-c", script]

/** Everything a guest says until its command has ended, acknowledged as it comes. */
const collect = ({ acknowledge, frames }: GuestEvents) =>
  frames.pipe(
    Stream.tap((frame) => acknowledge(frame.seq)),
    Stream.runCollect,
    Effect.map(Chunk.toReadonlyArray)
  )

const bytesOf = (frames: ReadonlyArray<Frame>, stream = "stdout") =>
  Buffer.concat(frames.flatMap((frame) => (frame._tag === "Output" && frame.stream === stream ? [frame.bytes] : [])))

const exitOf = (frames: ReadonlyArray<Frame>) => {
  const last = frames.at(-1)
  return last?._tag === "Exit" ? last.event : undefined
}

/** Boots the command, feeds it `input` when there is some, and collects what it says. */
const runIn = (vm: Vm, argv: BootMessage["argv"], more: Partial<BootMessage> = {}, input?: Uint8Array) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* vm.guest.boot(message(vm, argv, input === undefined ? more : { ...more, stdin: "pipe" }))
      if (input !== undefined) yield* Effect.forkScoped(feed(vm, input))
      return yield* Effect.flatMap(vm.guest.events(0n), collect)
    })
  )

/** Writes and closes the command's standard input, which exists once `boot` has succeeded. */
const feed = (vm: Vm, bytes: Uint8Array) => Effect.scoped(Effect.flatMap(vm.guest.stdin, (write) => write(bytes)))

export interface ConformanceCase {
  readonly title: string
  readonly body: Effect.Effect<void, unknown, Scope.Scope>
}

/** The cases as data: vitest runs them on this machine, a plain program where vitest would take minutes to start. */
export const conformanceCases = (options: ConformanceOptions): ReadonlyArray<ConformanceCase> => {
  const cases: Array<ConformanceCase> = []
  const test = (title: string, body: ConformanceCase["body"]) => cases.push({ title, body })

  test(
    "a guest answers, runs a command and says how it ended",
    Effect.gen(function* () {
      const vm = yield* boot(options, "plain")
      assert.deepInclude(yield* vm.guest.health, { protocol: 1, state: "waiting" })
      const frames = yield* runIn(vm, shell("echo out; echo err >&2; exit 42"))
      assert.strictEqual(bytesOf(frames).toString(), "out\n")
      assert.strictEqual(bytesOf(frames, "stderr").toString(), "err\n")
      assert.deepInclude(exitOf(frames), { code: 42 })
      assert.deepInclude(yield* vm.guest.health, { state: "exited" })
    })
  )

  test(
    "S-009 argv and environment arrive as they were sent",
    Effect.gen(function* () {
      const vm = yield* boot(options, "argv")
      const env = Redacted.make({ PATH: "/bin", A: "", B: "x=y z", C: "ä\n" })
      const frames = yield* runIn(vm, ["/bin/sh", "-c", 'printf "%s|" "$0" "$1" "$A" "$B" "$C"', "--name", "a  b"], {
        env
      })
      assert.strictEqual(bytesOf(frames).toString(), "--name|a  b||x=y z|ä\n|")
    })
  )

  test(
    "bytes are bytes: every value, no newline at the end",
    Effect.gen(function* () {
      const vm = yield* boot(options, "bytes")
      const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
      const frames = yield* runIn(vm, shell("cat"), {}, every)
      assert.deepStrictEqual([...bytesOf(frames)], [...every])
    })
  )

  test(
    "a death by signal is told apart from an exit code",
    Effect.gen(function* () {
      const vm = yield* boot(options, "signal")
      assert.deepInclude(exitOf(yield* runIn(vm, shell("kill -9 $$"))), { signal: 9 })
    })
  )

  test(
    "T-211 a program that is not there is refused by name",
    Effect.gen(function* () {
      const vm = yield* boot(options, "missing")
      const error = yield* Effect.flip(vm.guest.boot(message(vm, ["no-such-program"])))
      assert.deepInclude(error, { _tag: "HarnessRefused", code: "spawn-not-found" })
    })
  )

  test(
    "a second boot message is refused",
    Effect.gen(function* () {
      const vm = yield* boot(options, "twice")
      yield* runIn(vm, shell("exit 0"))
      assert.deepInclude(yield* Effect.flip(vm.guest.boot(message(vm, shell("exit 0")))), { code: "state" })
    })
  )

  test(
    "T-207 a slow reader blocks the command and loses nothing: 4 MiB",
    Effect.gen(function* () {
      const vm = yield* boot(options, "slow")
      yield* vm.guest.boot(message(vm, shell("head -c 4194304 /dev/zero")))
      const { acknowledge, frames } = yield* vm.guest.events(0n)
      const total = yield* frames.pipe(
        Stream.tap((frame) => Effect.zipRight(Effect.sleep("2 millis"), acknowledge(frame.seq))),
        Stream.runFold(0, (sum, frame) => (frame._tag === "Output" ? sum + frame.bytes.length : sum))
      )
      assert.strictEqual(total, 4 * 1024 * 1024)
    })
  )

  test(
    "a reader that comes back begins where it left off",
    Effect.gen(function* () {
      const vm = yield* boot(options, "resume")
      yield* vm.guest.boot(message(vm, shell("printf one; read x; printf two"), { stdin: "pipe" }))
      const first = yield* Effect.scoped(Effect.flatMap(vm.guest.events(0n), ({ frames }) => Stream.runHead(frames)))
      assert.strictEqual(Option.getOrUndefined(first)?.seq, 1n)
      const rest = yield* Effect.flatMap(vm.guest.events(0n), collect).pipe(
        Effect.zipLeft(feed(vm, Buffer.from("\n")), { concurrent: true }),
        Effect.scoped
      )
      assert.strictEqual(bytesOf(rest).toString(), "onetwo")
    })
  )

  test(
    "a signal reaches the command",
    Effect.gen(function* () {
      const vm = yield* boot(options, "term")
      yield* vm.guest.boot(
        message(vm, shell("trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done"))
      )
      const { acknowledge, frames } = yield* vm.guest.events(0n)
      const all = yield* frames.pipe(
        Stream.tap((frame) => acknowledge(frame.seq)),
        Stream.tap((frame) =>
          frame._tag === "Output" && Buffer.from(frame.bytes).includes("ready") ? vm.guest.signal(15) : Effect.void
        ),
        Stream.runCollect,
        Effect.map(Chunk.toReadonlyArray)
      )
      assert.include(bytesOf(all).toString(), "caught")
      assert.deepInclude(exitOf(all), { code: 3 })
    })
  )

  test(
    "shutdown ends the command and then the machine",
    Effect.gen(function* () {
      const vm = yield* boot(options, "shutdown")
      yield* vm.guest.boot(message(vm, shell("sleep 1000")))
      const end = yield* Effect.flatMap(vm.guest.events(0n), collect).pipe(Effect.scoped, Effect.fork)
      yield* vm.guest.shutdown(Duration.seconds(5))
      assert.strictEqual(exitOf(yield* Fiber.join(end))?.signal, 15)
      const ended = yield* vm.ended.pipe(Effect.timeoutOption(Duration.seconds(5 * options.patience)))
      assert.isTrue(Option.isSome(ended), "the VM's process did not end")
    })
  )

  test(
    "S-133 a paused VM's process is stopped, and goes on where it was",
    Effect.gen(function* () {
      const vm = yield* boot(options, "pause")
      if (vm.pid === undefined) return
      yield* vm.pause
      const { pid } = vm
      const state = Effect.map(ProcessTable.read(pid), (entry) => Option.getOrUndefined(entry)?.state)
      assert.strictEqual(yield* state.pipe(Effect.repeat({ until: (letter) => letter === "T" })), "T")
      yield* vm.resume
      assert.deepInclude(yield* vm.guest.health, { state: "waiting" })
    })
  )

  test(
    "T-215 a VMM that is killed shows at once",
    Effect.gen(function* () {
      const vm = yield* boot(options, "killed")
      if (vm.pid === undefined) return
      process.kill(vm.pid, "SIGKILL")
      const ended = yield* vm.ended.pipe(Effect.timeout("1 second"))
      assert.strictEqual(ended.cause, "killed by SIGKILL")
      assert.strictEqual((yield* Effect.flip(vm.guest.health))._tag, "ChannelBroken")
    })
  )

  test(
    "T-229 a guest that spins is ended all the same, and leaves neither process nor directory",
    Effect.gen(function* () {
      const pid = yield* Effect.scoped(
        Effect.gen(function* () {
          const vm = yield* boot(options, "spin")
          yield* vm.guest.boot(message(vm, shell("while :; do :; done")))
          return vm.pid
        })
      )
      if (pid !== undefined) assert.isTrue(Option.isNone(yield* ProcessTable.read(pid)))
      yield* nothingIn(options.runDirectory)
    })
  )

  test(
    "two VMs at once do not disturb each other",
    Effect.gen(function* () {
      const run = (id: string) => Effect.flatMap(boot(options, id), (vm) => runIn(vm, shell(`echo ${id}`)))
      const [one, two] = yield* Effect.all([run("one"), run("two")], { concurrency: 2 })
      assert.deepStrictEqual([bytesOf(one).toString(), bytesOf(two).toString()], ["one\n", "two\n"])
    })
  )
  return cases
}

const nothingIn = (directory: string | undefined) =>
  Effect.promise(async () => {
    if (directory === undefined) return
    const { readdir } = await import("node:fs/promises")
    assert.deepStrictEqual(await readdir(directory).catch(() => []), [])
  })
