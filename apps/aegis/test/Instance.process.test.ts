/**
 * The commands that manage instances, as a process, against the scripted daemon.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { buildProgram, until } from "./scripted/Program.ts"

const { aegis, clean, directory, newHome, start } = buildProgram()

describe("instances", () => {
  const home = newHome()
  const instance = (...argv: ReadonlyArray<string>) => aegis(["instance", ...argv], { home })
  const create = (...argv: ReadonlyArray<string>) => instance("start", ...argv)
  const text = async (...argv: ReadonlyArray<string>) => {
    const ran = await aegis(argv, { home })
    assert.deepStrictEqual([ran.code, ran.stderr], [0, ""], argv.join(" "))
    return ran.stdout.toString()
  }
  /** Everything that changes, from one long look: a process for each glance would take its time. */
  let changes: ReturnType<typeof start> | undefined
  const inState = async (target: string, state: string) => {
    const last = () =>
      changes
        ?.seen()
        .split("\n")
        .findLast((line) => line.includes(`"handle":"${target}"`))
    await until(() => last()?.includes(`"state":"${state}"`) === true, changes?.child)
  }
  /** Until the daemon has been asked to wait for the target that often. */
  const waited = (target: string, times: number) =>
    until(() => {
      const file = path.join(home, "waits")
      return existsSync(file) && readFileSync(file, "utf8").split(`${target}\n`).length > times
    })

  beforeAll(async () => {
    const up = await aegis(["up"], { home, env: { AEGIS_TEST_AUDIT: "broken" } })
    assert.strictEqual(up.code, 0, up.stderr)
    changes = start(["instance", "watch", "--json"], { home })
  }, 60_000)
  afterAll(async () => {
    changes?.child.kill("SIGINT")
    await aegis(["down"], { home })
  })

  it("S-085 S-088 start prints id and handle, without waiting for the command", async () => {
    assert.match(
      await text("instance", "start", "--name", "Web", "--", "sleep"),
      /^Instance started: inst-\d{19}\nHandle: web\n$/
    )
    assert.match(await text("instance", "start", "--", "exit", "0"), /^Instance started: inst-\d{19}\n$/)
    await inState("web", "running")
  })

  it("S-083 D-15 start of one that runs is a conflict that names its state, exit 1", async () => {
    await create("--name", "busy", "--", "sleep")
    await inState("busy", "running")
    for (const argv of [
      ["--name", "busy"],
      ["--name", "busy", "--", "exit", "0"]
    ]) {
      const ran = await create(...argv)
      assert.deepStrictEqual(
        [ran.code, ran.stdout.toString(), ran.stderr],
        [1, "", 'error: instance "busy" is running\n  try: aegis instance stop busy\n']
      )
    }
  })

  it("T-273 times are UTC wherever the caller is", async () => {
    await create("--name", "there", "--", "sleep")
    const times = async (zone: string) => {
      const info = await aegis(["instance", "info", "there"], { home, env: { TZ: zone } })
      return info.stdout.toString().match(/\d{4}-\d\d-\d\dT\S+/g)
    }
    const utc = await times("UTC")
    assert.isNotNull(utc)
    for (const time of utc ?? []) assert.match(time, /Z$/)
    for (const zone of ["Pacific/Chatham", "America/St_Johns", "No/Where"])
      assert.deepStrictEqual(await times(zone), utc)
    await instance("delete", "there")
  })

  it("S-090 D-02 start of one that is paused is a conflict whose remedy is resume", async () => {
    await create("--name", "frozen", "--", "sleep")
    await inState("frozen", "running")
    assert.strictEqual(await text("instance", "pause", "frozen"), "Instance frozen paused\n")
    const ran = await create("--name", "frozen")
    assert.strictEqual(ran.code, 1)
    assert.strictEqual(ran.stderr, 'error: instance "frozen" is paused\n  try: aegis instance resume frozen\n')
  })

  it("S-070 expose reads a port as --expose does, and unexpose the guest's alone", async () => {
    await create("--name", "ports", "--", "sleep")
    for (const [argv, error] of [
      [["expose", "ports"], "error: aegis expose needs PORT[:PROTO]\n  try: aegis expose "],
      [["expose", "ports", "80/udp"], "error: invalid port: 80/udp (udp cannot be exposed"],
      [["expose", "ports", "0"], "error: invalid port: 0 (a port is PORT[:PROTO]"],
      [["unexpose", "ports", "80/tcp"], "error: invalid port: 80/tcp (a port is a whole number from 1 to 65535)"]
    ] as const) {
      const ran = await aegis(argv, { home })
      assert.strictEqual(ran.code, 2)
      assert.include(ran.stderr, error)
    }
    const refused = await aegis(["unexpose", "ports", "80"], { home })
    assert.strictEqual(refused.code, 1)
    assert.match(
      refused.stderr,
      /^error: port 80 of instance "ports" is not exposed\n {2}try: aegis instance info ports/
    )
  })

  it("U-057 keepalive takes a time of at most a day, and a reason of one line or more", async () => {
    await create("--name", "kept", "--", "sleep")
    assert.strictEqual(
      await text("keepalive", "kept", "--for", "0", "--reason", "over"),
      "Instance kept may idle again\n"
    )
    for (const [argv, error] of [
      [["kept"], "error: --for TIME is missing\n  try: --for 10m"],
      [["kept", "--for", "soon"], "error: invalid --for: soon (a duration is a whole number"],
      [["kept", "--for", "25h"], "error: invalid --for: 25h: a keepalive is of 0 to 86400 seconds (24h)"],
      [["kept", "--for", "1m", "--reason", "x".repeat(201)], "(the reason has at most 200 characters)"]
    ] as const) {
      const ran = await aegis(["keepalive", ...argv], { home })
      assert.strictEqual(ran.code, 2)
      assert.include(ran.stderr, error)
    }
    const ghost = await aegis(["keepalive", "ghost", "--for", "1m"], { home })
    assert.deepStrictEqual([ghost.code, ghost.stderr.split("\n")[0]], [1, 'error: instance "ghost" not found'])
  })

  it("S-086 D-01 S-087 a stopped one is started again under its id, in one line", async () => {
    const id = (await create("--name", "again", "--", "exit", "0")).stdout.toString().slice(18).split("\n")[0]
    await inState("again", "stopped")
    assert.strictEqual(await text("instance", "start", "--name", "again"), `Instance restarted: ${id}\n`)
    await inState("again", "stopped")
    assert.strictEqual(await text("instance", "start", "--name", "again", "--", "sleep"), `Instance restarted: ${id}\n`)
  })

  it("D-06 run with a name that is taken is refused, in whatever state its holder is", async () => {
    await create("--name", "taken", "--", "exit", "0")
    await inState("taken", "stopped")
    const ran = await aegis(["run", "--name", "taken", "--", "exit", "0"], { home })
    assert.strictEqual(ran.code, 125)
    assert.match(ran.stderr, /^error: instance "taken" is stopped\n {2}try: choose another --name/)
    assert.include(await text("instance", "list", "--stopped"), " taken ")
  })

  it("S-080 S-084 a name that nothing has, and no command, is an error that shows how to create it", async () => {
    const ran = await create("--name", "nobody")
    assert.deepStrictEqual(
      [ran.code, ran.stderr],
      [
        1,
        'error: instance "nobody" not found\n  try: put a command behind -- to create it: aegis instance start --name nobody -- COMMAND [ARGS...]\n'
      ]
    )
    const bad = await create("--name", "-x")
    assert.strictEqual(bad.code, 2)
  })

  it("S-092 D-21 neither name nor command is a usage error with two usage lines", async () => {
    const ran = await create()
    assert.strictEqual(ran.code, 2)
    assert.include(ran.stderr, "error: aegis instance start needs a command to run, or --name\n")
    assert.match(ran.stderr, /\nUsage: aegis instance start \[--name NAME\].*\n {7}aegis instance start --name NAME\n$/)
  })

  it("S-081 start sends what its flags say", async () => {
    const cwd = path.join(directory, "images")
    mkdirSync(cwd)
    const argv = ["--image", "oci:layout:v1", "--memory", "128", "--cpus", "2", "--json", "--", "sleep"]
    const ran = await aegis(["instance", "start", "--name", "flags", ...argv], { home, cwd })
    const document: unknown = JSON.parse(ran.stdout.toString())
    assert.deepInclude(document, {
      ...{ handle: "flags", state: "starting", image_ref: `oci:${cwd}/layout:v1`, memory_mb: 128, vcpus: 2 },
      restarted: false
    })
    const run = await aegis(["run", "--image", "rootfs:a.tar", "--", "env"], { home, cwd })
    assert.deepInclude(JSON.parse(run.stdout.toString()), { image: `rootfs:${cwd}/a.tar` })
    const bad = await aegis(["run", "--image", "No/Such", "--", "env"], { home, cwd })
    assert.strictEqual(bad.code, 2)
    assert.match(bad.stderr, /^error: invalid --image: No\/Such \(.*\)\n {2}try: /)
  })

  it("S-093 S-097 S-098 list by state", async () => {
    await create("--name", "listed", "--", "exit", "0")
    await inState("listed", "stopped")
    const all = await text("instance", "list")
    assert.match(all, /\ninst-\d{19} {7}listed {10}stopped {4}\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/)
    assert.match(all, / frozen {10}paused {5}- /)
    const stopped = await text("instance", "list", "--stopped")
    assert.include(stopped, " listed ")
    assert.notInclude(stopped, " frozen ")
    assert.notInclude(await text("instance", "list", "--running"), " listed ")
  })

  it("S-111 S-112 S-114 S-115 D-03 stop keeps the record, and may be said again", async () => {
    await create("--name", "job", "--", "sleep")
    await inState("job", "running")
    assert.strictEqual(await text("instance", "stop", "job", "--timeout", "30s"), "Instance job stopped\n")
    assert.strictEqual(await text("instance", "stop", "JOB"), "Instance JOB stopped\n")
    assert.match(await text("instance", "info", "job"), /\nStopped At: {2}\d{4}-.*\nEnded: {7}stopped\n$/)
    assert.include(await text("instance", "stop", "job", "--json"), '"state": "stopped"')
    assert.include(await text("events", "job"), "told to stop within 30 s (aegis instance stop)")
    for (const bad of ["2h", "x", "1.5"]) {
      const ran = await instance("stop", "job", "--timeout", bad)
      assert.strictEqual(ran.code, 2)
      assert.include(ran.stderr, `error: invalid --timeout: ${bad} (a timeout is`)
    }
  })

  it("S-135 S-137 D-03 pause and resume, and the state named where they cannot", async () => {
    await create("--name", "steps", "--", "sleep")
    await inState("steps", "running")
    const wrong = await instance("resume", "steps")
    assert.strictEqual(wrong.code, 1)
    assert.match(wrong.stderr, /^error: instance "steps" is running\n {2}try: /)
    assert.strictEqual(await text("instance", "pause", "steps"), "Instance steps paused\n")
    assert.strictEqual((await instance("pause", "steps")).code, 1)
    assert.include(await text("instance", "resume", "steps", "--json"), '"state": "running"')
    assert.strictEqual(await text("instance", "pause", "steps"), "Instance steps paused\n")
    assert.strictEqual(await text("instance", "resume", "steps"), "Instance steps resumed\n")
  })

  it("S-109 an unknown target is named, exit 1; of wait it is 125", async () => {
    for (const name of ["info", "stop", "delete", "pause", "resume", "wait"]) {
      const ran = await instance(name, "ghost")
      assert.strictEqual(ran.stderr.split("\n")[0], 'error: instance "ghost" not found', name)
      assert.strictEqual(ran.code, name === "wait" ? 125 : 1, name)
    }
    for (const name of ["why", "events"]) assert.strictEqual((await aegis([name, "ghost"], { home })).code, 1, name)
  })

  it("D-04 wait prints nothing and exits with the command's code", async () => {
    for (const [words, code] of [
      [["exit", "0"], 0],
      [["exit", "42"], 42],
      [["signal", "9"], 137],
      [["die"], 125],
      [["absent", "nope"], 125]
    ] as const) {
      await create("--name", "waited", "--", ...words)
      const ran = await instance("wait", "waited")
      assert.deepStrictEqual([ran.code, ran.stdout.length], [code, 0], words.join(" "))
      if (code === 125) assert.match(ran.stderr, /^error: .*\n(.*\n)* {2}try: /)
      else assert.strictEqual(ran.stderr, "")
      await instance("delete", "waited")
    }
  }, 60_000)

  it("wait on one that is stopped meanwhile is 143, and on one that is deleted 125; Ctrl+C leaves it alone", async () => {
    await create("--name", "long", "--", "sleep")
    await inState("long", "running")
    const cut = start(["instance", "wait", "long"], { home })
    await waited("long", 1)
    cut.child.kill("SIGINT")
    assert.strictEqual((await cut.done).code, 130)
    await inState("long", "running")
    const stopped = start(["instance", "wait", "long"], { home })
    await waited("long", 2)
    await instance("stop", "long")
    const halted = await stopped.done
    assert.deepStrictEqual([halted.code, halted.stderr], [143, ""])
    await create("--name", "long")
    await inState("long", "running")
    const deleted = start(["instance", "wait", "long"], { home })
    await waited("long", 3)
    await instance("delete", "long")
    const ran = await deleted.done
    assert.strictEqual(ran.code, 125)
    assert.include(ran.stderr, "not found")
  }, 60_000)

  it("watch shows what there is, then each change, until Ctrl+C", async () => {
    await create("--name", "first", "--", "sleep")
    const rows = start(["instance", "watch"], { home })
    await until(() => rows.seen().includes("STOPPED AT"), rows.child)
    const lines = start(["instance", "watch", "--json"], { home })
    await until(() => lines.seen().includes("\n"), lines.child)
    await create("--name", "seen", "--", "exit", "3")
    await until(() => / seen +stopped /.test(rows.seen()), rows.child)
    await instance("delete", "seen")
    await until(() => / seen +deleted /.test(rows.seen()), rows.child)
    await until(() => lines.seen().includes('"deleted":true'), lines.child)
    rows.child.kill("SIGINT")
    lines.child.kill("SIGTERM")
    assert.strictEqual((await rows.done).code, 130)
    const ran = await lines.done
    assert.strictEqual(ran.code, 143)
    const states = (await rows.done).stdout.toString().match(/(?<= seen {12})[a-z]+/g)
    assert.deepStrictEqual(states, ["starting", "running", "stopped", "deleted"])
    const documents = ran.stdout
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly handle?: string; readonly ended?: unknown })
    assert.deepStrictEqual(documents.find(({ ended, handle }) => handle === "seen" && ended !== undefined)?.ended, {
      _tag: "Exited",
      code: 3
    })
  }, 60_000)

  it("events are a line each, with number, time, instance, what and who", async () => {
    await create("--name", "noted", "--image", "alpine:3.21", "--", "exit", "7")
    await inState("noted", "stopped")
    const lines = (await text("events", "noted")).trimEnd().split("\n")
    assert.match(
      lines[0] ?? "",
      /^ +\d+ {2}\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ {2}inst-\d{19} {2}created as noted to run exit 7 \(aegis instance start\)$/
    )
    assert.match(lines[1] ?? "", / ended: exit code 7 \(aegis guest\)$/)
    assert.match(await text("events"), /^ {5}1 {2}\S+ {2}- {25}aegisd .* started as process \d+ \(aegis up\)\n/)
    assert.strictEqual(await text("events", "noted", "--since", "2030-01-01T00:00:00Z"), "")
    assert.include(await text("events", "--since", "1h"), "created as noted")
    const [first] = (await text("events", "noted", "--json")).split("\n")
    assert.hasAllKeys(JSON.parse(first ?? ""), [
      ...["seq", "at", "instance_id", "cause", "data", "previous_hash", "hash"]
    ])
    const bad = await aegis(["events", "--since", "yesterday"], { home })
    assert.strictEqual(bad.code, 2)
    assert.match(bad.stderr, /^error: invalid --since: yesterday \(a time is .*\)\n {2}try: --since 10m/)
  })

  it("events --follow goes on, and T-16 ends quietly with its reader", async () => {
    const followed = start(["events", "-f", "--json"], { home })
    await until(() => followed.seen().includes("\n"), followed.child)
    await create("--name", "followed", "--", "exit", "0")
    await until(() => followed.seen().includes('"handle":"followed"'), followed.child)
    followed.child.kill("SIGINT")
    assert.strictEqual((await followed.done).code, 130)
    const piped = start(["events", "-f"], { home })
    await until(() => piped.seen().includes("\n"), piped.child)
    piped.child.stdout.destroy()
    await create("--name", "unread", "--", "exit", "0")
    const ran = await piped.done
    assert.deepStrictEqual([ran.code, ran.stderr], [141, ""])
  }, 30_000)

  it("why tells sentences, T-19 harmless for a terminal", async () => {
    await create("--name", "asked", "--", "exit", "0")
    await inState("asked", "stopped")
    assert.strictEqual(await text("why", "asked"), "asked is stopped.\nA guest said \\x1b[2J.\n")
    assert.deepStrictEqual(JSON.parse(await text("why", "asked", "--json")), {
      target: "asked",
      why: ["asked is stopped.", "A guest said \u001b[2J."]
    })
  })

  it("audit verify is 1 where the journal was changed, and names the event", async () => {
    const broken = await aegis(["audit", "verify"], { home })
    assert.strictEqual(broken.code, 1)
    assert.match(
      broken.stderr,
      /^error: the journal is not as it was written: event 3: its content was changed\n {2}try: /
    )
    const document = await aegis(["audit", "verify", "--json"], { home })
    assert.strictEqual(document.code, 1)
    assert.deepStrictEqual(JSON.parse(document.stdout.toString()), {
      ...{ intact: false, events: 2, first_bad: { seq: 3, reason: "its content was changed" } }
    })
  })

  it("S-138 S-139 S-140 S-142 D-07 prune removes those that stopped long ago and says how many", async () => {
    assert.strictEqual(await text("instance", "prune"), "Pruned 0 stopped instance(s)\n")
    assert.strictEqual(await text("instance", "prune", "--stopped-older-than", "12h"), "Pruned 0 stopped instance(s)\n")
    const before = (await text("instance", "list", "--stopped")).trimEnd().split("\n").length - 1
    assert.isAbove(before, 1)
    const pruned = await text("instance", "prune", "--stopped-older-than", "0d")
    assert.strictEqual(pruned, `Pruned ${before} stopped instance(s)\n`)
    assert.strictEqual(await text("instance", "list", "--stopped"), "No instances\n")
    assert.include(await text("instance", "list", "--running"), " web ")
    await create("--name", "last", "--", "exit", "0")
    await inState("last", "stopped")
    const document: unknown = JSON.parse(await text("instance", "prune", "--stopped-older-than=0s", "--json"))
    assert.match(JSON.stringify(document), /^\{"pruned":1,"ids":\["inst-\d{19}"\]\}$/)
  })

  it("T-20 S-141 what is no duration is refused, with its value and the form", async () => {
    for (const bad of ["7", "1e9d", "7 d", "d", "99999999999d"]) {
      const ran = await instance("prune", "--stopped-older-than", bad)
      assert.strictEqual(ran.code, 2, bad)
      assert.include(
        ran.stderr,
        `error: invalid --stopped-older-than: ${bad} (a duration is a whole number and s, m, h`
      )
    }
    assert.strictEqual((await instance("prune", "--stopped-older-than=-1d")).code, 2)
    assert.strictEqual((await instance("prune", "--stopped-older-than", "-1d")).code, 2)
  })
})

describe("down --keep", () => {
  it("tells the daemon to leave its guests, waits for its end, and says how many go on", async () => {
    const home = newHome()
    await aegis(["up"], { home })
    for (const name of ["a", "b"]) await aegis(["instance", "start", "--name", name, "--", "sleep"], { home })
    const pid = readFileSync(path.join(home, "data/aegisd.pid"), "utf8").trim()
    const down = await aegis(["down", "--keep"], { home })
    assert.deepStrictEqual([down.code, down.stderr], [0, ""])
    assert.strictEqual(
      down.stdout.toString(),
      `aegisd stopping (pid ${pid})\naegisd stopped\n2 instance(s) left running; aegis up goes on with them\n`
    )
    assert.isTrue(existsSync(path.join(home, "left")))
    const again = await aegis(["down", "--keep"], { home })
    assert.strictEqual(again.stdout.toString(), "aegisd is not running\n")
  }, 60_000)

  it("audit verify of a journal that holds is one line", async () => {
    const home = newHome()
    await aegis(["up"], { home })
    const whole = await aegis(["audit", "verify"], { home })
    assert.deepStrictEqual([whole.code, whole.stdout.toString()], [0, "The journal is intact: 3 event(s)\n"])
    await aegis(["down"], { home })
  }, 60_000)
})

afterAll(clean)
