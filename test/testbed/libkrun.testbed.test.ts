import { randomBytes } from "node:crypto"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { runInTestbed, TestbedError } from "../../testbed/testbed.mjs"
import { conformanceCases } from "../conformance/suite.ts"
import { logRows } from "../logs/rows.ts"
import { bundled } from "../product/bundled.ts"
import { busyboxDisk } from "../product/busyboxDisk.ts"
import { fsxCommand, fsxWorkspace } from "../product/Fsx.ts"
import { baseRootfs, dist } from "../product/Product.ts"
import { bundledPip, packageFolder, wheel } from "../product/Wheel.ts"
import { attacks, attempts, escapes } from "../product/WorkspaceAttacks.ts"
import { endOfPart, libkrunJob, scan, terminal } from "./LibkrunJob.ts"
import * as Effect from "effect/Effect"

/** All machines together, so that it is this test that tells what has failed, and not the limit of its stage. */
const LIMIT_MS = 1_700_000

/**
 * libkrun on a machine whose /dev/kvm works: all of it in one boot, since a boot and Node's first start are what costs.
 */
describe("libkrun in the testbed", () => {
  const scratch = mkdtempSync(path.join(tmpdir(), "aegis-libkrun-"))
  const until = performance.now() + LIMIT_MS
  const ended = new Set<string>()
  let output = ""
  let rootfs = ""
  let exitCode: number | undefined

  beforeAll(async () => {
    busyboxDisk(path.join(scratch, "busybox.ext4"))
    const programOf = (entry: string, name: string) =>
      bundled(path.join(import.meta.dirname, entry), path.join(scratch, name))
    programOf("../conformance/libkrun.main.ts", "conformance.cjs")
    programOf("../logs/rows.main.ts", "logs.cjs")
    await fsxWorkspace(path.join(scratch, "fsx"))
    writeFileSync(path.join(scratch, "attacks.py"), attacks)
    writeFileSync(path.join(scratch, "terminal.py"), terminal)
    writeFileSync(path.join(scratch, "scan.py"), scan)
    writeFileSync(path.join(scratch, "escapes.py"), escapes("/opt/test/outer"))
    packageFolder(path.join(scratch, "index"), "made", wheel("made", randomBytes(1_000_000)))
    mkdirSync(path.join(scratch, "pip"))
    copyFileSync(bundledPip(), path.join(scratch, "pip/pip.whl"))
    rootfs = await baseRootfs()
    await attempt()
  }, LIMIT_MS + 60_000)
  /**
   * The emulated hypervisor now and then drives its own host's kernel into a panic or a standstill: no program in it can, and what hangs in
   * the job is ended there. That is said, and another machine is given the parts that have not ended.
   */
  const attempt = async (): Promise<void> => {
    const started = performance.now()
    const result = await runInTestbed({
      script: libkrunJob(fsxCommand(500), ended, cases.filter(({ title }) => verdict(title) !== undefined).length),
      timeoutMs: until - started,
      silenceMs: 200_000,
      cpus: 1,
      dataSize: 2 * 1024 ** 3,
      onLine: (line) => {
        output += `${line}\n`
        if (line.startsWith(endOfPart)) ended.add(line.slice(endOfPart.length))
        else if (/^(==|ok|not ok) /.test(line))
          process.stderr.write(`${Math.round((performance.now() - started) / 1000)} s ${line}\n`)
      },
      files: [
        { from: dist, to: "/opt/aegis" },
        { from: rootfs, to: "/opt/rootfs" },
        { from: scratch, to: "/opt/test" }
      ]
    }).catch((error: unknown) => {
      const stood =
        error instanceof TestbedError &&
        (error.kind === "timeout" || (error.kind === "crashed" && error.message.includes("Kernel panic")))
      if (!stood || until - performance.now() < 180_000) throw error
      process.stderr.write(`the testbed itself failed; another goes on:\n${error.message.slice(-8000)}\n`)
      return undefined
    })
    if (result === undefined) return attempt()
    exitCode = result.exitCode
  }
  afterAll(() => rmSync(scratch, { recursive: true, force: true }))

  /** As it was said last, where a machine died in it. */
  const section = (name: string) => output.split(`== ${name}\n`).slice(1).at(-1)?.split("\n== ")[0] ?? ""
  const lastLines = () => output.trimEnd().split("\n").slice(-12).join("\n")

  const verdict = (title: string) =>
    output.split("\n").find((line) => line.replace(/^not /, "").startsWith(`ok ${title}`))
  const cases = conformanceCases({
    backend: Effect.die("only its titles"),
    rootDisk: "",
    runDirectory: "",
    patience: 1
  })
  it.each(cases.map(({ title }) => title))("conformance: %s", (title) => {
    assert.strictEqual(verdict(title), `ok ${title}`, lastLines())
  })
  it.each(Object.keys(logRows))("%s", (title) => {
    assert.include(section("logs of a guest").split("\n"), `ok ${title}`, lastLines())
  })

  it("S-066 aegis run prints hello from a libkrun guest, whose kernel is libkrunfw's, and exits with its code", () => {
    assert.match(section("hello"), /^hello from aegis\n6\.\d+\.\d+\nrc 42$/, lastLines())
  })

  it("S-047 D-22 status names libkrun, and doctor what the probe saw", () => {
    assert.match(section("status"), /^aegisd: running\nbackend: libkrun$/, lastLines())
    assert.match(section("doctor"), /libkrun\/kvm +works: a guest answered in \d+ ms/, lastLines())
  })

  it("S-024 S-062 /workspace is a directory of the host, gone afterwards; what is not writable is not", () => {
    assert.match(section("workspace"), /^written\ntouch: .*Read-only file system\nrc 1\nleft: $/)
  })

  it("S-063 a directory of the host is shared both ways; fsx finds every byte of a file in it as it must be, and so does the host", () => {
    assert.match(
      section("shared"),
      /^from the host\n(?:.*\n)*All operations completed A-OK!\n([0-9a-f]{64}) {2}data\nrc 0\n\1 {2}data\nfrom the guest$/
    )
  })

  it("T-215 kill -9 of the VMM ends the run, and leaves nothing", () => {
    assert.match(section("killed"), /error: .*SIGKILL[^]*rc 125\nleft: $/)
  })

  it("E14 the VM's process has no capability that a VM does not need, and its configuration is in neither argv nor environment", () => {
    assert.match(section("confined"), /NoNewPrivs:\t1/)
    assert.notMatch(section("confined"), /CapEff:\t[0-9a-f]*[1-9a-f][0-9a-f]{8}\b/)
    assert.include(section("confined"), "argv clean")
  })

  it("S-074 :ro is held by the host: root of the guest remounts it, mounts it anew, and changes nothing", () => {
    const said = section("attacked")
    assert.match(said, /^remount 1 .*\nmounted anew 1 .*\nread the host's\n/)
    assert.notInclude(said, "DONE")
    assert.strictEqual(said.match(/^refused /gm)?.length, attempts, said)
    assert.match(said, /\nrc 0\nunchanged$/)
  })

  it("T-248 no way leads out of the shared directory: links, .., and forged file handles", () => {
    const said = section("escaped")
    assert.match(said, /\nhandles tried \d+ [^]*\nrc 0\nhost: secret\.txt share marker-of-the-host$/)
    assert.notMatch(said, /^got .*marker|ESCAPED/m)
  })

  it("S-147 S-148 S-149 S-150 S-151 S-153 S-155 S-156 S-158 exec: by handle and id, while it starts, exit code, streams apart, /workspace, and nothing listens in the guest", () => {
    const lines = ["hello", "rc 0", "rc 42", "data", "output", "stderr: err"]
    assert.match(
      section("exec"),
      new RegExp(`^${lines.join("\n")}\nerror: cannot run "no-such-program".*\n +try: .*\nrc 127\nlistening: 0$`)
    )
  })

  it("exec -i and -t: what goes in comes out byte for byte; a terminal has the size of the one outside", () => {
    assert.strictEqual(section("stdin"), "equal")
    assert.match(section("terminal"), /^rc 7\n\/dev\/pts\/\d+\n33 77\nword\ngot word$/)
  })

  it("cp takes a tree in, and out as an archive", () => {
    assert.strictEqual(section("copied"), "equal")
  })

  it("S-132 a command that was left running is joined after kill -9 of the daemon, which adopts its guest", () => {
    assert.match(section("joined"), /^aegisd started \(pid \d+\)\none\ntwo\nrc 5$/)
  })

  it("S-133 S-135 S-152 pause halts the VM's process, exec resumes it", () => {
    assert.strictEqual(section("paused"), "Instance box paused\nState:\tT (stopped)\nresumed\nrc 0")
  })

  it("S-154 S-157 S-159 S-162 S-163 S-165 S-166 S-167 S-168 S-169 logs of a stopped instance: primary, exec and system, in order, also from before the daemon died", () => {
    const exec = (...words: ReadonlyArray<string>) =>
      words.map((word) => `\\^\\[\\[36m\\[exec\\]\\^\\[\\[0m ${word}\n`).join("")
    const system = (word: string) => `\\^\\[\\[33m\\[system\\]\\^\\[\\[0m .*${word}.*\n`
    const said = `first\n${exec("hello", "data", "one", "two")}${system("paused")}${exec("resumed")}`
    assert.match(
      section("logs"),
      new RegExp(
        `^Instance box stopped\nerror: instance "box" is stopped\n +try: .*\nrc 125\n${said}stderr: other .* err \n1$`
      )
    )
  })

  it("S-116 S-125 S-160 S-164 S-170 logs -f shows the same and ends when the instance is deleted", () => {
    assert.match(
      section("followed"),
      /^Instance box deleted\nrc 0\nthe same\nerror: no instance found for "box"\n[^]*rc 1$/
    )
  })

  it("S-065 S-198 S-199 the reference's run --expose prints where it serves, and serves there", () => {
    assert.match(
      section("serving"),
      /^Serving on http:\/\/127\.0\.0\.1:8099\n[^]*Directory listing for \/<\n[^]*rc 130$/
    )
  })

  it("S-082 S-085 S-086 S-105 S-201 the reference's instance start --expose is printed as there, and serves, also when started again", () => {
    const [, id = "", rest = ""] =
      /^Instance started: (inst-\d+)\nHandle: web\nRouter: http:\/\/127\.0\.0\.1:8099\nDirectory listing for \/<\n([^]*)$/.exec(
        section("web")
      ) ?? []
    assert.match(rest, /^Command: {5}python3 -m http\.server 80\n/m, section("web"))
    assert.match(rest, /^Ports: {7}80\nEndpoints:\n {2}:80 → :\d+ \(http\)$/m)
    const again = `\nInstance web stopped\nInstance restarted: ${id}\nDirectory listing for /<\n`
    assert.include(rest, again, rest)
  })

  it("T-249 a scan from inside finds nothing of its host", () => {
    assert.strictEqual(section("scan"), "rc 0\nseen: ")
  })

  it("pip downloads from an index on the host's loopback", () => {
    assert.match(section("pip"), /(^|\n)rc 0\nequal$/)
  })

  it("T-242 T-249 what was allowed is found, and a crash of its network's process is followed by another with the guest's link, and told", () => {
    assert.match(
      section("network"),
      /^before: 192\.168\.127\.254 8123\nseen: 127\.0\.0\.1\nafter: 192\.168\.127\.254 8123\n.*network crashed: killed by SIGKILL; started anew/
    )
  })

  it("S-041 down ends the daemon and leaves no process", () => {
    assert.match(section("down"), /aegisd stopping \(pid \d+\)\naegisd stopped\nprocesses: 0/)
  })

  it("the job ended as a whole", () => {
    assert.strictEqual(exitCode, 0, lastLines())
  })
})
