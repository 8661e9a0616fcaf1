import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { imageLayout, ImageRegistry, layerDigests, plainLayout, tool } from "../product/ImageRegistry.ts"
import { rest } from "../product/Fleet.ts"
import { buildCache, Product, until } from "../product/Product.ts"

/** busybox and the commands that the tests use. */
const busyboxTree = (root: string) => {
  mkdirSync(path.join(root, "bin"), { recursive: true })
  copyFileSync("/bin/busybox", path.join(root, "bin/busybox"))
  for (const applet of ["sh", "cat", "ls", "echo", "stat", "uname"]) {
    symlinkSync("busybox", path.join(root, "bin", applet))
  }
}

describe("aegis run --image, against real registries and a real guest", () => {
  const scratch = mkdtempSync(path.join(tmpdir(), "aegis-images-"))
  const layout = path.join(scratch, "layout")
  let aegis: Product
  let registry: ImageRegistry

  beforeAll(async () => {
    const [base, second] = [path.join(scratch, "base"), path.join(scratch, "second")]
    busyboxTree(base)
    mkdirSync(path.join(base, "etc"))
    writeFileSync(path.join(base, "etc/version"), "1\n")
    mkdirSync(path.join(second, "etc"), { recursive: true })
    writeFileSync(path.join(second, "etc/version"), "2\n")
    imageLayout(layout, [base, second])
    registry = await ImageRegistry.start()
    registry.push(layout, "tools/busybox:1")
    // Of an image's configuration nothing is taken over.
    const ignored = path.join(scratch, "ignored")
    imageLayout(ignored, [base])
    const config = ["--config.cmd", "/bin/false", "--config.entrypoint", "/bin/false", "--config.env", "FROM_IMAGE=1"]
    const more = ["--config.exposedports", "8080", "--config.volume", "/data", "--config.workingdir", "/etc"]
    tool("umoci", "config", "--image", `${ignored}:1`, ...config, ...more, "--config.user", "65534")
    registry.push(ignored, "tools/ignored:1")
    registry.push(layout, "library/mirrored:1")
    aegis = await Product.make()
    const up = await aegis.run(["up"])
    assert.strictEqual(up.code, 0, up.stderr)
  }, 240_000)
  afterAll(async () => {
    await aegis.remove()
    await registry.stop()
    rmSync(scratch, { recursive: true, force: true })
  })

  const version = async (image: string) => {
    const done = await aegis.run(["run", "--image", image, "--", "cat", "/etc/version"])
    return [done.code, done.stdout, done.stderr.replace(/^(Resolving|Downloading|Building|Pulled).*\n/gm, "")]
  }
  const good = [0, "2\n", ""]

  it("S-069 T-245 an image of a registry, without any mount point of ours, runs, the upper layer over the lower one", async () => {
    assert.deepStrictEqual(await version(`${registry.host}/tools/busybox:1`), good)
  })

  it("S-018 S-020 S-022 S-023 S-025 an image gives its files alone: no command, environment, port, volume, user or directory of its", async () => {
    const image = `${registry.host}/tools/ignored:1`
    const script = `echo "$FROM_IMAGE|$(pwd)|$(stat -c %u /proc/self)"; (echo x > /data/x) 2>/dev/null || echo "no volume"
for p in /proc/[0-9]*; do read -r line < $p/cmdline 2>/dev/null; [ -n "$line" ] && echo "$(cat $p/comm)"; done`
    const done = await aegis.run(["run", "--image", image, "--", "sh", "-c", script])
    assert.strictEqual(done.stdout, "|/workspace|0\nno volume\naegis-harness\nsh\n", done.stderr)
    const none = await aegis.run(["instance", "start", "--image", image])
    assert.strictEqual(none.code, 2)
  })

  it("D-12 T-112 what was pulled once starts again without asking anybody", async () => {
    const before = registry.requests().length
    assert.deepStrictEqual(await version(`${registry.host}/tools/busybox:1`), good)
    assert.strictEqual(registry.requests().length, before)
  })

  it("an image of a configured mirror runs under its own name", async () => {
    writeFileSync(
      path.join(aegis.home, "registries.json"),
      JSON.stringify({ mirrors: { "docker.io": [`http://${registry.host}`] } })
    )
    assert.deepStrictEqual(await version("mirrored:1"), good)
  })

  it("local sources run: an image layout, its archive, what docker save writes, a bare root file system", async () => {
    const file = (name: string) => path.join(scratch, name)
    tool("skopeo", "--insecure-policy", "copy", `oci:${layout}:1`, `oci-archive:${file("oci.tar")}:1`)
    tool("skopeo", "--insecure-policy", "copy", `oci:${layout}:1`, `docker-archive:${file("docker.tar")}:tools:1`)
    execFileSync("tar", ["-C", path.join(scratch, "base"), "-cf", file("root.tar"), "."])
    assert.deepStrictEqual(await version(`oci:${layout}:1`), good)
    assert.deepStrictEqual(await version(`oci-archive:${file("oci.tar")}`), good)
    assert.deepStrictEqual(await version(`docker-archive:${file("docker.tar")}`), good)
    assert.deepStrictEqual(await version(`rootfs:${file("root.tar")}`), [0, "1\n", ""])
  })

  it("T-80 an image whose mount points are symlinks to the host's files is refused, and the host is untouched", async () => {
    const [evil, marker] = [path.join(scratch, "evil"), path.join(scratch, "marker")]
    busyboxTree(evil)
    writeFileSync(marker, "mine")
    symlinkSync(scratch, path.join(evil, "workspace"))
    symlinkSync("/etc", path.join(evil, "proc"))
    imageLayout(path.join(scratch, "evil-layout"), [evil])
    const done = await aegis.run(["run", "--image", `oci:${path.join(scratch, "evil-layout")}:1`, "--", "echo", "in"])
    assert.deepStrictEqual([done.code, done.stdout], [125, ""])
    assert.match(done.stderr, /error: the guest did not start \(mount\).*\n {2}try: /)
    assert.strictEqual(readFileSync(marker, "utf8"), "mine")
  })

  it("a name that nobody has is told apart from a registry that is not there", async () => {
    const run = (image: string) => aegis.run(["run", "--image", image, "--", "true"])
    const absent = await run(`${registry.host}/tools/nothing:1`)
    assert.strictEqual(absent.code, 125)
    assert.match(absent.stderr, /^error: image \S+: \S+ has no such image or tag \(404\)\n {2}try: /m)
    const unreachable = await run("127.0.0.1:1/tools/busybox:1")
    assert.match(unreachable.stderr, /^error: registry 127\.0\.0\.1:1 cannot be used: .*\n {2}try: /m)
    assert.strictEqual((await aegis.run(["instance", "list"])).stdout, "No instances\n")
  })

  it("T-85 a pull that kill -9 of the daemon cut short downloads only what is missing when it is repeated", async () => {
    const layers = Array.from({ length: 4 }, (_, i) => path.join(scratch, `random-${i}`))
    for (const layer of layers) {
      mkdirSync(layer)
      writeFileSync(path.join(layer, path.basename(layer)), randomBytes(12_000_000))
    }
    const many = path.join(scratch, "many")
    imageLayout(many, layers)
    registry.push(many, "tools/many:1")
    const before = registry.requests().length
    const first = aegis.start(["image", "pull", `${registry.host}/tools/many:1`])
    const blobs = path.join(aegis.home, "data/images/blobs/sha256")
    const digests = layerDigests(many)
    const present = () => digests.filter((digest) => existsSync(path.join(blobs, digest.slice(7))))
    await until("one layer is there", () => present().length > 0)
    process.kill(aegis.daemonPid, "SIGKILL")
    await first.ended
    const kept = present()
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    const between = registry.requests().length
    const again = await aegis.run(["image", "pull", `${registry.host}/tools/many:1`])
    assert.strictEqual(again.code, 0, again.stderr)
    assert.isAbove(between, before)
    const asked = registry.requests().slice(between)
    for (const digest of kept)
      assert.isFalse(
        asked.some((request) => request.includes(digest)),
        digest
      )
    assert.deepStrictEqual(
      readdirSync(blobs).filter((name) => name.endsWith(".part")),
      []
    )
    assert.match((await aegis.run(["image", "list"])).stdout, /tools\/many/)
  })

  it("T-84 with hardly a descriptor left a pull fails with a reason and leaves no part; with some it goes well", async () => {
    const image = `${registry.host}/tools/many:1`
    assert.strictEqual((await aegis.run(["image", "remove", image])).code, 0)
    const limit = (files: number) => tool("prlimit", "--pid", String(aegis.daemonPid), `--nofile=${files}:`)
    const open = readdirSync(`/proc/${aegis.daemonPid}/fd`).length
    const usual = /Max open files\s+(\d+)/.exec(readFileSync(`/proc/${aegis.daemonPid}/limits`, "utf8"))?.[1]
    limit(open + 3)
    const poor = await aegis.run(["image", "pull", image])
    limit(Number(usual))
    assert.strictEqual(poor.code, 1, poor.stdout)
    assert.match(poor.stderr, /error: .*(EMFILE|too many open files|descriptor)/i)
    assert.strictEqual((await aegis.run(["image", "pull", image])).code, 0)
    const blobs = readdirSync(path.join(aegis.home, "data/images/blobs/sha256"))
    assert.deepStrictEqual(
      blobs.filter((name) => name.endsWith(".part")),
      []
    )
  })

  it("T-264 while 1 GiB is pulled, checked and built into a disk, nobody else waits for the daemon", async () => {
    const [big, tar] = [path.join(scratch, "big"), path.join(scratch, "big.tar")]
    mkdirSync(big)
    const file = openSync(path.join(big, "data"), "w")
    const some = randomBytes(16 << 20)
    for (let part = 0; part < 64; part++) writeSync(file, some)
    closeSync(file)
    tool("tar", "-C", big, "-cf", tar, ".")
    rmSync(big, { recursive: true })
    plainLayout(path.join(scratch, "big.layout"), tar)
    registry.push(path.join(scratch, "big.layout"), "tools/big:1")
    rmSync(path.join(scratch, "big.layout"), { recursive: true })
    let pulling = true
    const pull = aegis.run(["image", "pull", `${registry.host}/tools/big:1`]).finally(() => (pulling = false))
    const waits: Array<number> = []
    while (pulling) {
      const asked = performance.now()
      assert.strictEqual((await rest(aegis, "GET", "/v1/status")).status, 200)
      waits.push(performance.now() - asked)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const { code, stderr } = await pull
    assert.strictEqual(code, 0, stderr)
    assert.isAbove(waits.length, 20)
    // A hash or an unpacking of the whole in the daemon would be many times that; this much a busy machine may take.
    assert.isBelow(Math.max(...waits), 3000)
    assert.strictEqual((await aegis.run(["image", "remove", `${registry.host}/tools/big:1`])).code, 0)
  }, 240_000)

  it("skopeo reads the store", () => {
    const store = path.join(aegis.home, "data/images")
    const seen = JSON.parse(tool("skopeo", "inspect", `oci:${store}:${registry.host}/tools/busybox:1`))
    assert.deepStrictEqual(seen.Layers, layerDigests(layout))
  })
})

describe("aegis up with a registry for its base", () => {
  it("S-036 S-191 S-193 S-195 S-196 D-11 the default base comes from the configured mirror, and python runs in it; another is pulled in one step", async () => {
    const scratch = mkdtempSync(path.join(tmpdir(), "aegis-base-"))
    const registry = await ImageRegistry.start()
    const aegis = Product.empty()
    try {
      // An image that carries Python: the base that this host has assembled, packed as one.
      const tree = path.join(scratch, "tree")
      mkdirSync(tree)
      tool("debugfs", "-R", `rdump / ${tree}`, path.join(buildCache, "test-home/base-rootfs/rootfs.ext4"))
      imageLayout(path.join(scratch, "layout"), [tree])
      registry.push(path.join(scratch, "layout"), "library/python:3.12-alpine")
      writeFileSync(
        path.join(aegis.home, "registries.json"),
        JSON.stringify({ mirrors: { "docker.io": [`http://${registry.host}`] } })
      )
      const up = await aegis.run(["up"])
      assert.strictEqual(up.code, 0, up.stderr)
      const done = await aegis.run(["run", "--", "python3", "-c", "print(6*7)"])
      assert.deepStrictEqual([done.code, done.stdout], [0, "42\n"], done.stderr)
      const record = () => JSON.parse(readFileSync(path.join(aegis.home, "base-rootfs/rootfs.json"), "utf8"))
      assert.deepInclude(record(), { variant: "python", source: "docker.io/library/python:3.12-alpine" })

      // One that nobody has leaves the old one; the guest that comes next boots from it.
      const absent = await aegis.run(["rootfs", "pull", "alpine"])
      assert.deepStrictEqual([absent.code, absent.stdout], [1, ""])
      assert.match(absent.stderr, /^error: base root file system alpine: /m)
      assert.strictEqual(record().variant, "python")
      const small = path.join(scratch, "small")
      busyboxTree(small)
      imageLayout(path.join(scratch, "small-layout"), [small])
      registry.push(path.join(scratch, "small-layout"), "library/alpine:3.21")
      const pulled = await aegis.run(["rootfs", "pull", "alpine"])
      assert.deepStrictEqual([pulled.code, pulled.stdout], [0, "Base root file system: alpine\n"], pulled.stderr)
      assert.match((await aegis.run(["rootfs", "list"])).stdout, /^\* alpine /m)
      assert.strictEqual((await aegis.run(["run", "--", "cat", "/usr/bin/python3"])).code, 1)
    } finally {
      await aegis.remove()
      await registry.stop()
      rmSync(scratch, { recursive: true, force: true })
    }
  }, 240_000)
})
