/**
 * `docs/WHY.md` is what these guests' ends look like: the test makes each of them and compares its shape with the document. With
 * `AEGIS_UPDATE_DOCS=1` it writes the document instead.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { inState, killDaemon, processesOf, rest, vmOf } from "../product/Fleet.ts"
import { dist, Product, until } from "../product/Product.ts"

const file = path.resolve(import.meta.dirname, "../../docs/WHY.md")

interface Scene {
  readonly title: string
  readonly text: string
  readonly name: string
  readonly told: string
}

/** What differs from one day to the next. */
const shapeOf = (text: string) =>
  text
    .replaceAll(/inst-\d{19}/g, "ID")
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, "TIME")
    .replaceAll(/console said last: .*/g, "console said last: …")
    .replaceAll(/after \d+ ms/g, "after N ms")
    .replaceAll(/\d+ s (after|$)/gm, "N s $1")
    .replaceAll(/(stopped|happened) for \d+ s/g, "$1 for N s")
    .replaceAll(/\d+ ms of its processor/g, "N ms of its processor")
    .replaceAll(/\d+ bytes through/g, "N bytes through")
    .replaceAll(/process \d+/g, "process N")

const document = (scenes: ReadonlyArray<Scene>) =>
  [
    "# Why an instance is as it is",
    "",
    "`aegis why HANDLE_OR_ID` tells from the journal how an instance came to its present state: the state and its reason, each step since it",
    "was last started with who asked for it, and what came before that. It answers for instances that are no more as well; `--json` gives the",
    "sentences as a document, and `aegis events HANDLE_OR_ID` the events behind them.",
    "",
    "A cause is a command of `aegis`, a REST route, a connection, a timer, the guest, the daemon, an agent: `an MCP client (tool instance_stop)`, or some other program: `the program worker`.",
    "",
    "These transcripts are real. `test/cli/Why.vm.test.ts` makes every one of these ends and compares what it is told with this file;",
    "`AEGIS_UPDATE_DOCS=1 npx vitest run --project vm test/cli/Why.vm.test.ts` writes it anew.",
    ...scenes.flatMap(({ name, text, title, told }) => [
      "",
      `## ${title}`,
      "",
      text,
      "",
      "```console",
      `$ aegis why ${name}`,
      told.trimEnd(),
      "```"
    ]),
    ""
  ].join("\n")

describe("aegis why", () => {
  let aegis: Product
  let scratch = ""
  beforeAll(async () => {
    aegis = await Product.make()
    scratch = mkdtempSync(path.join(tmpdir(), "aegis-why-"))
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    await aegis.run(["status"])
  }, 600_000)
  afterAll(async () => {
    await aegis.remove()
    rmSync(scratch, { recursive: true, force: true })
  })

  const begin = async (name: string, ...command: ReadonlyArray<string>) => {
    const args = ["instance", "start", "--name", name, "--memory", "64", "--", ...command]
    const done = await aegis.run(args)
    assert.strictEqual(done.code, 0, done.stderr)
  }
  const state = (name: string, wanted: string) => inState(aegis, name, wanted)
  const says = async (...args: ReadonlyArray<string>) => {
    const done = await aegis.run(args)
    assert.strictEqual(done.code, 0, done.stderr)
    return done.stdout
  }
  const ended = async (name: string, tag: string) => {
    const { ended: reason } = await state(name, "stopped")
    assert.strictEqual(reason._tag, tag, JSON.stringify(reason))
  }
  const vmOfBooting = (name: string) =>
    until("its VM is begun", async () => {
      const { body } = await rest(aegis, "GET", `/v1/instances/${name}`)
      return processesOf(aegis, "qemu-system").find((pid) =>
        readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(body.id)
      )
    })

  it("T-226 explains each end in the words of docs/WHY.md", async () => {
    const scenes: Array<Scene> = []
    const scene = async (title: string, name: string, text: string) => {
      scenes.push({ title, name, text, told: await says("why", name) })
    }
    const forEver = ["sleep", "1000"]

    const unused = ["--name", "unused", "--memory", "64", "--idle-stop", "1s", "--", ...forEver]
    await says("instance", "start", ...unused)
    await begin("job", "sh", "-c", "exit 3")
    await ended("job", "Exited")
    await begin("killed", "sh", "-c", "kill -9 $$")
    await begin("hungry", "python3", "-c", "a = []\nwhile True: a.append(bytearray(1 << 20))")
    await begin("typo", "pyhton3", "app.py")
    await begin("web", ...forEver)
    await Promise.all([ended("killed", "Signaled"), ended("hungry", "Signaled"), ended("typo", "NotStarted")])
    await state("web", "running")
    await scene("It runs", "web", "Nothing is the matter: its guest has answered and its command runs.")
    await says("instance", "pause", "web")
    await scene("Paused", "web", "Who paused it and when. `aegis instance resume web` lets it go on.")
    await says("instance", "resume", "web")
    await says("instance", "stop", "web")
    await scene("Stopped by somebody", "web", "The reason `Stopped`: who asked, and how long the command had to end.")
    await ended("unused", "Idle")
    await scene("Stopped because nobody used it", "unused", "The reason `Idle`, with what was looked at.")
    await scene("Its command was done", "job", "The reason `Exited`, with the command's exit code.")
    await scene("Its command was killed inside the guest", "killed", "The reason `Signaled`.")
    await scene("It ran out of memory", "hungry", "`Signaled` by the guest's kernel, which had no memory left.")
    await scene(
      "Its command could not be started",
      "typo",
      "The reason `NotStarted`, with the error's tag in parentheses."
    )

    await begin("cut-short", ...forEver)
    process.kill(await vmOfBooting("cut-short"), "SIGKILL")
    await ended("cut-short", "NotStarted")
    await scene(
      "Its VM did not come up",
      "cut-short",
      "`NotStarted` again: the machine ended before its guest had answered."
    )

    await begin("shot", ...forEver)
    await begin("panicked", "sh", "-c", "sleep 0.5; kill -SEGV 1; sleep 1000")
    await state("shot", "running")
    process.kill(await vmOf(aegis, "shot"), "SIGKILL")
    await Promise.all([ended("shot", "VmDied"), ended("panicked", "VmDied")])
    await scene(
      "Its VM was killed on the host",
      "shot",
      "The reason `VmDied`: the process that is the machine has gone."
    )
    await scene("Its kernel panicked", "panicked", "`VmDied` as well, with the last line of the guest's console.")

    for (let life = 0; life < 5; life++) {
      await (life === 0 ? begin("loop", "false") : says("instance", "start", "--name", "loop"))
      await ended("loop", "Exited")
    }
    await scene(
      "It ends again and again",
      "loop",
      "Five ends within two minutes, of lives under ten seconds: nothing but a person starts it again."
    )

    await begin("survivor", ...forEver)
    await begin("lost", ...forEver)
    await Promise.all([state("survivor", "running"), state("lost", "running")])
    const lost = await vmOf(aegis, "lost")
    await begin("unlucky", ...forEver)
    await vmOfBooting("unlucky")
    await killDaemon(aegis)
    process.kill(lost, "SIGKILL")
    await says("up")
    await Promise.all([ended("lost", "VmDied"), ended("unlucky", "HostLost")])
    await state("survivor", "running")
    await scene("It outlived its daemon", "survivor", "`aegisd` was killed and started again; the guest never noticed.")
    await scene("It died while no daemon was there", "lost", "`VmDied`, found by the daemon that came next.")
    await scene(
      "The daemon died while it was starting",
      "unlucky",
      "The reason `HostLost`: its start was never finished."
    )

    await killDaemon(aegis)
    for (const pid of [...processesOf(aegis, "qemu-system"), ...processesOf(aegis, "virtiofsd")]) {
      process.kill(pid, "SIGKILL")
    }
    const bootId = path.join(scratch, "boot_id")
    writeFileSync(bootId, "00000000-1111-2222-3333-444444444444\n")
    const script = `mount --bind "$1" /proc/sys/kernel/random/boot_id && exec "$2" up`
    const unshare = process.getuid?.() === 0 ? "-m" : "-rm"
    const booted = spawnSync("unshare", [unshare, "sh", "-c", script, "sh", bootId, path.join(dist, "aegis")], {
      env: { ...process.env, ...aegis.env },
      encoding: "utf8"
    })
    assert.strictEqual(booted.status, 0, booted.stderr)
    await ended("survivor", "HostLost")
    await scene(
      "The machine went down",
      "survivor",
      "`HostLost`: after a reboot everything is stopped and can be started again."
    )

    await says("instance", "start", "--name", "job")
    await ended("job", "Exited")
    await scene("It was started again", "job", "One sentence tells what came before.")
    await says("instance", "delete", "killed")
    await says("instance", "prune", "--stopped-older-than", "0s")
    await scene("It was deleted", "killed", "The journal keeps what the list does not.")
    await scene("It was pruned", "typo", "`aegis instance prune` says for how long it had been stopped.")

    const text = document(scenes)
    if (process.env["AEGIS_UPDATE_DOCS"] === "1") writeFileSync(file, text)
    assert.strictEqual(shapeOf(readFileSync(file, "utf8")), shapeOf(text))
  }, 300_000)
})
