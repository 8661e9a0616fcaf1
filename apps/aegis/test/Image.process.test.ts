/**
 * Images, the base root file system and logs, as a process, against the scripted daemon.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { buildProgram, until } from "./scripted/Program.ts"

const { aegis, clean, directory, newHome, program, start } = buildProgram()

const home = newHome()
const digest = (digit: string) => `sha256:${digit.repeat(64)}`
const phases = (name: string) => `Resolving ${name}\nDownloading\nBuilding the root disk\n`

/** A line that is being written is not there yet. */
const asked = (file: string): ReadonlyArray<unknown> =>
  existsSync(path.join(home, file))
    ? readFileSync(path.join(home, file), "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line): unknown => JSON.parse(line))
    : []

const text = async (...argv: ReadonlyArray<string>) => {
  const ran = await aegis(argv, { home })
  assert.deepStrictEqual([ran.code, ran.stderr], [0, ""], argv.join(" "))
  return ran.stdout.toString()
}
const document = async (...argv: ReadonlyArray<string>): Promise<unknown> =>
  JSON.parse((await aegis([...argv, "--json"], { home })).stdout.toString())

beforeAll(async () => {
  const up = await aegis(["up"], { home })
  assert.strictEqual(up.code, 0, up.stderr)
}, 60_000)
afterAll(async () => {
  await aegis(["down"], { home })
  clean()
})

describe("image", () => {
  it("pull prints what came, alone on standard output; its steps are on standard error, a line each", async () => {
    const ran = await aegis(["image", "pull", "tool:1"], { home })
    assert.deepStrictEqual([ran.code, ran.stderr], [0, phases("tool:1")])
    assert.strictEqual(ran.stdout.toString(), `Pulled tool:1@${digest("c")}\n`)
    assert.deepStrictEqual(await document("image", "pull", "tool:1", "--refresh"), {
      ...{ name: "tool:1", digest: digest("c"), stale: null }
    })
    assert.deepStrictEqual(asked("pulls").slice(-2), [
      { source: "tool:1", refresh: false },
      { source: "tool:1", refresh: true }
    ])
  })

  it("pull on a terminal is one line that is gone at the end", async () => {
    const ran = await aegis(["-qefc", `'${program}' image pull tool:1 2>&1 >'${home}/out'`, "/dev/null"], {
      home,
      program: "script"
    })
    assert.strictEqual(ran.code, 0)
    const lines = ran.stdout.toString().split("\r\u001b[K")
    assert.include(lines, "Downloading 1 of 2 blobs  41.7 of 42.2 MB")
    assert.deepStrictEqual(lines.slice(-2), ["Building the root disk 62 %", ""])
    assert.strictEqual(readFileSync(path.join(home, "out"), "utf8"), `Pulled tool:1@${digest("c")}\n`)
  })

  it("T-73 an image that could not be asked for anew is said to be the former one", async () => {
    const ran = await aegis(["image", "pull", "stale:1"], { home })
    assert.strictEqual(ran.code, 0)
    assert.include(
      ran.stderr,
      "warning: the registry\\x1b[2J does not answer; this is the image that was here before\n"
    )
  })

  it("a pull that fails is its error, exit 1, with nothing on standard output", async () => {
    const ran = await aegis(["image", "pull", "absent:1"], { home })
    assert.deepStrictEqual([ran.code, ran.stdout.length], [1, 0])
    assert.strictEqual(
      ran.stderr,
      "error: image absent:1: nobody has it\n  try: check the name and the tag; aegis image list shows what is here already\n"
    )
  })

  it("T-17 Ctrl+C ends a pull, here and in the daemon", async () => {
    const { child, done } = start(["image", "pull", "hangs:1"], { home })
    let said = ""
    child.stderr.on("data", (bytes: Buffer) => (said += bytes.toString()))
    await until(() => said.includes("Downloading"), child)
    child.kill("SIGINT")
    const ran = await done
    assert.deepStrictEqual([ran.code, ran.stdout.length, ran.stderr], [130, 0, "Resolving hangs:1\nDownloading\n"])
    await until(() => asked("cuts").length === 1)
  })

  it("a local source is resolved against the working directory; what is no image is a usage error", async () => {
    const cwd = path.join(directory, "sources")
    mkdirSync(cwd)
    const loaded = await aegis(["image", "load", "docker-archive:tool.tar"], { home, cwd })
    assert.strictEqual(loaded.stdout.toString(), "Loaded localhost/tool:1\nLoaded localhost/tool:2\n")
    assert.deepStrictEqual(asked("pulls").at(-1), { source: `docker-archive:${cwd}/tool.tar` })
    await aegis(["image", "pull", "oci:layout:v1"], { home, cwd })
    assert.deepStrictEqual(asked("pulls").at(-1), { source: `oci:${cwd}/layout:v1`, refresh: false })
    const nameless = await aegis(["image", "load", "oci:nameless"], { home, cwd })
    assert.strictEqual(nameless.stdout.toString(), "Loaded oci:nameless, which has no name of its own\n")
    for (const argv of [
      ["pull", "No/Such"],
      ["inspect", "a b"],
      ["remove", "oci:"]
    ]) {
      const ran = await aegis(["image", ...argv], { home, cwd })
      assert.strictEqual(ran.code, 2)
      assert.match(ran.stderr, new RegExp(`^error: invalid IMAGE: ${argv[1]} \\(.*\\)\\n {2}try: `))
    }
  })

  it("D-17 list, inspect, remove and prune, for people and for programs", async () => {
    await aegis(["image", "pull", "fresh:1"], { home })
    const table = await text("image", "list")
    assert.match(table, /^IMAGE +DIGEST +SIZE +DISK +LAST USED\n/)
    assert.match(table, /\ntool:1 +c{12} 42\.2 MB +100\.0 MB +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n/)
    assert.match(table, /\nfresh:1 +c{12} 42\.2 MB +- +-\n/)
    const { images, total_bytes } = (await document("image", "list")) as { images: Array<object>; total_bytes: number }
    assert.strictEqual(total_bytes, 142_200_000)
    assert.hasAllKeys(images[0], [
      ...["name", "digest", "platform", "blob_bytes", "disk_bytes", "pulled_at", "used_at"]
    ])
    assert.include(await text("image", "inspect", "tool:1"), `Also:        other\\x1b:1\nDigest:      ${digest("c")}\n`)
    assert.deepInclude((await document("image", "inspect", "tool:1")) as object, { disk: "/d/c.ext4" })
    assert.strictEqual(await text("image", "remove", "tool:1"), "Removed tool:1\nFreed 142.2 MB\n")
    const gone = await aegis(["image", "inspect", "tool:1"], { home })
    assert.deepStrictEqual([gone.code, gone.stderr.split("\n")[0]], [1, "error: image tool:1: it is not here"])
    await aegis(["image", "pull", "used:1"], { home })
    const used = await aegis(["image", "remove", "used:1"], { home })
    assert.deepStrictEqual([used.code, used.stderr.split("\n")[0]], [1, "error: image used:1 is in use"])
    assert.match(await text("image", "prune", "--all"), /^(Removed .*\n)+Freed 999 B\n$/)
    assert.deepStrictEqual(await document("image", "prune"), { names: [], freed_bytes: 999 })
    assert.strictEqual(await text("image", "list"), "No images\n")
  })

  it("run --image tells the same steps before the guest's own words, and D-12 nothing for an image that is here", async () => {
    const ran = await aegis(["run", "--image", "pulled:1", "--", "print", "out\n", "err\n"], { home })
    assert.deepStrictEqual([ran.stdout.toString(), ran.stderr], ["out\n", `${phases("pulled:1")}err\n`])
    const again = await aegis(["run", "--image", "here:1", "--", "print", "out\n"], { home })
    assert.strictEqual(again.stderr, "")
  })
})

describe("rootfs", () => {
  it("S-190 S-192 S-194 list shows all four and marks the active one", async () => {
    assert.strictEqual(
      await text("rootfs", "list"),
      "  VARIANT         ABOUT\n" +
        "  python          Alpine Linux and Python 3.12 (docker.io/library/python:3.12-alpine)\n" +
        "  alpine          Alpine Linux 3.21, small (docker.io/library/alpine:3.21)\n" +
        "  node            Alpine Linux and Node.js 22 (docker.io/library/node:22-alpine)\n" +
        "* debian-python   Debian and Python 3, assembled on this machine by mmdebstrap\n\n* is active.\n"
    )
  })

  it("S-191 S-193 pull makes a variant the active one, python where none is named", async () => {
    const node = await aegis(["rootfs", "pull", "node"], { home })
    assert.deepStrictEqual([node.code, node.stdout.toString()], [0, "Base root file system: node\n"])
    assert.strictEqual(node.stderr, "Resolving: node\nDownloading\nBuilding the root disk\nDone: 55 MB in 4 s\n")
    assert.match(await text("rootfs", "list"), /\n\* node /)
    assert.deepStrictEqual(await document("rootfs", "pull"), { variant: "python", active: true })
    const rows = (await document("rootfs", "list")) as ReadonlyArray<object>
    assert.deepInclude(rows[0], { variant: "python", active: true, source: "test", bytes: 5 })
  })

  it("D-21 an unknown variant is a usage error that lists those that there are", async () => {
    const ran = await aegis(["rootfs", "pull", "full"], { home })
    assert.strictEqual(ran.code, 2)
    assert.match(
      ran.stderr,
      /^error: invalid variant: full \(.*\)\n {2}try: use one of python, alpine, node, debian-python\n$/
    )
  })
})

describe("logs", () => {
  const latin1 = (bytes: Buffer) => bytes.toString("latin1")
  const out = "one\n[exec] two\n[system] three\n\xff\x00\x1b[2J\n$ "
  const gap = "[system] 2 entries (6 to 7) missing: the log had reached its cap\n"
  const err = `four\n[exec] five\n${gap}`

  beforeAll(async () => {
    await aegis(["instance", "start", "--name", "web", "--", "exit", "0"], { home })
    await aegis(["instance", "wait", "web"], { home })
  }, 60_000)

  it("S-159 S-163 S-165 S-166 S-167 D-10 a stopped instance's log, each stream on its own, bytes as they are", async () => {
    const ran = await aegis(["logs", "web"], { home })
    assert.deepStrictEqual([ran.code, latin1(ran.stdout), ran.stderr], [0, out, err])
  })

  it("S-165 S-166 D-10 FORCE_COLOR colours the prefixes alone, NO_COLOR forbids it, a terminal has it", async () => {
    const colored = "one\n\u001b[36m[exec]\u001b[0m two\n\u001b[33m[system]\u001b[0m three\n\xff\x00\x1b[2J\n$ "
    const forced = await aegis(["logs", "web"], { home, env: { FORCE_COLOR: "1" } })
    assert.strictEqual(latin1(forced.stdout), colored)
    assert.include(forced.stderr, "\n\u001b[36m[exec]\u001b[0m five\n")
    const none = await aegis(["logs", "web"], { home, env: { FORCE_COLOR: "1", NO_COLOR: "1" } })
    assert.strictEqual(latin1(none.stdout), out)
    const terminal = await aegis(["-qefc", `'${program}' logs web --source exec`, "/dev/null"], {
      ...{ home, program: "script", env: { TERM: "xterm" } }
    })
    assert.match(latin1(terminal.stdout), /^\u001b\[36m\[exec\]\u001b\[0m two\r\n/)
  })

  it("the query has what the flags say", async () => {
    const argv = ["--tail", "5", "--source", "exec", "--source", "primary", "--exec", "e1", "--grep", "a|b"]
    await aegis(["logs", "web", ...argv, "--since", "2026-01-01T00:00:00Z"], { home })
    assert.deepInclude(asked("log-queries").at(-1) as object, {
      ...{ tail: 5, sources: ["exec", "primary"], execId: "e1", grep: "a|b", follow: false },
      since: "2026-01-01T00:00:00.000Z"
    })
    assert.strictEqual(await text("logs", "web", "--tail", "1"), "$ ")
    const stamped = await aegis(["logs", "web", "--timestamps"], { home })
    assert.match(latin1(stamped.stdout), /^2026-02-19T10:30:00\.250Z one\n2026-02-19T10:30:00\.250Z \[exec\] two\n/)
  })

  it("D-17 D-23 --json is an entry per line, in the form of REST", async () => {
    const ran = await aegis(["logs", "web", "--json"], { home })
    assert.deepStrictEqual([ran.code, ran.stderr], [0, ""])
    const entries = ran.stdout
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.strictEqual(entries.length, 8)
    const { instance_id, ...first } = entries[0] ?? {}
    assert.match(String(instance_id), /^inst-\d{19}$/)
    assert.deepStrictEqual(first, {
      ...{ ts: "2026-02-19T10:30:00.250Z", seq: 1, stream: "stdout", source: "server", line: "one" }
    })
    assert.deepInclude(entries[1], { source: "exec", exec_id: "e1" })
    assert.deepInclude(entries[5]?.["gap"] as object, { from_seq: 6, to_seq: 7, lost_entries: 2 })
    assert.deepInclude(entries[6], { line_base64: Buffer.from("\xff\x00\x1b[2J", "latin1").toString("base64") })
    assert.deepInclude(entries[7], { line: "$ ", partial: true })
  })

  it("S-170 an unknown target is named, exit 1", async () => {
    const ran = await aegis(["logs", "ghost", "-f"], { home })
    assert.deepStrictEqual(
      [ran.code, ran.stdout.length, ran.stderr],
      [1, 0, 'error: no instance found for "ghost"\n  try: aegis instance list shows what there is\n']
    )
  })

  it("D-21 what a flag cannot mean is a usage error", async () => {
    for (const [flag, value, reason] of [
      ["--tail", "many", "invalid --tail: many (it is a whole number of lines, of at most nine digits)"],
      ["--tail", "1e3", "invalid --tail: 1e3 (it is"],
      ["--source", "server", "invalid --source: server (it is one of primary, exec and system)"],
      ["--since", "noon", "invalid --since: noon (a time is"],
      ["--exec", "a/b", "invalid --exec: "],
      ["--grep", "(", "grep: it is no expression"]
    ] as const) {
      const ran = await aegis(["logs", "web", flag, value], { home })
      assert.strictEqual(ran.code, 2, flag)
      assert.isTrue(ran.stderr.startsWith(`error: ${reason}`), ran.stderr)
      assert.match(ran.stderr, /\n {2}try: /)
    }
  }, 30_000)

  it("S-160 S-164 -f goes on with what comes, and ends when the instance is deleted", async () => {
    await aegis(["instance", "start", "--name", "followed", "--", "sleep"], { home })
    const { child, done, seen } = start(["logs", "-f", "followed"], { home })
    await until(() => seen().includes("$ now\n"), child)
    await aegis(["instance", "delete", "followed"], { home })
    const ran = await done
    assert.deepStrictEqual([ran.code, latin1(ran.stdout), ran.stderr], [0, `${out}now\n`, err])
  }, 30_000)

  it("S-164 T-17 Ctrl+C ends -f quietly, exit 130", async () => {
    const { child, done, seen } = start(["logs", "web", "--follow", "--source", "primary"], { home })
    await until(() => seen().includes("now"), child)
    child.kill("SIGINT")
    const ran = await done
    assert.deepStrictEqual([ran.code, ran.stderr], [130, `four\n${gap}`])
  }, 30_000)

  it("T-16 a reader that goes ends it quietly", async () => {
    await aegis(["instance", "start", "--name", "noisy", "--", "sleep", "noisily"], { home })
    const ran = await aegis(
      ["--norc", "-c", `'${program}' logs noisy -f 2>/dev/null | head -1; echo "code \${PIPESTATUS[0]}"`],
      { home, program: "/bin/bash" }
    )
    assert.deepStrictEqual([ran.stdout.toString(), ran.stderr], ["one\ncode 141\n", ""])
  }, 30_000)

  it("S-168 a long log comes whole and in order", async () => {
    await aegis(["instance", "start", "--name", "long", "--", "chatter", "100000"], { home })
    const ran = await aegis(["logs", "long", "--source", "primary"], { home })
    const lines = ran.stdout.toString("latin1").split("\n")
    assert.strictEqual(lines.length, 100_003)
    for (const [at, line] of lines.slice(2, -1).entries()) if (line !== `line ${at}`) assert.fail(`${at}: ${line}`)
  }, 30_000)
})
