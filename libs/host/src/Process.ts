/**
 * Child processes that are always ended and reaped: TERM, a grace, KILL. For VMs and their helpers; one-shot tools as well.
 */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn as spawnChild } from "node:child_process"
import { existsSync } from "node:fs"
import type { Readable, Writable } from "node:stream"
import * as ProcessTable from "./ProcessTable.ts"
import { TailBuffer } from "./TailBuffer.ts"

/** Both are null for a process that was another's child: nobody but its parent learns how it ended. */
export interface ExitStatus {
  readonly code: number | null
  readonly signal: string | null
}

/** The program could not be started. */
export class SpawnFailed extends Data.TaggedError("SpawnFailed")<{
  readonly command: string
  readonly cause: "not-found" | "denied" | "failed"
  readonly detail: string
}> {
  override get message() {
    return this.cause === "not-found"
      ? `${this.command} is not installed`
      : `${this.command} could not be started: ${this.detail}`
  }
  get remedy() {
    return this.cause === "not-found"
      ? `install ${this.command}; aegis doctor names the package`
      : `check that ${this.command} may be executed, and the limits on processes and memory`
  }
}

export interface SpawnOptions {
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** Added to the clean environment; the daemon's own is not inherited (T-281). */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
  /**
   * In a session of its own: a signal to our terminal's group does not reach it, and it may outlive us. Our signals reach it and
   * all that it has started in that session.
   */
  readonly detached?: boolean | undefined
  readonly stdin: "ignore" | "pipe"
  /** `tail` drains it and keeps the last 64 KiB. */
  readonly stdout: "ignore" | "tail" | "pipe"
  readonly stderr: "ignore" | "tail" | "pipe"
  /** Open files of ours that the child gets as its descriptors 3, 4, …; they stay ours to close. */
  readonly extraFds?: ReadonlyArray<number> | undefined
  /** What the scope's end gives it after SIGTERM; without one it is killed at once. */
  readonly grace?: Duration.DurationInput | undefined
}

export interface Process {
  readonly pid: number
  /** Its end; any number may wait for it. */
  readonly exit: Effect.Effect<ExitStatus>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** SIGSTOP; done when the kernel has stopped it, which other work on the machine may delay. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** SIGTERM, and SIGKILL when it has not ended within `grace`; at once without a grace. Takes at most `grace` and 2 s. */
  readonly stop: (grace: Duration.DurationInput) => Effect.Effect<ExitStatus>
  readonly stdin: Option.Option<Writable>
  readonly stdout: Option.Option<Readable>
  readonly stderr: Option.Option<Readable>
  /** The last 64 KiB of a `tail`; everything up to the end when the process has ended. */
  readonly stdoutTail: Effect.Effect<string>
  readonly stderrTail: Effect.Effect<string>
  /** The kernel's letter for what it does: `R`, `S`, `T` when stopped; none when it is gone. */
  readonly state: Effect.Effect<Option.Option<string>>
}

const tailBytes = 64 * 1024

/** How long a killed process may take to be gone: one in an uninterruptible sleep is not waited for any longer. */
const killPatience = Duration.seconds(2)

/** Output that is still in a pipe when its writer ends is waited for this long: a grandchild may hold the pipe open. */
const drainPatience = Duration.millis(200)

/** Variables a child may see of ours: nothing that changes how a program is loaded or behaves. */
const inherited = ["HOME", "LANG", "TMPDIR", "USER", "XDG_RUNTIME_DIR"]

/** The environment of every child; ours is not inherited, and programs are looked for where systems keep theirs (T-281). */
export const cleanEnvironment = (added: Readonly<Record<string, string>> = {}): Record<string, string> => {
  const environment: Record<string, string> = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin"
  }
  for (const name of inherited) {
    const value = process.env[name]
    if (value !== undefined) environment[name] = value
  }
  return { ...environment, ...added }
}

/** Starts a program; the scope's end ends it. */
export const spawn = (options: SpawnOptions): Effect.Effect<Process, SpawnFailed, Scope.Scope> =>
  Effect.acquireRelease(start(options), (process) => process.stop(options.grace ?? Duration.zero)).pipe(
    Effect.withSpan("Process.spawn", { attributes: { command: options.command } })
  )

const start = (options: SpawnOptions): Effect.Effect<Process, SpawnFailed> =>
  Effect.gen(function* () {
    const exit = yield* Deferred.make<ExitStatus>()
    const child = yield* Effect.async<ChildProcess, SpawnFailed>((resume) => {
      const stdio = (choice: "ignore" | "tail" | "pipe") => (choice === "ignore" ? "ignore" : "pipe")
      const spawned = spawnChild(options.command, options.args, {
        cwd: options.cwd,
        env: cleanEnvironment(options.env ?? {}),
        detached: options.detached ?? false,
        stdio: [options.stdin, stdio(options.stdout), stdio(options.stderr), ...(options.extraFds ?? [])]
      })
      spawned.once("error", (error: NodeJS.ErrnoException) => resume(notStarted(options, error)))
      spawned.once("exit", (code, signal) => Deferred.unsafeDone(exit, Effect.succeed({ code, signal })))
      spawned.once("spawn", () => resume(Effect.succeed(spawned)))
    })
    // A pipe to a child that has gone breaks; who uses it hears of that, and nobody else must.
    child.stdin?.on("error", () => undefined)
    const stdoutTail = tailOf(options.stdout, child.stdout)
    const stderrTail = tailOf(options.stderr, child.stderr)
    const pid = child.pid ?? 0
    const signal = (name: NodeJS.Signals) =>
      Effect.sync(() => {
        // Once it is reaped, its number may be another's.
        if (child.exitCode !== null || child.signalCode !== null) return
        sendSignal(options.detached === true ? -pid : pid, name)
      })
    const ended = Deferred.await(exit)
    const state = stateOf(pid)
    const tailWhenDrained = (tail: Tail) =>
      Effect.gen(function* () {
        if (yield* Deferred.isDone(exit)) yield* Effect.timeoutOption(Effect.interruptible(tail.drained), drainPatience)
        return tail.buffer.text()
      })
    return {
      pid,
      exit: ended,
      signal,
      pause: pauser(signal, state),
      resume: signal("SIGCONT"),
      stop: stopper(exit, signal),
      stdin: Option.fromNullable(child.stdin),
      stdout: Option.fromNullable(child.stdout),
      stderr: Option.fromNullable(child.stderr),
      stdoutTail: tailWhenDrained(stdoutTail),
      stderrTail: tailWhenDrained(stderrTail),
      state
    }
  })

const stateOf = (pid: number): Process["state"] =>
  Effect.map(
    ProcessTable.read(pid),
    Option.map(({ state }) => state)
  )

/** How long a process may go on after its SIGSTOP before nobody waits for that any more. */
const pausePatience = Duration.seconds(2)

const pauser = (signal: Process["signal"], state: Process["state"]): Effect.Effect<void> =>
  Effect.zipRight(
    signal("SIGSTOP"),
    Effect.repeat(state, {
      until: (letter) => Option.isNone(letter) || letter.value === "T",
      schedule: Schedule.spaced("2 millis")
    }).pipe(Effect.interruptible, Effect.timeoutOption(pausePatience), Effect.asVoid)
  )

/** SIGTERM, the grace, SIGKILL. */
const stopper =
  (exit: Deferred.Deferred<ExitStatus>, signal: Process["signal"]): Process["stop"] =>
  (grace) =>
    Effect.gen(function* () {
      const ended = Deferred.await(exit)
      // A finalizer runs uninterruptibly, where a timeout would wait for what it gives up.
      const endsWithin = (patience: Duration.Duration) => Effect.timeoutOption(Effect.interruptible(ended), patience)
      if (yield* Deferred.isDone(exit)) return yield* ended
      const patience = Duration.decode(grace)
      if (Duration.greaterThan(patience, Duration.zero)) {
        yield* signal("SIGTERM")
        // A stopped process takes its SIGTERM only when it goes on.
        yield* signal("SIGCONT")
        const obeyed = yield* endsWithin(patience)
        if (Option.isSome(obeyed)) return obeyed.value
      }
      yield* signal("SIGKILL")
      const killed = yield* endsWithin(killPatience)
      return Option.getOrElse(killed, (): ExitStatus => ({ code: null, signal: "SIGKILL" }))
    })

/** How often a process that is not our child is looked at: nothing else tells of its end. Each VM has up to three. */
const lookAgain = Duration.millis(250)

/** Every so many looks it is told from a later one of its number, and from one that only waits to be reaped. */
const closeLook = 8

/** The same while somebody who ends it waits for that: a VM and its helpers are ended one after the other. */
const lookSoon = Duration.millis(5)

/**
 * Takes over a process that an earlier daemon started in a session of its own; none when that very process is gone. The scope's end ends
 * it. Its streams are lost, and how it ends is not known.
 */
export const adopt = (
  entry: Pick<ProcessTable.ProcessEntry, "pid" | "startTime">
): Effect.Effect<Option.Option<Process>, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (!(yield* ProcessTable.isAlive(entry))) return Option.none()
    const exit = yield* Deferred.make<ExitStatus>()
    const gone: ExitStatus = { code: null, signal: null }
    // A loop of its own: the driver of a schedule takes several times as long as the look.
    const look = (every: Duration.Duration, close: number, left = 0): Effect.Effect<unknown> =>
      Effect.flatMap(left > 0 ? ProcessTable.exists(entry.pid) : ProcessTable.isAlive(entry), (alive) =>
        alive
          ? Effect.flatMap(Effect.sleep(every), () => look(every, close, left > 0 ? left - 1 : close - 1))
          : Deferred.succeed(exit, gone)
      )
    const watch = (every: Duration.Duration, close: number) => Effect.interruptible(look(every, close))
    yield* Effect.forkScoped(watch(lookAgain, closeLook))
    const signal: Process["signal"] = (name) =>
      Effect.flatMap(ProcessTable.isAlive(entry), (alive) =>
        alive ? Effect.sync(() => sendSignal(-entry.pid, name)) : Effect.void
      )
    const state = stateOf(entry.pid)
    const end = stopper(exit, signal)
    const stop: Process["stop"] = (grace) =>
      Effect.acquireUseRelease(Effect.fork(watch(lookSoon, 1)), () => end(grace), Fiber.interrupt)
    const process: Process = {
      pid: entry.pid,
      exit: Deferred.await(exit),
      signal,
      pause: pauser(signal, state),
      resume: signal("SIGCONT"),
      stop,
      stdin: Option.none(),
      stdout: Option.none(),
      stderr: Option.none(),
      stdoutTail: Effect.succeed(""),
      stderrTail: Effect.succeed(""),
      state
    }
    yield* Effect.addFinalizer(() => stop(Duration.zero))
    return Option.some(process)
  })

const sendSignal = (target: number, name: NodeJS.Signals) => {
  try {
    process.kill(target, name)
  } catch {
    // Gone in this very moment, or another user's by now (a setuid program): there is nobody to signal.
  }
}

interface Tail {
  readonly buffer: TailBuffer
  /** Done when the stream has given its last byte. */
  readonly drained: Effect.Effect<void>
}

const tailOf = (choice: "ignore" | "tail" | "pipe", stream: Readable | null): Tail => {
  const buffer = new TailBuffer(tailBytes)
  if (choice !== "tail" || stream === null) return { buffer, drained: Effect.void }
  const closed = Deferred.unsafeMake<void>(FiberId.none)
  stream.on("data", (bytes: Uint8Array) => buffer.push(bytes))
  stream.once("close", () => Deferred.unsafeDone(closed, Effect.void))
  return { buffer, drained: Deferred.await(closed) }
}

const notStarted = ({ command, cwd }: SpawnOptions, { code, message }: NodeJS.ErrnoException) => {
  // The kernel says ENOENT for a working directory that is not there, too.
  const cwdGone = cwd !== undefined && !existsSync(cwd)
  return new SpawnFailed({
    command,
    cause: code === "ENOENT" && !cwdGone ? "not-found" : code === "EACCES" ? "denied" : "failed",
    detail: cwdGone ? `its working directory ${cwd} is not there` : message
  })
}
