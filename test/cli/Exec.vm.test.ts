import { createHash, randomBytes } from "node:crypto"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { ExecBox } from "../product/ExecBox.ts"
import { inState, logOf, rest, running } from "../product/Fleet.ts"
import { until } from "../product/Product.ts"

/** A guest's root may stop even the harness: in a control group of its own. */
const freezing = `
import ctypes, os, time
os.mkdir("/run/held")
if ctypes.CDLL(None).mount(b"none", b"/run/held", b"cgroup2", 0, None): raise SystemExit("no control groups")
os.mkdir("/run/held/one")
def put(name, text):
    with open("/run/held/one/" + name, "w") as file: file.write(text)
put("cgroup.procs", "1")
put("cgroup.freeze", "1")
open("/workspace/frozen", "w").close()
while "thaw" not in os.listdir("/workspace"): time.sleep(0.2)
put("cgroup.freeze", "0")
`

describe("aegis exec, against the real daemon and a real guest", () => {
  let box: ExecBox
  beforeAll(async () => {
    box = await ExecBox.make()
  }, 600_000)
  afterAll(() => box.remove())

  it("S-153 an instance that starts is waited for; S-147 S-149 S-150 by handle and by id, word for word", async () => {
    const first = await box.exec("web", "--", "echo", "hello")
    assert.deepStrictEqual([first.code, first.stdout, first.stderr], [0, "hello\n", ""])
    const byId = await box.exec(box.id, "--", "printf", "%s|", "--env", "-h", "--version", "a  b", "$HOME", "ä")
    assert.strictEqual(byId.stdout, "--env|-h|--version|a  b|$HOME|ä|")
    assert.strictEqual((await box.exec("WEB", "--", "echo", "hello")).stdout, "hello\n")
  })

  it("S-155 D-04 the exit code is the command's, 128+N for a signal; its standard error is standard error", async () => {
    const done = await box.sh("echo out; echo err >&2; exit 42")
    assert.deepStrictEqual([done.code, done.stdout, done.stderr], [42, "out\n", "err\n"])
    assert.strictEqual((await box.sh("kill -9 $$")).code, 137)
  })

  it("S-155 D-21 what cannot be resolved is 125, what is no command line is 2", async () => {
    const unresolved = await box.exec("nobody", "--", "true")
    assert.deepStrictEqual([unresolved.code, unresolved.stdout], [125, ""])
    assert.include(unresolved.stderr, 'error: could not resolve "nobody" to an instance\n  try: aegis instance list')
    const commandless = await box.exec("web")
    assert.strictEqual(commandless.code, 2)
    assert.match(commandless.stderr, /^error: aegis exec needs a command[^]*\nUsage: aegis exec /)
    for (const words of [
      ["web", "--user", "root", "--", "id"],
      ["web", "--workdir", "tmp", "--", "pwd"],
      ["web", "--json", "--", "true"],
      ["-it", "web", "--", "true"],
      ["--attach", "exec-1"],
      ["web", "--attach", "exec-0123456789abcdef"]
    ]) {
      const refused = await box.exec(...words)
      assert.strictEqual(refused.code, 2, `${words.join(" ")}: ${refused.stderr}`)
      assert.match(refused.stderr, /^error: .*\n {2}try: /)
    }
  })

  it("S-158 T-211 a program that is missing is 127, one that cannot be run 126, each with a reason", async () => {
    const missing = await box.exec("web", "--", "no-such-program")
    assert.deepStrictEqual([missing.code, missing.stdout], [127, ""])
    assert.match(missing.stderr, /^error: cannot run "no-such-program"[^\n]*\n {2}try: /)
    assert.strictEqual((await box.exec("web", "--", "/etc/passwd")).code, 126)
    assert.strictEqual((await box.exec("web", "--", "/etc")).code, 126)
    const nowhere = await box.exec("web", "--workdir", "/no/such", "--", "pwd")
    assert.strictEqual(nowhere.code, 126)
    assert.include(nowhere.stderr, "/no/such: no such directory")
  })

  it("S-156 S-148 it sees /workspace and the instance's environment; nothing in the guest listens", async () => {
    assert.strictEqual((await box.exec("web", "--", "ls", "/workspace")).stdout, "data\noutput\n")
    const seen = await box.sh(
      "pwd; echo $OWN $AEGIS_HANDLE $MORE; cat /proc/net/tcp /proc/net/tcp6 | grep -c ' 0A '",
      "--env",
      "MORE=x=y"
    )
    assert.strictEqual(seen.stdout, "/workspace\n1 web x=y\n0\n")
    const user = await box.sh(
      "id -u; id -g; pwd; echo $HOME; echo ok > /dev/stdout",
      "--user",
      "1000:100",
      "--workdir",
      "/tmp"
    )
    assert.strictEqual(user.stdout, "1000\n100\n/tmp\n/\nok\n", user.stderr)
  })

  it("S-157 T-303 what it writes is in the instance's log, with source exec and its id", async () => {
    await box.sh("echo said by exec")
    const lines = (await logOf(box.aegis, box.id)).flatMap((entry) => (entry._tag === "Line" ? [entry] : []))
    const said = lines.find(({ bytes }) => Buffer.from(bytes).toString() === "said by exec")
    assert.strictEqual(said?.source, "exec")
    assert.match(said?.execId ?? "", /^exec-[0-9a-f]{16}$/)
    const shown = await box.aegis.run(["logs", "web", "--exec", said?.execId ?? ""])
    assert.strictEqual(shown.stdout, "[exec] said by exec\n")
  })

  it("standard input is empty without -i; with it 64 MiB go there and back as they were", async () => {
    assert.strictEqual((await box.aegis.run(["exec", "web", "--", "cat"], { input: "not for you" })).stdout, "")
    const sent = createHash("sha256")
    const received = createHash("sha256")
    const cat = box.aegis.start(["exec", "-i", "web", "--", "cat"], { stdin: "open" })
    let bytes = 0
    cat.child.stdout?.on("data", (piece: Buffer) => {
      bytes += piece.length
      received.update(piece)
    })
    for (let i = 0; i < 64; i++) {
      const piece = randomBytes(1024 * 1024)
      sent.update(piece)
      await new Promise((resolve) => cat.child.stdin?.write(piece, resolve))
    }
    cat.child.stdin?.end()
    assert.strictEqual((await cat.ended).code, 0)
    assert.strictEqual(bytes, 64 * 1024 * 1024)
    assert.strictEqual(received.digest("hex"), sent.digest("hex"))
  }, 180_000)

  it("T-207 a reader that is slow holds the command up, costs the daemon no memory and loses nothing", async () => {
    const rss = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${box.aegis.daemonPid}/status`, "utf8"))?.[1]) / 1024
    const before = rss()
    const script = "head -c 100000000 /dev/zero; touch /workspace/written; echo over"
    const reader = box.aegis.start(["exec", "web", "--", "sh", "-c", script])
    reader.child.stdout?.pause()
    await new Promise((resolve) => setTimeout(resolve, 3000))
    assert.isFalse(existsSync(path.join(box.workspace, "written")))
    assert.isBelow(rss() - before, 64)
    reader.child.stdout?.resume()
    assert.strictEqual((await reader.ended).code, 0)
    assert.strictEqual(reader.stdout().length, 100_000_005)
    rmSync(path.join(box.workspace, "written"))
  }, 180_000)

  it("T-287 UTF-8 that is cut at each of its bytes is whole where it is shown, in REST and in the log", async () => {
    const program = [
      "import os, time",
      "word = 'aä€😀'.encode()",
      "for at in range(len(word) + 1):",
      "  os.write(1, word[:at]); time.sleep(0.05); os.write(1, word[at:] + b'\\n')"
    ].join("\n")
    const want = Array.from({ length: 11 }, () => "aä€😀")
    const shown = await box.exec("web", "--", "python3", "-c", program)
    assert.deepStrictEqual(shown.stdout.trimEnd().split("\n"), want, shown.stderr)
    const { body } = await rest(box.aegis, "POST", "/v1/instances/web/exec", { command: ["python3", "-c", program] })
    const [{ exec_id }, ...others] = body
    assert.deepStrictEqual(
      others.slice(0, -1).map(({ line }: { readonly line?: string }) => line),
      want
    )
    assert.deepStrictEqual(await box.lines(exec_id), want)
  })

  it("the command's end is the exec's, also while standard input is open and silent", async () => {
    const open = box.aegis.start(["exec", "-i", "web", "--", "sh", "-c", "exit 3"], { stdin: "open" })
    assert.strictEqual((await open.ended).code, 3)
  })

  it("T-16 T-306 a reader that goes, or dies, ends the command, also one that ignores SIGHUP", async () => {
    const yes = box.aegis.start(["exec", "web", "--", "yes", "flood1"])
    await until("it floods", () => yes.stdout().length > 1_000_000)
    yes.child.stdout?.destroy()
    assert.strictEqual((await yes.ended).code, 141)
    await box.goneFromGuest("flood1")
    const stubborn = box.aegis.start([
      "exec",
      "web",
      "--",
      "sh",
      "-c",
      "trap '' HUP; echo up; while :; do sleep 0.1; done; : stubborn1"
    ])
    await until("it is up", () => stubborn.stdout() === "up\n")
    stubborn.child.kill("SIGKILL")
    await box.goneFromGuest("stubborn1")
  })

  it("T-17 signals pass to the command; SIGHUP ends it with its terminal", async () => {
    const trapping = box.aegis.start([
      "exec",
      "web",
      "--",
      "sh",
      "-c",
      "trap 'echo got it; exit 9' INT; echo up; while :; do sleep 0.1; done"
    ])
    await until("it is up", () => trapping.stdout() === "up\n")
    trapping.child.kill("SIGINT")
    const done = await trapping.ended
    assert.deepStrictEqual([done.code, done.stdout], [9, "up\ngot it\n"])
    const sleeping = box.aegis.start(["exec", "web", "--", "sh", "-c", "echo up; exec sleep 4321"])
    await until("it is up", () => sleeping.stdout() === "up\n")
    sleeping.child.kill("SIGHUP")
    assert.strictEqual((await sleeping.ended).code, 129)
    await box.goneFromGuest("4321")
  })

  it("S-154 one that is stopped is refused: 409, and 125 with the way to start it", async () => {
    await box.aegis.run(["instance", "start", "--name", "idle", "--memory", "64", "--", "true"])
    await inState(box.aegis, "idle", "stopped")
    const refused = await box.exec("idle", "--", "true")
    assert.strictEqual(refused.code, 125)
    assert.strictEqual(refused.stderr, 'error: instance "idle" is stopped\n  try: aegis instance start --name idle\n')
    const { body, status } = await rest(box.aegis, "POST", "/v1/instances/idle/exec", { command: ["true"] })
    assert.deepStrictEqual([status, body.code], [409, "StateConflict"])
  })

  it("S-152 T-233 one that is paused is resumed; a command that a pause has caught goes on", async () => {
    await running(box.aegis, "web")
    const resumed = path.join(box.workspace, "resumed")
    const script = "echo up; while [ ! -e resumed ]; do sleep 0.1; done; echo on"
    const waiting = box.aegis.start(["exec", "web", "--", "sh", "-c", script])
    await until("it waits", () => waiting.stdout() === "up\n")
    assert.strictEqual((await box.aegis.run(["instance", "pause", "web"])).code, 0)
    writeFileSync(resumed, "")
    assert.strictEqual((await box.sh("echo awake")).stdout, "awake\n")
    assert.include((await box.aegis.run(["instance", "info", "web"])).stdout, "State:       running")
    assert.deepStrictEqual([(await waiting.ended).code, waiting.stdout()], [0, "up\non\n"])
    rmSync(resumed)
    assert.strictEqual((await box.aegis.run(["instance", "pause", "web"])).code, 0)
    assert.strictEqual((await rest(box.aegis, "POST", "/v1/instances/web/resume")).status, 200)
  })

  it("D-23 U-009 REST answers with lines, and the exit code at the end", async () => {
    const { body, status } = await rest(box.aegis, "POST", "/v1/instances/web/exec", {
      command: ["sh", "-c", "echo one; echo two >&2; printf '\\377'; exit 6"],
      env: { A: "b" }
    })
    assert.strictEqual(status, 200)
    const [first, ...others] = body
    assert.match(first.exec_id, /^exec-/)
    const entries = others.slice(0, -1)
    assert.sameDeepMembers(
      entries.map(({ line, line_base64, partial, source, stream }: Record<string, unknown>) => ({
        line,
        line_base64,
        partial,
        source,
        stream
      })),
      [
        { line: "one", line_base64: undefined, partial: undefined, source: "exec", stream: "stdout" },
        { line: "two", line_base64: undefined, partial: undefined, source: "exec", stream: "stderr" },
        { line: undefined, line_base64: "/w==", partial: true, source: "exec", stream: "stdout" }
      ]
    )
    assert.deepStrictEqual(others.at(-1), { exec_id: first.exec_id, exit_code: 6, done: true })
    assert.strictEqual((await rest(box.aegis, "POST", "/v1/instances/web/exec", { command: ["nope"] })).status, 422)
    assert.strictEqual((await rest(box.aegis, "POST", "/v1/instances/nobody/exec", { command: ["true"] })).status, 404)
    assert.strictEqual((await rest(box.aegis, "POST", "/v1/instances/web/exec", { command: [] })).status, 400)
  })

  it("S-151 T-239 a guest that does not answer is 504, its command's fate unknown and then settled; one that runs executes", async () => {
    const froze = (await box.exec("--detach", "web", "--", "python3", "-c", freezing)).stdout.trim()
    await until("the harness is frozen", async () => existsSync(path.join(box.workspace, "frozen")))
    const { body, status } = await rest(box.aegis, "POST", "/v1/instances/web/exec", { command: ["sleep", "7654"] })
    writeFileSync(path.join(box.workspace, "thaw"), "")
    assert.deepStrictEqual([status, body.code], [504, "ExecUnanswered"])
    assert.include(body.error, "whether the command began is not known")
    assert.include(body.remedy, "it is ended as soon as the guest answers")
    const joined = await box.exec("--attach", froze)
    assert.deepStrictEqual([joined.code, joined.stderr], [0, ""])
    await box.goneFromGuest("7654")
    assert.include((await box.aegis.run(["instance", "info", "web"])).stdout, "State:       running")
    assert.strictEqual((await box.sh("echo runs")).stdout, "runs\n")
  })
})
