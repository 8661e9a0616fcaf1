import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { defaultCache, ensureTestbed, runInTestbed, TestbedError } from "../../testbed/testbed.mjs"

const repository = path.resolve(import.meta.dirname, "../..")
const minutes = 60_000
const timeoutMs = 3 * minutes

/** What this process has started and what it keeps in the cache: both must be nothing between runs. */
const leftBehind = () => ({
  machines: execFileSync("ps", ["-o", "args=", "--ppid", String(process.pid)], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes("qemu-system")),
  folders: readdirSync(defaultCache()).filter((name) => name.startsWith(`testbed-run-${process.pid}-`))
})

const nothing = { machines: [], folders: [] }

const failure = (run: Promise<unknown>) =>
  run.then(
    () => assert.fail("the run has an exit code"),
    (error: unknown) => (error instanceof TestbedError ? error : assert.fail(String(error)))
  )

describe("the testbed", { timeout: 4 * minutes }, () => {
  const temporary = mkdtempSync(path.join(os.tmpdir(), "testbed-test-"))
  beforeAll(() => ensureTestbed(), 10 * minutes)
  afterAll(() => rmSync(temporary, { recursive: true }))

  it("gives a job a working machine: KVM with nested paging, loopback, a clock, an ext4 disk, and its exit code 0", async () => {
    writeFileSync(path.join(temporary, "brought"), "from the host\n")
    const { exitCode, output } = await runInTestbed({
      timeoutMs,
      files: [{ from: path.join(temporary, "brought"), to: "/opt/it's here/brought" }],
      script: `
        set -e
        [ -c /dev/kvm ]; echo "npt $(cat /sys/module/kvm_amd/parameters/npt)"
        echo "clock $(date +%s)"; echo "host $(hostname)"
        cat "/opt/it's here/brought"
        mkdir "$AEGIS_HOME"; echo "disk $(stat -f -c %T "$AEGIS_HOME")"
        exec node -e '
          const { setFlagsFromString } = require("node:v8"), net = require("node:net")
          const server = net.createServer((socket) => socket.end("loopback works")).listen(0, "localhost", () =>
            net.connect(server.address().port, "localhost").on("data", (data) => console.log(String(data))).on("end", () => server.close()))
        '`
    })
    assert.strictEqual(exitCode, 0, output)
    for (const line of ["npt Y", "host testbed", "from the host", "loopback works", "disk ext2/ext3"])
      assert.include(output, line)
    const clock = Number(/clock (\d+)/.exec(output)?.[1])
    assert.isBelow(Math.abs(clock * 1000 - Date.now()), timeoutMs)
  })

  it("streams lines while the job runs, reports the exit code 3, and ends what the job left running", async () => {
    const seen: Array<{ line: string; at: number }> = []
    const { exitCode, output } = await runInTestbed({
      timeoutMs,
      onLine: (line) => seen.push({ line, at: performance.now() }),
      script: `sleep 1000 & echo first; echo second > /dev/stderr; sleep 3; printf 'last \\xc3\\xa9, exit 0'; exit 3`
    })
    assert.strictEqual(exitCode, 3)
    assert.strictEqual(output, "first\nsecond\nlast é, exit 0\n")
    assert.deepStrictEqual(
      seen.map(({ line }) => line),
      ["first", "second", "last é, exit 0"]
    )
    assert.isAbove((seen[2]?.at ?? 0) - (seen[1]?.at ?? 0), 1000)
    assert.deepStrictEqual(leftBehind(), nothing)
  })

  it("leaves the host's files as they are, whatever is written inside, and shows the next run none of it", async () => {
    const probe = path.join(repository, "testbed", `written-inside-${process.pid}`)
    const first = await runInTestbed({
      timeoutMs,
      visible: [temporary],
      script: `
        set -e
        echo x > '${probe}'; echo changed > '${temporary}/brought'; rm -f '${repository}/LICENSE'
        echo x > ~/written-inside; echo x > /tmp/written-inside; echo x > /var/tmp/written-inside
        cat '${probe}' '${temporary}/brought'; [ ! -e '${repository}/LICENSE' ]`
    })
    assert.strictEqual(first.exitCode, 0, first.output)
    assert.strictEqual(first.output, "x\nchanged\n")
    assert.isFalse(existsSync(probe))
    assert.isTrue(existsSync(path.join(repository, "LICENSE")))
    assert.isFalse(existsSync(path.join(os.homedir(), "written-inside")))
    const second = await runInTestbed({
      timeoutMs,
      visible: [temporary],
      script: `ls '${probe}' ~/written-inside /tmp/written-inside 2> /dev/null; cat '${temporary}/brought' '${repository}/LICENSE' | head -1`
    })
    assert.strictEqual(second.output, "from the host\n")
  })

  it.each([
    { what: "hangs", timeoutMs: 45_000, silenceMs: undefined, script: "while :; do echo stuck; sleep 1; done" },
    { what: "says nothing any more", timeoutMs, silenceMs: 25_000, script: "echo stuck; while :; do sleep 1; done" }
  ])("ends a job that $what, with what it had printed, and leaves nothing behind", async ({ script, ...limits }) => {
    const error = await failure(runInTestbed({ ...limits, script: `trap '' TERM INT; ${script}` }))
    assert.strictEqual(error.kind, "timeout")
    assert.include(error.output, "stuck")
    assert.deepStrictEqual(leftBehind(), nothing)
  })

  it("says so when the machine dies under its job, and when the caller interrupts", async () => {
    const dead = await failure(
      runInTestbed({ timeoutMs, script: "echo going; sleep 1; echo c > /proc/sysrq-trigger; sleep 60" })
    )
    assert.strictEqual(dead.kind, "crashed")
    assert.include(dead.output, "sysrq")
    const interrupt = new AbortController()
    const stopped = await failure(
      runInTestbed({
        timeoutMs,
        signal: interrupt.signal,
        onLine: () => interrupt.abort(),
        script: "echo up; sleep 1000"
      })
    )
    assert.strictEqual(stopped.kind, "aborted")
    assert.deepStrictEqual(leftBehind(), nothing)
  })
})
