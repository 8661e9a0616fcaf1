import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { AegisPaths, Lock, UnixSocket } from "../src/index.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "aegis-socket-"))),
  (directory) => Effect.sync(() => execFileSync("rm", ["-rf", directory]))
)

const listen = (file: string) =>
  Effect.acquireRelease(
    Effect.async<net.Server>((resume) => {
      const server = net.createServer().listen(file, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  )

/** A socket's file whose listener was killed. */
const leave = (file: string) =>
  spawnSync(process.execPath, [
    "-e",
    "require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))",
    file
  ])

describe("UnixSocket", () => {
  it.scoped("tells a listener from a stale file, from nothing and from what is no socket", () =>
    Effect.gen(function* () {
      const at = (name: string) => path.join(directory, name)
      const directory = yield* temporary
      yield* listen(at("live"))
      leave(at("stale"))
      fs.writeFileSync(at("file"), "")
      fs.mkdirSync(at("directory"))
      fs.symlinkSync(at("live"), at("link"))
      fs.symlinkSync(at("nowhere"), at("dangling"))
      assert.strictEqual(yield* UnixSocket.probe(at("live")), "listening")
      assert.strictEqual(yield* UnixSocket.probe(at("stale")), "refused")
      assert.strictEqual(yield* UnixSocket.probe(at("absent")), "absent")
      assert.isTrue(yield* UnixSocket.isListening(at("live")))
      for (const name of ["stale", "absent", "file", "link"]) {
        assert.isFalse(yield* UnixSocket.isListening(at(name)), name)
      }
      for (const name of ["file", "directory", "link", "dangling"]) {
        assert.strictEqual(yield* UnixSocket.probe(at(name)), "not-a-socket", name)
      }
    })
  )

  it.scoped("T-258 removes a stale socket and nothing else", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const at = (name: string) => path.join(directory, name)
      yield* listen(at("live"))
      leave(at("stale"))
      fs.writeFileSync(at("file"), "")
      fs.symlinkSync(at("stale"), at("link"))
      yield* UnixSocket.removeStale(at("absent"))
      for (const name of ["live", "file", "link"]) {
        assert.strictEqual((yield* Effect.flip(UnixSocket.removeStale(at(name)))).code, "EEXIST", name)
      }
      yield* UnixSocket.removeStale(at("stale"))
      assert.sameMembers(fs.readdirSync(directory), ["live", "file", "link"])
    })
  )

  it.scoped("connects, and fails with the system's code where nobody listens", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* listen(path.join(directory, "s"))
      const socket = yield* UnixSocket.connect(path.join(directory, "s"))
      socket.destroy()
      assert.strictEqual((yield* Effect.flip(UnixSocket.connect(path.join(directory, "t")))).code, "ENOENT")
    })
  )
})

describe("Lock", () => {
  it.scoped("T-256 excludes another process until the scope closes", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const file = path.join(directory, "lock")
      const other = () => spawnSync("flock", ["-n", file, "true"]).status
      const scope = yield* Scope.make()
      yield* Scope.extend(Lock.acquire(file), scope)
      assert.strictEqual(other(), 1)
      // Also another holder in this very process.
      assert.strictEqual((yield* Effect.flip(Effect.scoped(Lock.acquire(file))))._tag, "LockHeld")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(other(), 0)
      yield* Lock.acquire(file)
    })
  )

  it.scoped("a waiter gets it from its holder; a symlink is not followed", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const file = path.join(directory, "lock")
      const scope = yield* Scope.make()
      yield* Scope.extend(Lock.acquire(file), scope)
      const waiting = yield* Effect.fork(Effect.scoped(Lock.acquire(file, true)))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      yield* waiting
      fs.symlinkSync(path.join(directory, "elsewhere"), path.join(directory, "link"))
      assert.strictEqual((yield* Effect.flip(Lock.acquire(path.join(directory, "link"))))._tag, "LockFailed")
      assert.isFalse(fs.existsSync(path.join(directory, "elsewhere")))
    })
  )
})

describe("AegisPaths", () => {
  const paths = (environment: Record<string, string>) =>
    AegisPaths.pipe(
      Effect.provide(AegisPaths.layer("/product")),
      Effect.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)))))
    )

  it.effect("D-13 AEGIS_HOME moves the home; without it, it is ~/.aegis", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* paths({ HOME: "/home/u" })).home, "/home/u/.aegis")
      const moved = yield* paths({ HOME: "/home/u", AEGIS_HOME: "/srv/a" })
      assert.strictEqual(moved.socket, "/srv/a/aegisd.sock")
      assert.strictEqual(moved.pidFile, "/srv/a/data/aegisd.pid")
    })
  )

  it.effect("an unset, empty or relative home is InvalidArgument", () =>
    Effect.gen(function* () {
      for (const environment of [{}, { HOME: "" }, { HOME: "relative" }, { HOME: "/h", AEGIS_HOME: "here" }]) {
        const error = yield* Effect.flip(paths(environment))
        assert.strictEqual(error._tag, "InvalidArgument")
        assert.include(error.remedy, "absolute path")
      }
    })
  )

  it.effect("D-13 every socket's path stays under 100 bytes, differs by home, and is the same every time", () =>
    Effect.gen(function* () {
      const long = (letter: string) => `/home/${letter.repeat(200)}`
      const [one, again, two] = yield* Effect.all([long("a"), long("a"), long("b")].map((HOME) => paths({ HOME })))
      assert.deepStrictEqual(one?.runDir("inst-1"), again?.runDir("inst-1"))
      assert.notStrictEqual(one?.socket, two?.socket)
      assert.notStrictEqual(one?.runDir("inst-1"), two?.runDir("inst-1"))
      for (const length of [1, 30, 60, 70, 80, 90, 100, 250]) {
        const found = yield* paths({ HOME: `/${"h".repeat(length)}` })
        assert.isAtMost(Buffer.byteLength(found.socket), 100)
        assert.isAtMost(Buffer.byteLength(`${found.runDir("inst-1764000000000000000")}/workspace.sock`), 100)
      }
    })
  )
})
