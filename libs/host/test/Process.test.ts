import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { execFileSync, spawn as spawnChild } from "node:child_process"
import { closeSync, existsSync, mkdtempSync, openSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Process, ProcessTable } from "../src/index.ts"

const quiet = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const

const shell = (script: string, options: Partial<Process.SpawnOptions> = {}) =>
  Process.spawn({ command: "/bin/sh", args: ["-c", script], ...quiet, stdout: "tail", stderr: "tail", ...options })

/** Waits until the child has said that it is ready, which it does on stdout. */
const says = (child: Process.Process, word: string) =>
  Effect.repeat(child.stdoutTail, { until: (text) => text.includes(word), schedule: Schedule.spaced("1 millis") }).pipe(
    Effect.flatMap(() => child.stdoutTail)
  )

describe("Process", () => {
  it("T-270 one process more than its user may have is an error with a remedy", () => {
    const program = path.join(import.meta.dirname, "processLimit.ts")
    const said = execFileSync(process.execPath, ["--import", "tsx", program], { encoding: "utf8" })
    assert.deepStrictEqual(JSON.parse(said), {
      _tag: "SpawnFailed",
      cause: "failed",
      remedy: "check that /bin/true may be executed, and the limits on processes and memory"
    })
  })

  it.scoped("gives the exit code and all of the output to any number of waiters", () =>
    Effect.gen(function* () {
      const child = yield* shell("echo out; echo err >&2; exit 7")
      const [one, two] = yield* Effect.all([child.exit, child.exit], { concurrency: 2 })
      assert.deepStrictEqual(one, { code: 7, signal: null })
      assert.deepStrictEqual(two, one)
      assert.strictEqual(yield* child.stdoutTail, "out\n")
      assert.strictEqual(yield* child.stderrTail, "err\n")
    })
  )

  it.scoped("keeps the last 64 KiB of a tail, however much comes", () =>
    Effect.gen(function* () {
      const child = yield* shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end")
      yield* child.exit
      const text = yield* child.stdoutTail
      assert.strictEqual(text.length, 64 * 1024)
      assert.isTrue(text.endsWith("xxxend\n"))
    })
  )

  it.scopedLive("does not wait for a grandchild that keeps the pipe open", () =>
    Effect.gen(function* () {
      const child = yield* shell("sleep 30 & echo $!; exit 3")
      assert.strictEqual((yield* child.exit).code, 3)
      const grandchild = Number((yield* child.stdoutTail).trim())
      assert.isAbove(grandchild, 1)
      process.kill(grandchild, "SIGKILL")
    }).pipe(Effect.timeout("5 seconds"))
  )

  it.scoped("T-281 a child sees a clean environment", () =>
    Effect.gen(function* () {
      process.env["NODE_OPTIONS"] = "--title=hostile"
      process.env["LD_PRELOAD_LIKE"] = "/tmp/hostile.so"
      const child = yield* shell("/usr/bin/env", { env: { GIVEN: "yes" } })
      yield* child.exit
      delete process.env["NODE_OPTIONS"]
      delete process.env["LD_PRELOAD_LIKE"]
      const names = (yield* child.stdoutTail)
        .trim()
        .split("\n")
        .map((line) => line.split("=")[0])
      assert.includeMembers(names, ["GIVEN", "PATH"])
      const allowed = [
        "GIVEN",
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "USER",
        "XDG_RUNTIME_DIR",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD"
      ]
      assert.deepStrictEqual(
        names.filter((name) => !allowed.includes(name ?? "")),
        []
      )
    })
  )

  it.scoped("T-281 programs are not looked for in our own PATH", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(path.join(tmpdir(), "aegis-path-"))
      writeFileSync(path.join(directory, "aegis-hostile"), "#!/bin/sh\n", { mode: 0o755 })
      const before = process.env["PATH"]
      process.env["PATH"] = `${directory}:${before}`
      const error = yield* Effect.flip(Process.spawn({ command: "aegis-hostile", args: [], ...quiet }))
      process.env["PATH"] = before
      assert.strictEqual(error.cause, "not-found")
    })
  )

  it.scoped("a program that is not there is SpawnFailed with a remedy; a missing working directory is told apart", () =>
    Effect.gen(function* () {
      const absent = yield* Effect.flip(Process.spawn({ command: "aegis-no-such-program", args: [], ...quiet }))
      assert.strictEqual(absent.cause, "not-found")
      assert.include(absent.message, "aegis-no-such-program is not installed")
      assert.include(absent.remedy, "install")
      const cwd = yield* Effect.flip(shell("true", { cwd: "/no/such/directory" }))
      assert.strictEqual(cwd.cause, "failed")
      assert.include(cwd.message, "/no/such/directory")
      const denied = yield* Effect.flip(Process.spawn({ command: "/etc/passwd", args: [], ...quiet }))
      assert.strictEqual(denied.cause, "denied")
    })
  )

  it.live("T-218 the scope's end kills and reaps a child that ignores SIGTERM", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const child = yield* Scope.extend(
        shell("trap '' TERM; echo ready; while :; do sleep 1; done", { grace: "50 millis", detached: true }),
        scope
      )
      yield* says(child, "ready")
      assert.isTrue(Option.isSome(yield* child.state))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* child.exit, { code: null, signal: "SIGKILL" })
      assert.isFalse(existsSync(`/proc/${child.pid}`))
    })
  )

  it.live("the end of a detached one is the end of all that it has started", () =>
    Effect.gen(function* () {
      let grandchild = 0
      yield* Effect.scoped(
        Effect.gen(function* () {
          const child = yield* shell("sleep 60 & echo $! ready; wait", { detached: true })
          grandchild = Number.parseInt(yield* says(child, "ready"))
          assert.isTrue(existsSync(`/proc/${grandchild}`))
        })
      )
      // Its parent is gone: init reaps it, soon.
      yield* Effect.repeat(ProcessTable.read(grandchild), {
        until: Option.isNone,
        schedule: Schedule.spaced("1 millis")
      })
    })
  )

  it.live("stop gives a grace to end in, also to a stopped process", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const child = yield* shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done")
        yield* says(child, "ready")
        yield* child.pause
        assert.deepStrictEqual(yield* child.state, Option.some("T"))
        assert.deepStrictEqual(yield* child.stop("5 seconds"), { code: 5, signal: null })
        // A second stop finds it ended.
        assert.deepStrictEqual(yield* child.stop("5 seconds"), { code: 5, signal: null })
      })
    )
  )

  it.live("an interrupted fiber leaves no child behind", () =>
    Effect.gen(function* () {
      let pid = 0
      const fiber = yield* Effect.fork(
        Effect.scoped(
          Effect.gen(function* () {
            pid = (yield* shell("sleep 60")).pid
            return yield* Effect.never
          })
        )
      )
      yield* Effect.repeat(Effect.yieldNow(), { until: () => pid !== 0 })
      yield* Fiber.interrupt(fiber)
      assert.isFalse(existsSync(`/proc/${pid}`))
    })
  )

  it.scoped("extra descriptors arrive as 3, 4, …", () =>
    Effect.gen(function* () {
      const fd = openSync("/etc/hostname", "r")
      const child = yield* shell("cat <&3 >/dev/null && readlink /proc/self/fd/3", { extraFds: [fd] })
      yield* child.exit
      closeSync(fd)
      assert.strictEqual((yield* child.stdoutTail).trim(), "/etc/hostname")
    })
  )

  it.scoped("stdin pipes in, a closed reader does not break us", () =>
    Effect.gen(function* () {
      const child = yield* shell("cat", { stdin: "pipe" })
      Option.getOrThrow(child.stdin).end("through")
      yield* child.exit
      assert.strictEqual(yield* child.stdoutTail, "through")
      const gone = yield* shell("exit 0", { stdin: "pipe" })
      yield* gone.exit
      const written = Effect.async<void>((resume) => {
        Option.getOrThrow(gone.stdin).write(Buffer.alloc(1 << 20), () => resume(Effect.void))
      })
      yield* written
    })
  )
})

describe("ProcessTable", () => {
  it.live("T-257 a recorded process is killed only if its start time is the recorded one", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(path.join(tmpdir(), "aegis-table-"))
      const file = path.join(directory, "vmm.pid")
      const child = spawnChild("/bin/sleep", ["60"], { stdio: "ignore" })
      const pid = child.pid ?? 0
      yield* ProcessTable.record(file, pid)
      const entry = Option.getOrThrow(yield* ProcessTable.read(pid))
      assert.isTrue(yield* ProcessTable.isAlive(entry))
      assert.isFalse(yield* ProcessTable.end({ pid, startTime: "1" }))
      assert.isTrue(yield* ProcessTable.endRecorded(file))
      assert.isFalse(yield* ProcessTable.isAlive(entry))
      assert.isFalse(yield* ProcessTable.endRecorded(file))
    })
  )

  it.live("what a process was started with is found, and it is gone when it has been ended", () =>
    Effect.gen(function* () {
      const mark = `${mkdtempSync(path.join(tmpdir(), "aegis-table-"))}/mark`
      const child = spawnChild("/bin/sh", ["-c", "sleep 60 & wait", mark], { stdio: "ignore", detached: true })
      const found = (yield* ProcessTable.commandLines).filter(({ argv }) => argv.includes(mark))
      assert.deepStrictEqual(
        found.map(({ pid }) => pid),
        [child.pid]
      )
      for (const entry of found) assert.isTrue(yield* ProcessTable.end(entry))
      assert.isFalse((yield* ProcessTable.commandLines).some(({ argv }) => argv.includes(mark)))
      process.kill(-(child.pid ?? 0), "SIGKILL")
    })
  )

  it.effect("garbage in a record is nobody (T-259)", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(path.join(tmpdir(), "aegis-table-"))
      const file = path.join(directory, "vmm.pid")
      for (const text of ["", "\0", "-1 0", "0 0", "self 1", "1", `${process.pid} 1`, "99999999999999 5"]) {
        writeFileSync(file, text)
        assert.isFalse(yield* ProcessTable.endRecorded(file))
      }
      assert.isFalse(yield* ProcessTable.endRecorded(path.join(directory, "absent")))
    })
  )
})
