/**
 * What guests can do to directories of the host, with root's whole power in them: one guest may write to a directory, the other has
 * been given the same one read-only.
 */
import { execFileSync } from "node:child_process"
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
import { Product } from "../product/Product.ts"

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
    assert.strictEqual(stdout.match(/^refused /gm)?.length, 2 * 16, stdout)
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
})

/** Each attack is tried where the harness has mounted it, and where root of the guest has mounted it once more. */
const attacks = String.raw`
import ctypes, os, mmap
libc = ctypes.CDLL(None, use_errno=True)
MS_REMOUNT, MS_BIND = 32, 4096
tag = [line.split()[0] for line in open("/proc/mounts") if line.split()[1] == "/workspace"][0]
r = libc.mount(tag.encode(), b"/workspace", None, MS_REMOUNT, None)
print("remount", int(r == 0), os.strerror(ctypes.get_errno()))
libc.mount(b"none", b"/workspace", None, MS_REMOUNT | MS_BIND, None)
os.makedirs("/tmp/again", exist_ok=True)
r = libc.mount(tag.encode(), b"/tmp/again", b"virtiofs", 0, None)
print("mounted anew", int(r == 0), os.strerror(ctypes.get_errno()))
if r != 0: libc.mount(b"/workspace", b"/tmp/again", None, MS_BIND, None)
print("read", open("/tmp/again/file.txt").read(), end="")

def write(path, flags):
    fd = os.open(path, flags, 0o666)
    try:
        os.write(fd, b"evil")
        os.fsync(fd)
    finally:
        os.close(fd)

def mapped(path):
    fd = os.open(path, os.O_RDWR)
    view = mmap.mmap(fd, 4)
    view[:4] = b"evil"
    view.flush()

for root in ("/workspace", "/tmp/again"):
    f = root + "/file.txt"
    for name, attack in {
        "write": lambda: write(f, os.O_WRONLY),
        "append": lambda: write(f, os.O_WRONLY | os.O_APPEND),
        "truncate on open": lambda: write(f, os.O_WRONLY | os.O_TRUNC),
        "truncate": lambda: os.truncate(f, 0),
        "create": lambda: write(root + "/new", os.O_WRONLY | os.O_CREAT),
        "map": lambda: mapped(f),
        "mkdir": lambda: os.mkdir(root + "/newdir"),
        "unlink": lambda: os.unlink(f),
        "rmdir": lambda: os.rmdir(root + "/sub"),
        "rename": lambda: os.rename(f, root + "/other.txt"),
        "link": lambda: os.link(f, root + "/linked"),
        "symlink": lambda: os.symlink("/etc/passwd", root + "/sym"),
        "mknod": lambda: os.mknod(root + "/fifo", 0o10600),
        "chmod": lambda: os.chmod(f, 0o4777),
        "chown": lambda: os.chown(f, 1000, 1000),
        "utime": lambda: os.utime(f, (1, 1)),
    }.items():
        try:
            attack()
            print("DONE", root, name)
        except OSError as error:
            print("refused", root, name, error.strerror)
`

/** From inside of the writable share: whatever path or handle a guest can think of, to the file beside it. */
const escapes = (outer: string) => String.raw`
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
outer = ${JSON.stringify(outer)}
os.chdir("/workspace")

def look(path):
    try:
        with open(path, "rb") as file: print("got", file.read(200))
    except OSError: pass

os.makedirs("a/b/c", exist_ok=True)
for name, target in {"absolute": outer + "/secret.txt", "up": "../secret.txt", "far": "../" * 40 + outer[1:] + "/secret.txt",
                     "root": "/proc/1/root/" + outer + "/secret.txt", "dir": outer, "self": "/proc/self/root"}.items():
    if os.path.lexists(name): os.unlink(name)
    os.symlink(target, name)
    look(name)
look("dir/secret.txt"); look("self" + outer + "/secret.txt"); look("../secret.txt"); look("/workspace/../secret.txt")
try: open("dir/planted", "w")
except OSError: pass

# A directory that is moved while it is the working directory: .. from it stays inside.
os.chdir("a/b/c"); os.rename("/workspace/a/b", "/workspace/moved")
look("../../secret.txt"); look("../../../secret.txt"); look("../../../../secret.txt")
os.chdir("/workspace")

# Handles are node numbers of the server: those that the guest was never given lead nowhere.
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]
handle = Handle(bytes=128); mount = ctypes.c_int()
r = libc.name_to_handle_at(-100, b"/workspace/file.txt", ctypes.byref(handle), ctypes.byref(mount), 0)
top = os.open("/workspace", os.O_RDONLY)
tried = 0
if r == 0:
    size = handle.bytes
    original = bytes(handle.data[:size])
    for node in list(range(0, 2000)) + [2**31, 2**32 - 1, 2**63, 2**64 - 1]:
        forged = Handle(bytes=size, type=handle.type)
        words = struct.pack("<II", (node >> 32) & 0xffffffff, node & 0xffffffff)
        forged.data[:size] = (words + original[8:])[:size]
        fd = libc.open_by_handle_at(top, ctypes.byref(forged), os.O_RDONLY)
        tried += 1
        if fd < 0: continue
        where = os.readlink("/proc/self/fd/%d" % fd)
        try: print("got", os.read(fd, 200))
        except IsADirectoryError:
            if "secret.txt" in os.listdir(fd): print("ESCAPED by handle", where)
        except OSError: pass
        os.close(fd)
print("handles tried", tried, r, os.strerror(ctypes.get_errno()))
for name in ("absolute", "up", "far", "root", "dir", "self"): os.unlink(name)
`
