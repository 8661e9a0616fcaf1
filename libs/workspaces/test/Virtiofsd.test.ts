import { UnixSocket } from "@aegis/host"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Virtiofsd } from "../src/index.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "aegis-virtiofsd-")))),
  (directory) => Effect.sync(() => execFileSync("rm", ["-rf", directory]))
)

/** A stand-in that is started as virtiofsd is: it keeps its arguments and where it is, and listens as told. */
const standIn = `#!${process.execPath}
const words = process.argv.slice(2)
const socket = words.find((word) => word.startsWith("--socket-path=")).slice("--socket-path=".length)
require("fs").writeFileSync(socket + ".told", JSON.stringify({ words, cwd: process.cwd() }))
require("net").createServer().listen(socket)
`

const machine = (script = standIn) =>
  Effect.map(temporary, (root) => {
    const at = (...names: ReadonlyArray<string>) => path.join(root, ...names)
    fs.writeFileSync(at("virtiofsd"), script, { mode: 0o755 })
    fs.mkdirSync(at("run"))
    fs.mkdirSync(at("shared, with: separators"))
    return { at, program: at("virtiofsd"), path: at("shared, with: separators"), socketPath: at("run", "w.sock") }
  })

describe("Virtiofsd", () => {
  it.scopedLive("serves the directory it is in, listens, is recorded, and ends with the scope", () =>
    Effect.gen(function* () {
      const on = yield* machine()
      const scope = yield* Effect.acquireRelease(Scope.make(), (made) => Scope.close(made, Exit.void))
      const server = yield* Scope.extend(Virtiofsd.serve({ ...on, readOnly: true }), scope)
      assert.strictEqual(yield* UnixSocket.probe(on.socketPath), "listening")
      const told: unknown = JSON.parse(fs.readFileSync(`${on.socketPath}.told`, "utf8"))
      assert.deepInclude(told, { cwd: on.path })
      const words = JSON.stringify(told)
      for (const word of ["--shared-dir=.", "--sandbox=namespace", "--seccomp=kill", "--readonly"]) {
        assert.include(words, `"${word}"`)
      }
      assert.match(fs.readFileSync(on.at("run", "virtiofsd.pid"), "utf8"), new RegExp(`^${server.pid} [0-9]+\n$`))
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Option.isNone(yield* server.state))
    })
  )

  it.scopedLive("T-138 a directory that has become a symlink since it was checked is refused", () =>
    Effect.gen(function* () {
      const on = yield* machine()
      fs.mkdirSync(on.at("parent", "shared"), { recursive: true })
      fs.renameSync(on.at("parent"), on.at("moved"))
      fs.symlinkSync(on.at("moved"), on.at("parent"))
      const above = yield* Effect.flip(Virtiofsd.serve({ ...on, path: on.at("parent", "shared"), readOnly: false }))
      assert.include(above.message, "replaced by a symlink")
      fs.symlinkSync("/etc", on.at("link"))
      const itself = yield* Effect.flip(Virtiofsd.serve({ ...on, path: on.at("link"), readOnly: false }))
      assert.include(itself.message, "has changed")
    })
  )

  it.scopedLive("one that ends at once fails with its own words; one that is missing is named", () =>
    Effect.gen(function* () {
      const on = yield* machine("#!/bin/sh\necho 'no user namespaces' >&2; exit 1\n")
      const ended = yield* Effect.flip(Virtiofsd.serve({ ...on, readOnly: false }))
      assert.include(ended.message, "no user namespaces")
      const missing = yield* Effect.flip(Virtiofsd.serve({ ...on, program: on.at("absent"), readOnly: false }))
      assert.include(missing.message, "not installed")
      assert.isAbove(missing.remedy.length, 0)
    })
  )
})
