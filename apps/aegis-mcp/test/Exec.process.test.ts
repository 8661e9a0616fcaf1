/**
 * The tool `exec` against the scripted daemon.
 */
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { agentWithInstance, asker, until } from "./Agent.ts"

describe("the tool exec", () => {
  const { ask, connect, home, refusal } = agentWithInstance()
  const exec = (command: ReadonlyArray<string>, more: Record<string, unknown> = {}) =>
    ask("exec", { target: "web", command, ...more })
  const told = () => readFileSync(path.join(home, "execs"), "utf8")

  it("S-147 S-155 gives output, exit code and progress", async () => {
    const progress: Array<string> = []
    const printed = await ask(
      "exec",
      { target: "web", command: ["print", "out", "err"] },
      { onprogress: ({ message }) => void progress.push(message ?? "") }
    )
    assert.deepNestedInclude(printed, {
      exit_code: 0,
      timed_out: false,
      "stdout.text": "out",
      "stderr.text": "err",
      "stderr.truncated": false
    })
    assert.match(String(printed["exec_id"]), /^exec-[0-9a-f]{16}$/)
    assert.match(String(printed["instance"]), /^inst-/)
    assert.match(progress.join("\n"), /^the command runs as exec-/)
    assert.deepInclude(await exec(["exit", "3"]), { exit_code: 3, ended: { _tag: "Exited", code: 3 } })
    assert.deepInclude(await exec(["signal", "9"]), { exit_code: 137 })
    assert.deepNestedInclude(await exec(["bytes", "fffe00"]), { "stdout.bytes": 3 })
  })

  it("S-156 environment, directory and user are the daemon's to use; a group is the user's where none is said", async () => {
    const asked = { env: { A: "1" }, workdir: "/tmp", user: { uid: 1000 } }
    const { stdout } = await exec(["spec", "a b"], asked)
    assert.deepInclude(JSON.parse((stdout as { text: string }).text), {
      command: ["spec", "a b"],
      env: { A: "1" },
      workdir: "/tmp",
      user: { uid: 1000, gid: 1000 },
      interactive: false,
      detached: false
    })
  })

  it("standard input arrives as it was, all of it, and ends", async () => {
    const text = "zażółć gęślą jaźń\n".repeat(20_000)
    assert.deepNestedInclude(await exec(["cat"], { stdin: "hello" }), { "stdout.text": "hello", exit_code: 0 })
    assert.deepNestedInclude(await exec(["cat"], { stdin: "" }), { "stdout.text": "", exit_code: 0 })
    const long = await exec(["cat"], { stdin: text })
    assert.deepNestedInclude(long, { "stdout.bytes": Buffer.byteLength(text), "stdout.truncated": true })
    assert.deepInclude(await refusal("exec", { target: "web", command: ["cat"], stdin: "x".repeat(1024 * 1024 + 1) }), {
      code: "InvalidArgument"
    })
  })

  it("a flood is cut in its middle, with the call that gives all of it", async () => {
    const { exec_id, note, stdout } = await exec(["flood", String(8 * 1024 * 1024)])
    assert.deepInclude(stdout as object, { bytes: 8 * 1024 * 1024, truncated: true })
    assert.include(note as string, `exec "${exec_id as string}", after 0`)
    const { entries } = await ask("logs", { target: "web", exec: exec_id, after: 0 })
    assert.isArray(entries)
  })

  it("one whose time is up is ended, and what it has printed is the answer", async () => {
    const late = await exec(["stubborn"], { timeout_seconds: 0.3 })
    assert.deepNestedInclude(late, { timed_out: true, "stdout.text": "sleeping\n" })
    assert.notProperty(late, "exit_code")
    await until(() => told().includes("stubborn was ended"))
    assert.deepInclude(await exec(["exit", "0"], { timeout_seconds: 60 }), { timed_out: false, exit_code: 0 })
  })

  it("T-16 cancelling the call ends the command, and so does the client's end", async () => {
    const abort = new AbortController()
    const running = ask("exec", { target: "web", command: ["sleep"] }, { signal: abort.signal }).catch(
      () => "cancelled"
    )
    await until(() => told().includes("sleep began"))
    abort.abort()
    assert.strictEqual(await running, "cancelled")
    await until(() => told().includes("sleep was ended"))
    const other = await connect(home)
    const left = asker(() => other)("exec", { target: "web", command: ["yes"] }).catch(() => "left")
    await until(() => told().includes("yes began"))
    await other.close()
    assert.strictEqual(await left, "left")
    await until(() => told().includes("yes was ended"))
  })

  it("S-154 refusals have the error's tag and its remedy", async () => {
    assert.deepInclude(await refusal("exec", { target: "nobody", command: ["true"] }), { code: "NotFound" })
    assert.deepInclude(await refusal("exec", { target: "web", command: ["absent", "x"] }), {
      code: "CommandNotStarted"
    })
    assert.match((await refusal("exec", { target: "web", command: ["die"] })).remedy, /^aegis why web/)
    const { message } = await refusal("exec", { target: "web", command: [], workdir: "tmp", user: { uid: -1 } })
    for (const word of ["command", "workdir", "user.uid"]) assert.include(message, word)
    await ask("instance_start", { command: ["exit", "0"], handle: "ended" })
    await until(async () => JSON.stringify(await ask("instance_info", { target: "ended" })).includes('"stopped"'))
    assert.deepInclude(await refusal("exec", { target: "ended", command: ["true"] }), {
      code: "StateConflict",
      remedy: "aegis instance start --name ended"
    })
  })
})
