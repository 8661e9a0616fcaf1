/**
 * The CLI as a process, bundled as it is shipped, against a daemon that acts out what guests do.
 */
import { rpcPath } from "@aegis/contract"
import { version } from "@aegis/domain"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { buildProgram, until } from "./scripted/Program.ts"

const { aegis, clean, directory, newHome, product, program, start } = buildProgram()

const instances = async (home: string) =>
  JSON.parse((await aegis(["instance", "list", "--json"], { home })).stdout.toString()) as ReadonlyArray<unknown>

describe("without a daemon", () => {
  const home = newHome()

  it("S-010 daemon-backed commands say that it is not running", async () => {
    for (const [argv, code] of [
      [["instance", "list"], 1],
      [["instance", "info", "x"], 1],
      [["run", "--", "true"], 125]
    ] as const) {
      const ran = await aegis(argv, { home })
      assert.strictEqual(ran.code, code)
      assert.strictEqual(ran.stderr, "error: aegisd is not running. Run 'aegis up' first.\n  try: aegis up\n")
      assert.strictEqual(ran.stdout.length, 0)
    }
  })

  it("S-043 S-048 down and status are content, doctor works (S-054)", async () => {
    assert.strictEqual((await aegis(["down"], { home })).stdout.toString(), "aegisd is not running\n")
    assert.strictEqual((await aegis(["status"], { home })).stdout.toString(), "aegisd: not running\n")
    const doctor = await aegis(["doctor"], { home, env: { PATH: path.dirname(process.execPath) } })
    assert.strictEqual(doctor.code, 0)
    assert.isTrue(doctor.stdout.toString().startsWith("Aegis Doctor\n============\n\nGo:       "))
    assert.include(doctor.stdout.toString(), "\naegisd:   not running\n")
    assert.isFalse(existsSync(path.join(home, "data")))
  })

  it("S-043 a pid file that holds no number is named, and S-035 one of a dead process is nothing", async () => {
    const stale = newHome()
    mkdirSync(path.join(stale, "data"))
    writeFileSync(path.join(stale, "data/aegisd.pid"), "x")
    const down = await aegis(["down"], { home: stale })
    assert.strictEqual(down.stdout.toString(), "aegisd is not running (invalid pid file)\n")
    writeFileSync(path.join(stale, "data/aegisd.pid"), "4194999")
    assert.strictEqual((await aegis(["down"], { home: stale })).stdout.toString(), "aegisd is not running\n")
  })

  it("T-284 one of another version is told from none, and is not spoken to", async () => {
    const other = newHome()
    mkdirSync(path.join(other, "data"))
    writeFileSync(path.join(other, "data/aegisd.pid"), `${process.pid}`)
    const asked: Array<string> = []
    const server = http.createServer((_, answer) => answer.writeHead(404).end())
    server.on("upgrade", (request, socket) => {
      asked.push(request.url ?? "")
      socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    })
    await new Promise<void>((resolve) => server.listen(path.join(other, "aegisd.sock"), resolve))
    const ran = await aegis(["instance", "list"], { home: other })
    server.close()
    assert.deepStrictEqual([ran.code, asked], [1, [rpcPath]])
    assert.strictEqual(
      ran.stderr,
      `error: the aegisd that runs is not of version ${version}, as this program is\n  try: aegis down && aegis up starts this version's\n`
    )
  })

  it("T-1 D-21 misuse is 2 and T-14 bytes that are not UTF-8 are refused", async () => {
    assert.strictEqual((await aegis([], { home })).code, 2)
    assert.strictEqual((await aegis(["bogus"], { home })).code, 2)
    const raw = await aegis(["-c", `exec '${program}' run -- "$(printf '\\377')"`], { home, program: "/bin/sh" })
    assert.strictEqual(raw.code, 2)
    assert.include(raw.stderr, "not UTF-8")
  })

  it("T-15 a home that is not there or not absolute is said", async () => {
    for (const env of [{ AEGIS_HOME: "", HOME: "" }, { AEGIS_HOME: "relative" }, { AEGIS_HOME: "", HOME: "x" }]) {
      const ran = await aegis(["status"], { home, env })
      assert.strictEqual(ran.code, 1)
      assert.match(ran.stderr, /^error: (AEGIS_)?HOME: .*\n {2}try: .*\n$/)
    }
  })
})

describe("up and down", () => {
  it("D-11 S-029 S-033 S-034 S-036 S-038 S-041 S-045 start, find, stop and start again", async () => {
    const home = newHome()
    const link = path.join(directory, "aegis-link")
    symlinkSync(program, link)
    const up = await aegis(["up"], { home, program: link })
    assert.strictEqual(up.code, 0, up.stderr)
    // D-11: what is made instead of the default, and why, is said.
    assert.strictEqual(
      up.stderr,
      "No base root file system yet: making python, the default, from docker.io/library/python:3.12-alpine\n" +
        "Resolving: docker.io/library/python:3.12-alpine\n" +
        "python cannot be had: no registry answers\\x1b[2J; making debian-python from Debian's packages instead (aegis rootfs pull python replaces it later)\n" +
        "assemble\nDone\n"
    )
    const pid = readFileSync(path.join(home, "data/aegisd.pid"), "utf8").trim()
    assert.strictEqual(up.stdout.toString(), `aegisd started (pid ${pid})\n`)
    assert.strictEqual((await aegis(["up"], { home })).stdout.toString(), "aegisd is already running\n")
    assert.strictEqual((await aegis(["status"], { home })).stdout.toString(), statusText)
    const down = await aegis(["down"], { home })
    assert.strictEqual(down.stdout.toString(), `aegisd stopping (pid ${pid})\naegisd stopped\n`)
    const again = await aegis(["up"], { home })
    assert.match(again.stdout.toString(), /^aegisd started/)
    assert.strictEqual(again.stderr, "")
    await aegis(["down"], { home })
  }, 60_000)

  it("10 parallel ups start one daemon", async () => {
    const home = newHome()
    const ran = await Promise.all(Array.from({ length: 10 }, () => aegis(["up"], { home })))
    const says = ran.map(
      ({ code, stderr, stdout }) =>
        `${code} ${stdout.toString().replace(/\d+/, "N")}${stderr.includes("error") ? stderr : ""}`
    )
    assert.deepStrictEqual(says.sort(), [
      ...Array.from({ length: 9 }, () => "0 aegisd is already running\n"),
      "0 aegisd started (pid N)\n"
    ])
    await aegis(["down"], { home })
  }, 120_000)

  it("S-030 without aegisd beside it, its path is said", async () => {
    const alone = path.join(directory, "alone")
    mkdirSync(alone)
    writeFileSync(path.join(alone, "aegis"), readFileSync(path.join(product, "aegis.cjs")))
    const ran = await aegis([path.join(alone, "aegis"), "up"], { home: newHome(), program: process.execPath })
    assert.strictEqual(ran.code, 1)
    assert.include(ran.stderr, `error: aegisd binary not found at ${alone}/aegisd\n`)
  })

  it("S-039 a base root file system that cannot be made is reported, and no daemon started", async () => {
    const home = newHome()
    const ran = await aegis(["up"], { home, env: { AEGIS_TEST_ROOTFS: "fails" } })
    assert.strictEqual(ran.code, 1)
    assert.include(ran.stderr, "error: no mirror answers\n  try: check the network\n")
    assert.isFalse(existsSync(path.join(home, "data")))
  })

  it("T-17 Ctrl+C while it is made passes on to the child and waits for it", async () => {
    const home = newHome()
    const { child, done } = start(["up"], { home, env: { AEGIS_TEST_ROOTFS: "hangs" } })
    let stderr = ""
    child.stderr.on("data", (bytes: Buffer) => (stderr += bytes.toString()))
    await until(() => stderr.includes("assemble"), child)
    await new Promise((resolve) => setTimeout(resolve, 100))
    child.kill("SIGINT")
    assert.strictEqual((await done).code, 130)
    assert.isTrue(existsSync(path.join(home, "cleaned")))
  })

  it("T-260 a daemon that ends at once, or does not answer, is reported with its log", async () => {
    const ended = await aegis(["up"], { home: newHome(), env: { AEGIS_TEST_DAEMON: "fails" } })
    assert.strictEqual(ended.code, 1)
    assert.include(ended.stderr, "error: aegisd ended at once (exit code 3)")
    assert.include(ended.stderr, "| cannot open the journal\n")
    const hangs = { AEGIS_TEST_DAEMON: "hangs", AEGIS_UP_TIMEOUT: "0.5" }
    const silent = await aegis(["up"], { home: newHome(), env: hangs })
    assert.strictEqual(silent.code, 1)
    assert.include(silent.stderr, "error: aegisd did not start within timeout")
  }, 20_000)
})

const statusText = "aegisd: running\nbackend: qemu\nreason: libkrun/kvm: no /dev/kvm\n"

describe("run", () => {
  const home = newHome()
  const run = (...argv: ReadonlyArray<string>) => aegis(["run", ...argv], { home })

  beforeAll(async () => {
    const up = await aegis(["up"], { home })
    assert.strictEqual(up.code, 0, up.stderr)
  }, 60_000)
  afterAll(() => aegis(["down"], { home }))

  it("S-064 S-067 output comes as it is, each stream on its own", async () => {
    const ran = await run("--", "print", "hello from aegis\n", "warning\n")
    assert.deepStrictEqual([ran.code, ran.stdout.toString(), ran.stderr], [0, "hello from aegis\n", "warning\n"])
    const bytes = await run("--", "bytes", "00ff1b5b324a80e29c0a")
    assert.strictEqual(bytes.stdout.toString("hex"), "00ff1b5b324a80e29c0a")
  })

  it("S-066 D-04 the exit code is the command's", async () => {
    for (const [words, code] of [
      [["exit", "0"], 0],
      [["exit", "42"], 42],
      [["exit", "255"], 255],
      [["signal", "9"], 137],
      [["absent", "nope"], 127],
      [["unscripted"], 126],
      [["broken"], 125]
    ] as const) {
      assert.strictEqual((await run("--", ...words)).code, code, words.join(" "))
    }
    assert.deepStrictEqual(await instances(home), [])
  }, 20_000)

  it("T-19 a guest that died is 125 with its console's end, harmless", async () => {
    const died = await run("--", "die")
    assert.strictEqual(died.code, 125)
    assert.include(died.stderr, "error: the guest's machine died: ended by SIGKILL\n")
    assert.include(died.stderr, "  | kernel panic \\x1b[2J\n")
    assert.strictEqual((await run("--", "channel")).code, 125)
    const memory = await run("--", "signal", "9", "oom")
    assert.strictEqual(memory.code, 137)
    assert.include(memory.stderr, "error: the guest ran out of memory")
  })

  it("S-056 S-075 the request has what the flags say", async () => {
    const cwd = path.join(directory, "a place")
    mkdirSync(cwd)
    const ran = await aegis(
      ["run", "--name", "Web", "--env", "A=x=y", "--env", "B=\n", "--workspace", ".:ro", "--memory=128", "--", "env"],
      { home, cwd }
    )
    assert.deepInclude(JSON.parse(ran.stdout.toString()), {
      handle: "web",
      env: { A: "x=y", B: "\n" },
      memoryMib: 128,
      workspace: { _tag: "HostPath", path: cwd, readOnly: true }
    })
  })

  it("run -i passes standard input on, exactly and in order", async () => {
    const input = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 31) % 253))
    const ran = await aegis(["run", "-i", "--", "cat"], { home, input })
    assert.isTrue(ran.stdout.equals(input))
    assert.strictEqual(ran.code, 0)
  }, 20_000)

  it("a flood arrives complete", async () => {
    const size = 32 * 1024 * 1024
    const ran = await run("--", "flood", String(size))
    assert.strictEqual(ran.stdout.length, size)
    const chunk = Buffer.from(Uint8Array.from({ length: 64 * 1024 }, (_, index) => (index * 7) % 251))
    const hash = createHash("sha256")
    for (let sent = 0; sent < size; sent += chunk.length) hash.update(chunk)
    assert.strictEqual(createHash("sha256").update(ran.stdout).digest("hex"), hash.digest("hex"))
  }, 30_000)

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129]
  ] as const) {
    it(`S-060 S-066 T-17 ${signal} deletes the instance, its last words are shown, exit ${code}`, async () => {
      const { child, done, seen } = start(["run", "--name", "sleeper", "--", "sleep"], { home })
      await until(() => seen().includes("sleeping"), child)
      child.kill(signal)
      const ran = await done
      assert.deepStrictEqual([ran.code, ran.stderr], [code, "\nStopping instance...\n"])
      assert.strictEqual(ran.stdout.toString(), "sleeping\nbye\n")
      assert.deepStrictEqual(await instances(home), [])
    }, 20_000)
  }

  it("T-17 a second Ctrl+C ends the CLI at once, and the daemon still cleans up", async () => {
    const { child, done, seen } = start(["run", "--", "stubborn"], { home })
    await until(() => seen().includes("sleeping"), child)
    let said = ""
    child.stderr.on("data", (bytes: Buffer) => (said += bytes.toString()))
    child.kill("SIGINT")
    await until(() => said.includes("Stopping"), child)
    child.kill("SIGINT")
    assert.strictEqual((await done).code, 130)
    let left = await instances(home)
    for (let attempt = 0; left.length > 0 && attempt < 20; attempt++) left = await instances(home)
    assert.deepStrictEqual(left, [])
  }, 20_000)

  it("T-18 kill -9 of the CLI leaves no instance", async () => {
    const { child, done, seen } = start(["run", "--", "sleep"], { home })
    await until(() => seen().includes("sleeping"), child)
    child.kill("SIGKILL")
    await done
    let left = await instances(home)
    for (let attempt = 0; left.length > 0 && attempt < 20; attempt++) left = await instances(home)
    assert.deepStrictEqual(left, [])
  }, 20_000)

  it("T-16 a reader that goes ends the run quietly, with the instance deleted", async () => {
    const ran = await aegis(["--norc", "-c", `'${program}' run -- yes | head -1; echo "code \${PIPESTATUS[0]}"`], {
      home,
      program: "/bin/bash"
    })
    assert.deepStrictEqual([ran.stdout.toString(), ran.stderr], ["y\ncode 141\n", ""])
    assert.deepStrictEqual(await instances(home), [])
  }, 20_000)

  it("S-101 S-109 S-118 info, delete and an unknown target", async () => {
    const { child, done, seen } = start(["run", "--name", "web", "--", "sleep"], { home })
    await until(() => seen().includes("sleeping"), child)
    const list = await aegis(["instance", "list", "--running"], { home })
    assert.match(list.stdout.toString(), /\ninst-\d{19} {7}web {13}running {4}- /)
    const info = await aegis(["instance", "info", "web"], { home })
    assert.match(info.stdout.toString(), /^ID: {10}inst-\d{19}\nState: {7}running\nHandle: {6}web\nCommand: {5}sleep\n/)
    const deleted = await aegis(["instance", "delete", "web"], { home })
    assert.strictEqual(deleted.stdout.toString(), "Instance web deleted\n")
    const ran = await done
    assert.strictEqual(ran.code, 125)
    assert.include(ran.stderr, "was stopped while its command ran")
    const unknown = await aegis(["instance", "info", "web"], { home })
    assert.deepStrictEqual([unknown.code, unknown.stderr.split("\n")[0]], [1, 'error: instance "web" not found'])
  }, 30_000)

  it("D-04 a daemon that goes is 125", async () => {
    const other = newHome()
    await aegis(["up"], { home: other })
    const { child, done, seen } = start(["run", "--", "sleep"], { home: other })
    await until(() => seen().includes("sleeping"), child)
    process.kill(Number(readFileSync(path.join(other, "data/aegisd.pid"), "utf8")), "SIGKILL")
    const ran = await done
    assert.strictEqual(ran.code, 125)
    assert.match(ran.stderr, /^error: (the connection to aegisd was lost|aegisd is)/)
  }, 30_000)

  it("S-049 S-050 S-051 S-052 S-053 S-055 D-22 doctor shows its parts, the accelerator and what the probe saw", async () => {
    const text = (await aegis(["doctor"], { home })).stdout.toString()
    assert.include(text, "aegisd:   running\nBackend:     qemu\nAccelerator: tcg\n")
    for (const part of ["Go", "krunvm", "libkrun", "e2fsprogs"]) assert.match(text, new RegExp(`^${part}: +\\S`, "m"))
    assert.match(text, /^krunvm: .*\(optional, not used\)$/m)
    assert.include(text, "fails: no /dev/kvm\n    try: none\n")
    assert.include(text, "Capabilities:\n  Pause/Resume:          no\n  Boot from disk layers: yes\n")
  }, 20_000)
})

afterAll(clean)
