import { InstanceId, HostWorkspace, NamedWorkspace, TemporaryWorkspace, WorkspaceName } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Workspaces } from "../src/index.ts"
import { measure } from "../src/Measure.ts"

const root = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "aegis-workspaces-")))
const home = path.join(root, "home")
const places = path.join(home, "data", "workspaces")
fs.mkdirSync(places, { recursive: true })

const at = (...names: ReadonlyArray<string>) => path.join(root, ...names)
const directory = (...names: ReadonlyArray<string>) => {
  fs.mkdirSync(at(...names), { recursive: true })
  return at(...names)
}

const live = Workspaces.layer.pipe(
  Layer.provide(AegisPaths.layer("/nowhere")),
  Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", home]]))))
)

const id = InstanceId.make("inst-1")
const hostPath = (directory: string, readOnly = false) => new HostWorkspace({ path: directory, readOnly })
const acquire = (...[instance, request]: Parameters<Workspaces["Type"]["acquire"]>) =>
  Effect.flatMap(Workspaces, (workspaces) => workspaces.acquire(instance, request))

const refused = (file: string, words: string, readOnly = false) =>
  Effect.gen(function* () {
    const workspaces = yield* Workspaces
    const error = yield* Effect.flip(workspaces.locate(id, hostPath(file, readOnly)))
    assert.strictEqual(error._tag, "WorkspaceRefused", file)
    assert.include(error.message, words, file)
    assert.isAbove(error.remedy.length, 0)
  })

describe("Workspaces", () => {
  it.effect("S-062 a temporary one is private and removed when it is forgotten, whatever is in it", () =>
    Effect.gen(function* () {
      const outside = directory("outside")
      fs.writeFileSync(path.join(outside, "precious"), "")
      const made = yield* Effect.scoped(
        Effect.gen(function* () {
          const workspace = yield* acquire(id, new TemporaryWorkspace())
          assert.strictEqual(fs.statSync(workspace.path).mode & 0o777, 0o700)
          assert.strictEqual(workspace.path, path.join(places, "run-inst-1"))
          fs.symlinkSync(outside, path.join(workspace.path, "link"))
          fs.mkdirSync(path.join(workspace.path, "closed"))
          fs.chmodSync(path.join(workspace.path, "closed"), 0)
          return workspace.path
        })
      )
      assert.isTrue(fs.existsSync(made), "it outlives one run of its instance")
      yield* Effect.flatMap(Workspaces, (workspaces) => workspaces.forget(id))
      assert.isFalse(fs.existsSync(made))
      assert.deepStrictEqual(fs.readdirSync(outside), ["precious"])
    }).pipe(Effect.provide(live))
  )

  it.effect("S-063 a named one is made on demand and never removed", () =>
    Effect.gen(function* () {
      const request = new NamedWorkspace({ name: WorkspaceName.make("notes"), readOnly: true })
      const workspace = yield* Effect.scoped(acquire(id, request))
      assert.deepStrictEqual(workspace, { path: path.join(places, "notes"), readOnly: true })
      fs.writeFileSync(path.join(workspace.path, "kept"), "")
      yield* Effect.scoped(acquire(id, request))
      assert.deepStrictEqual(fs.readdirSync(workspace.path), ["kept"])
      // A symlink in its place is not followed.
      fs.symlinkSync("/etc", path.join(places, "planted"))
      const planted = new NamedWorkspace({ name: WorkspaceName.make("planted"), readOnly: false })
      assert.include((yield* Effect.flip(Effect.scoped(acquire(id, planted)))).message, "symbolic link")
      fs.unlinkSync(path.join(places, "planted"))
    }).pipe(Effect.provide(live))
  )

  it.effect(
    "T-136 T-137 a host path is resolved once, and stays afterwards; one that is gone is said to be, and not made anew",
    () =>
      Effect.gen(function* () {
        const real = directory("project")
        fs.symlinkSync(real, at("link"))
        const workspaces = yield* Workspaces
        const located = yield* workspaces.locate(id, hostPath(at("link")))
        assert.strictEqual(located, real)
        const workspace = yield* Effect.scoped(acquire(id, hostPath(located)))
        assert.deepStrictEqual(workspace, { path: real, readOnly: false })
        // T-137: what has come in its place, or nothing, is not taken for it, and nothing is made there.
        fs.renameSync(real, at("moved"))
        const gone = yield* Effect.flip(Effect.scoped(acquire(id, hostPath(real))))
        assert.deepStrictEqual([gone._tag, fs.existsSync(real)], ["WorkspaceGone", false])
        fs.symlinkSync(at("moved"), real)
        assert.strictEqual((yield* Effect.flip(workspaces.check(hostPath(real))))._tag, "WorkspaceGone")
        fs.unlinkSync(real)
        fs.renameSync(at("moved"), real)
        yield* workspaces.check(hostPath(real))
        assert.isTrue(fs.existsSync(real))
      }).pipe(Effect.provide(live))
  )

  it.effect("T-11, T-134 what would expose the host is refused", () =>
    Effect.gen(function* () {
      for (const system of ["/proc", "/sys", "/dev", "/boot", "/etc", "/etc/ssl", "/usr", "/usr/bin", "/var", "/run"]) {
        if (fs.existsSync(system)) yield* refused(system, "belongs to the system")
      }
      yield* refused("/", "directory of aegis itself")
      for (const own of [
        home,
        path.join(home, "data"),
        root,
        places,
        directory("home", "data", "workspaces", "run-inst-9")
      ]) {
        yield* refused(own, "directory of aegis itself")
      }
      fs.symlinkSync("/etc", at("to-etc"))
      yield* refused(at("to-etc"), "belongs to the system")
      yield* refused("/proc/self/cwd/../../../../../../etc", "belongs to the system")
      const userHome = process.env["HOME"]
      process.env["HOME"] = directory("users", "me")
      yield* refused(at("users", "me"), "too much to share")
      yield* refused(at("users"), "too much to share")
      yield* Effect.scoped(acquire(id, hostPath(directory("users", "me", "project"))))
      process.env["HOME"] = userHome
      // A named workspace may be given by its path, and a sibling whose name only begins like ours is not ours (T-146).
      yield* Effect.scoped(acquire(id, hostPath(directory("home", "data", "workspaces", "notes"))))
      yield* Effect.scoped(acquire(id, hostPath(directory("home-evil"))))
    }).pipe(Effect.provide(live))
  )

  it.effect("T-11, T-139 what is not there, no directory, or unusable is refused, in words", () =>
    Effect.gen(function* () {
      fs.writeFileSync(at("file"), "")
      yield* refused(at("file"), "not a directory")
      yield* refused(path.join(at("file"), "below"), "no such directory")
      yield* refused(at("absent"), "no such directory")
      yield* refused(`${directory("fine")}\n`, "line break")
      fs.symlinkSync(at("loop"), at("loop"))
      yield* refused(at("loop"), "leads to itself")
      yield* refused(`/${"x".repeat(300)}`, "too long")
      yield* Effect.scoped(acquire(id, hostPath(directory("with:colon,and comma"))))
    }).pipe(Effect.provide(live))
  )

  it.scoped("T-139 one that cannot be written is refused unless it is read-only", () =>
    Effect.gen(function* () {
      const closed = directory("closed")
      const root = process.getuid?.() === 0
      if (root) {
        // Modes do not hold root; a read-only mount does.
        yield* Effect.acquireRelease(
          Effect.sync(() => execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "none", closed])),
          () => Effect.sync(() => execFileSync("umount", [closed]))
        )
      } else fs.chmodSync(closed, 0o500)
      yield* refused(closed, "may not write")
      yield* Effect.scoped(acquire(id, hostPath(closed, true)))
      if (root) return
      fs.chmodSync(closed, 0)
      yield* refused(closed, "may not read")
    }).pipe(Effect.provide(live))
  )

  it.effect("T-140 two instances may hold one", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const shared = hostPath(directory("shared"))
        const one = yield* acquire(id, shared)
        const two = yield* acquire(InstanceId.make("inst-2"), shared)
        assert.deepStrictEqual(one, two)
      })
    ).pipe(Effect.provide(live))
  )

  it.effect("T-141 the sweep removes what temporary ones a dead daemon left, and no other", () =>
    Effect.gen(function* () {
      for (const name of fs.readdirSync(places)) fs.rmSync(path.join(places, name), { recursive: true })
      for (const name of ["run-inst-7", "run-inst-8", "notes", "run-of-the-mill"])
        directory("home", "data", "workspaces", name)
      fs.symlinkSync(directory("target"), path.join(places, "run-inst-6"))
      const removed = yield* Effect.flatMap(Workspaces, (workspaces) =>
        workspaces.sweep(new Set([InstanceId.make("inst-7")]))
      )
      assert.strictEqual(removed, 2)
      assert.sameMembers(fs.readdirSync(places), ["notes", "run-inst-7", "run-of-the-mill"])
      assert.isTrue(fs.existsSync(at("target")))
    }).pipe(Effect.provide(live))
  )

  it.effect(
    "what a workspace takes: links are not followed, hard links and holes not counted twice or at all, an end to it",
    () =>
      Effect.gen(function* () {
        const workspaces = yield* Workspaces
        const measured = directory("measured")
        const outside = directory("much")
        fs.writeFileSync(path.join(outside, "big"), Buffer.alloc(1024 * 1024, 1))
        fs.writeFileSync(path.join(measured, "data"), Buffer.alloc(100 * 1024, 1))
        fs.linkSync(path.join(measured, "data"), path.join(measured, "again"))
        fs.symlinkSync(outside, path.join(measured, "link"))
        fs.writeFileSync(path.join(measured, "sparse"), "")
        fs.truncateSync(path.join(measured, "sparse"), 1024 ** 4)
        const found = yield* workspaces.measure(measured)
        assert.deepInclude(found, { entries: 4, complete: true })
        assert.isAtLeast(found.bytes, 100 * 1024)
        assert.isBelow(found.bytes, 200 * 1024)
        for (let file = 0; file < 20; file++) fs.writeFileSync(path.join(measured, String(file)), "")
        assert.deepInclude(yield* measure(measured, 10), { entries: 10, complete: false })
        assert.deepInclude(yield* measure(at("nowhere")), { entries: 0, bytes: 0, complete: false })
      }).pipe(Effect.provide(live))
  )

  it.effect("S-063 one that a guest has is not removed, nor a link, nor what a link in it leads to", () =>
    Effect.gen(function* () {
      const workspaces = yield* Workspaces
      const name = WorkspaceName.make("removed")
      const request = new NamedWorkspace({ name, readOnly: false })
      const outside = directory("beyond")
      fs.writeFileSync(path.join(outside, "precious"), "")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const workspace = yield* acquire(id, request)
          fs.symlinkSync(outside, path.join(workspace.path, "link"))
          assert.strictEqual((yield* Effect.flip(workspaces.remove(name)))._tag, "WorkspaceInUse")
          assert.deepStrictEqual(fs.readdirSync(workspace.path), ["link"])
        })
      )
      assert.deepInclude(yield* workspaces.named, { name, path: path.join(places, "removed") })
      yield* workspaces.remove(name)
      assert.isFalse(fs.existsSync(path.join(places, "removed")))
      assert.deepStrictEqual(fs.readdirSync(outside), ["precious"])
      assert.strictEqual((yield* Effect.flip(workspaces.remove(name)))._tag, "WorkspaceUnknown")
      fs.symlinkSync(outside, path.join(places, "removed"))
      assert.strictEqual((yield* Effect.flip(workspaces.remove(name)))._tag, "WorkspaceRefused")
      assert.isFalse((yield* workspaces.named).some((one) => one.name === name))
      fs.unlinkSync(path.join(places, "removed"))
      // What a killed daemon was removing is removed by the next.
      fs.mkdirSync(path.join(places, "removed~removed-0"))
      yield* workspaces.sweep(new Set())
      assert.isFalse(fs.existsSync(path.join(places, "removed~removed-0")))
      // Made anew by the next start that names it.
      assert.deepStrictEqual(fs.readdirSync((yield* Effect.scoped(acquire(id, request))).path), [])
    }).pipe(Effect.provide(live))
  )
})
