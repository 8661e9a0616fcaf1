/**
 * What guests can do to directories of the host, with root's whole power in them: one guest may write to a directory, the other has
 * been given the same one read-only.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { fsxCommand, fsxWorkspace } from "../product/Fsx.ts"
import { Product } from "../product/Product.ts"
import { attacks, attempts, escapes } from "../product/WorkspaceAttacks.ts"

describe("workspaces, against guests that mean harm", () => {
  const outer = realpathSync(mkdtempSync(path.join(tmpdir(), "aegis-shared-")))
  const share = path.join(outer, "share")
  const marker = "marker-of-the-host-7f3a"
  let aegis: Product

  beforeAll(async () => {
    mkdirSync(path.join(share, "sub"), { recursive: true })
    writeFileSync(path.join(outer, "secret.txt"), marker)
    writeFileSync(path.join(share, "file.txt"), "the host's\n")
    writeFileSync(path.join(share, "sub/deep.txt"), "deep\n")
    chmodSync(path.join(share, "file.txt"), 0o644)
    aegis = await Product.make()
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    // The CLI resolves what is relative to where it stands.
    for (const [name, text] of [
      ["reader", "./share:ro"],
      ["writer", "share/"]
    ] as const) {
      const flags = ["--name", name, "--idle-pause", "0", "--workspace", text]
      const started = await aegis.run(["instance", "start", ...flags, "--", "sleep", "10000"], { cwd: outer })
      assert.strictEqual(started.code, 0, started.stderr)
    }
  }, 600_000)
  afterAll(async () => {
    await aegis.remove()
    rmSync(outer, { recursive: true, force: true })
  })

  const python = (instance: string, script: string) => aegis.run(["exec", instance, "--", "python3", "-c", script])

  /** Names, kinds, modes, owners, sizes, times of change and contents of everything there. */
  const state = () =>
    execFileSync(
      "sh",
      ["-c", "find . -printf '%P %y %m %U %G %s %T@ %C@ %n\\n' | sort; find . -type f -exec cat {} +"],
      {
        cwd: share
      }
    ).toString()

  it("T-135 a relative path is resolved by the CLI, from where it stands, and shown as what it is", async () => {
    for (const name of ["reader", "writer"]) {
      const info = await aegis.says("instance", "info", name)
      assert.include(info, `Workspace:   ${share}\n`)
    }
  })

  it("T-140 info says that two instances share one", async () => {
    assert.include(await aegis.says("instance", "info", "reader"), "Shared with: writer\n")
    const told = JSON.parse(await aegis.says("instance", "info", "writer", "--json"))
    assert.deepStrictEqual(told.workspace_shared_with, ["reader"])
  })

  it("S-119 S-143 a named workspace is listed, refused to be removed while an instance has it, and removed by its own command alone", async () => {
    assert.strictEqual(await aegis.says("workspace", "list"), "No workspaces\n")
    const ran = await aegis.run([
      "run",
      "--workspace",
      "notes",
      "--",
      "sh",
      "-c",
      "seq 100000 > n; ln -s /etc e; ln n m"
    ])
    assert.strictEqual(ran.code, 0, ran.stderr)
    const started = await aegis.run(["instance", "start", "--name", "third", "--workspace", "notes:ro", "--", "true"])
    assert.strictEqual(started.code, 0, started.stderr)
    await aegis.run(["instance", "wait", "third"])
    const [listed] = JSON.parse(await aegis.says("workspace", "list", "--json"))
    assert.deepInclude(listed, { name: "notes", entries: 3, complete: true })
    assert.isAtLeast(listed.bytes, 588_895)
    assert.isBelow(listed.bytes, 2 * 588_895)
    assert.match(await aegis.says("workspace", "inspect", "notes"), /\nUsed by: {5}third \(stopped\)\n$/)
    const inUse = await aegis.run(["workspace", "remove", "notes"])
    assert.deepStrictEqual([inUse.code, inUse.stdout], [1, ""])
    assert.include(inUse.stderr, "is used by third")
    await aegis.says("instance", "prune", "--stopped-older-than", "0s")
    assert.include(await aegis.says("workspace", "list"), "notes")
    assert.match(await aegis.says("workspace", "remove", "notes"), /^Workspace notes removed, \d/)
    assert.strictEqual(await aegis.says("workspace", "list"), "No workspaces\n")
    assert.deepStrictEqual(readdirSync(path.join(aegis.home, "data/workspaces")), [])
    assert.match(await aegis.says("events"), /workspace notes removed, .*\(aegis workspace remove\)/)
  })

  it("S-074 :ro is held by the host: root of the guest remounts it, mounts it anew, and changes nothing", async () => {
    const before = state()
    const { code, stderr, stdout } = await python("reader", attacks)
    assert.strictEqual(code, 0, stderr)
    // What the guest's own kernel believes is its own business; that the attacks were carried out is ours.
    assert.match(stdout, /^remount 1 .*\nmounted anew 1 /)
    assert.include(stdout, "read the host's\n")
    assert.notInclude(stdout, "DONE")
    assert.strictEqual(stdout.match(/^refused /gm)?.length, attempts, stdout)
    assert.strictEqual(state(), before)
  })

  it("T-248 no way leads out of the shared directory: links, .., and forged file handles", async () => {
    assert.strictEqual(readFileSync(path.join(outer, "secret.txt"), "utf8"), marker)
    const { code, stderr, stdout } = await python("writer", escapes(outer))
    assert.strictEqual(code, 0, stderr)
    assert.include(stdout, "handles tried 2004 0")
    assert.notInclude(stdout, marker)
    assert.notInclude(stdout, "ESCAPED")
    // Links to the host's own places lie there now, and the host's side of it followed none.
    assert.sameMembers(readdirSync(outer), ["secret.txt", "share"])
    assert.strictEqual(readFileSync(path.join(outer, "secret.txt"), "utf8"), marker)
  })

  it("T-248 the process that serves it sees nothing else of the host", () => {
    const run = path.join(aegis.home, "data/run")
    const servers = readdirSync(run)
      .map((name) => path.join(run, name, "virtiofsd.pid"))
      .filter((file) => existsSync(file))
      .map((file) => Number(/\d+/.exec(readFileSync(file, "utf8"))?.[0]))
    assert.strictEqual(servers.length, 2)
    for (const pid of servers) {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean)
      // It forks once into its namespaces; the last of them serves.
      const server = children.at(-1) ?? String(pid)
      assert.sameMembers(readdirSync(`/proc/${server}/root/`), readdirSync(share))
      assert.isFalse(existsSync(`/proc/${server}/root/../secret.txt`))
      assert.isFalse(existsSync(`/proc/${server}/root${outer}/secret.txt`))
    }
  })

  it("fsx finds every byte of a file as it must be, whatever way it was written, and so does the host", async () => {
    const directory = path.join(outer, "fsx")
    await fsxWorkspace(directory)
    const { code, stderr, stdout } = await aegis.run(["run", "--workspace", directory, "--", ...fsxCommand(5_000)])
    assert.strictEqual(code, 0, stdout + stderr)
    const digest = createHash("sha256")
      .update(readFileSync(path.join(directory, "data")))
      .digest("hex")
    assert.include(stdout, `All operations completed A-OK!\n${digest}  data\n`)
    rmSync(directory, { recursive: true })
  })
})
