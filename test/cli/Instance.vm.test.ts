import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { inState, linesOf, processesOf, rest, running, stateOf, vmOf } from "../product/Fleet.ts"
import { Product, until } from "../product/Product.ts"

/** Counts in a shell's memory, and writes the count and the guest's time beside each other. */
const counter = `exec 2>/dev/null
trap 'echo bye; exit 7' TERM
echo "life of $COLOR"
n=0
while :; do n=$((n+1)); echo "$n $(date +%s)" > count.new; mv count.new count; sleep 0.1; done`

describe("aegis instance, against the real daemon and real guests", () => {
  let aegis: Product
  /** A directory of the user's, for one instance. */
  let own = ""
  let webId = ""
  beforeAll(async () => {
    aegis = await Product.make()
    own = mkdtempSync(path.join(tmpdir(), "aegis-own-"))
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  }, 600_000)
  afterAll(async () => {
    await aegis.remove()
    rmSync(own, { recursive: true, force: true })
  })

  const instance = (...args: ReadonlyArray<string>) => aegis.run(["instance", ...args])
  /** Runs it and gives what it prints. */
  const says = async (...args: ReadonlyArray<string>) => {
    const done = await instance(...args)
    assert.deepStrictEqual([done.code, done.stderr], [0, ""], args.join(" "))
    return done.stdout
  }
  const refused = async (...args: ReadonlyArray<string>) => {
    const done = await instance(...args)
    assert.strictEqual(done.stdout, "")
    return [done.code, done.stderr]
  }
  const sh = (name: string, script: string, ...flags: ReadonlyArray<string>) =>
    says("start", "--name", name, "--memory", "64", ...flags, "--", "sh", "-c", script)
  const count = () => {
    const [n, time] = readFileSync(path.join(own, "count"), "utf8").split(" ").map(Number)
    return { n: n ?? NaN, time: time ?? NaN }
  }

  it("S-081 S-085 S-087 S-088 start prints id and handle at once, in state starting; S-130", async () => {
    const begun = Date.now()
    const printed = await sh("Web", counter, "--env", "COLOR=a b", "--cpus", "1", "--workspace", own)
    const took = Date.now() - begun
    const [, id] =
      /^Instance started: (inst-\d{19})\nHandle: web\nRouter: http:\/\/127\.0\.0\.1:\d+\n$/.exec(printed) ?? []
    assert.isDefined(id, printed)
    webId = id ?? ""
    const { body } = await rest(aegis, "GET", `/v1/instances/${webId}`)
    assert.oneOf(body.state, ["starting", "running"])
    await inState(aegis, "web", "running")
    const { started_at: startedAt, created_at: createdAt } = (await rest(aegis, "GET", "/v1/instances/web")).body
    // Not a promise on its own: it shows that the answer did not wait for the boot.
    assert.isBelow(took, Date.parse(startedAt) - Date.parse(createdAt) + 2000)
    await until("it counts", () => existsSync(path.join(own, "count")))
  })

  it("S-082 S-083 D-15 D-16 a name that runs is refused with 409 and exit 1, whatever its case, and nothing changes", async () => {
    const remedy = "choose another --name, or: aegis instance delete web"
    const conflict = [1, `error: instance "web" is running\n  try: ${remedy}\n`]
    assert.deepStrictEqual(await refused("start", "--name", "web"), conflict)
    assert.deepStrictEqual(await refused("start", "--name", "WEB", "--", "true"), conflict)
    const { body, status } = await rest(aegis, "POST", "/v1/instances", { handle: "web", command: ["true"] })
    assert.deepStrictEqual(
      [status, body.error, body.code, body.remedy],
      [409, 'instance "web" is running', "HandleTaken", remedy]
    )
    assert.lengthOf((await rest(aegis, "GET", "/v1/instances")).body, 1)
  })

  it("S-093…S-097 the list's columns; D-17 the same as JSON", async () => {
    const [header, row, rest_] = (await says("list")).split("\n")
    assert.strictEqual(
      header,
      `${"ID".padEnd(31)}${"HANDLE".padEnd(16)}${"STATE".padEnd(11)}${"STOPPED AT".padEnd(20)}`
    )
    assert.strictEqual(row, `${webId.padEnd(31)}${"web".padEnd(16)}${"running".padEnd(11)}${"-".padEnd(20)}`)
    assert.strictEqual(rest_, "")
    const [json] = JSON.parse(await says("list", "--json"))
    assert.deepInclude(json, { id: webId, handle: "web", state: "running", memory_mb: 64, vcpus: 1 })
  })

  it("S-101…S-104 info by handle, by handle in another case, and by id; S-109 an unknown one", async () => {
    const info = await says("info", "web")
    // A guest says a word to its network now and then.
    const still = (text: string) => text.replace(/^Traffic: .*$/m, "")
    for (const target of ["WEB", webId]) assert.strictEqual(still(await says("info", target)), still(info))
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`
    const lines = info.split("\n")
    assert.strictEqual(lines[0], `ID:          ${webId}`)
    assert.strictEqual(lines[1], "State:       running")
    assert.strictEqual(lines[2], "Handle:      web")
    assert.match(info, /^Command: {5}sh -c exec 2>/m)
    assert.match(info, new RegExp(`^Created:     ${time}\nLast Active: ${time}$`, "m"))
    for (const command of ["info", "stop", "delete", "pause", "resume"]) {
      assert.deepStrictEqual((await refused(command, "ghost"))[0], 1)
    }
    assert.match(String((await refused("info", "ghost"))[1]), /^error: instance "ghost" not found\n {2}try: /)
  })

  it("S-124 S-133 S-135 S-136 S-144 pause stops the VM's process, and memory and log stay; resume sets the clock right", async () => {
    const pid = await vmOf(aegis, "web")
    assert.strictEqual(await says("pause", "web"), "Instance web paused\n")
    assert.strictEqual(stateOf(pid), "T")
    const before = count().n
    assert.match(await says("list"), /web +paused +-/)
    assert.deepStrictEqual(await linesOf(aegis, webId), ["life of a b"])
    // D-02, D-03: what cannot be done with a paused one names its state and what can be done.
    assert.deepStrictEqual(await refused("start", "--name", "web"), [
      1,
      'error: instance "web" is paused\n  try: aegis instance resume web\n'
    ])
    assert.match(String((await refused("pause", "web"))[1]), /^error: instance "web" is paused\n {2}try: /)
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/web/pause")).status, 409)
    assert.strictEqual(await says("prune", "--stopped-older-than", "0d"), "Pruned 0 stopped instance(s)\n")
    // Long enough for the guest's clock to be behind if nobody sets it.
    await new Promise((resolve) => setTimeout(resolve, 2500))
    assert.isAtMost(count().n, before + 1)
    assert.strictEqual(await says("resume", "web"), "Instance web resumed\n")
    await until("it goes on", () => stateOf(pid) !== "T" && count().n > before + 1)
    const { n, time } = count()
    assert.isBelow(n, before + 1000)
    await until("its clock is right", () => Math.abs(count().time - Date.now() / 1000) < 2, 5)
    assert.isAbove(time, 0)
    assert.match(String((await refused("resume", "web"))[1]), /^error: instance "web" is running\n {2}try: /)
  })

  it("S-111…S-115 S-122 stop ends command and VM, keeps record, log and workspace; D-03 twice is no error", async () => {
    assert.strictEqual(await says("stop", "web"), "Instance web stopped\n")
    assert.deepStrictEqual(processesOf(aegis, ""), [])
    assert.match(await says("list", "--stopped"), /web +stopped +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/)
    assert.strictEqual(await says("list", "--running"), "No instances\n")
    assert.deepStrictEqual(await linesOf(aegis, webId), ["life of a b", "bye"])
    assert.include(await says("info", "web"), "\nEnded:       stopped\n")
    assert.strictEqual(await says("stop", "web"), "Instance web stopped\n")
    assert.strictEqual((await instance("wait", "web")).code, 143)
    assert.isTrue(existsSync(path.join(own, "count")))
    assert.deepStrictEqual(await refused("pause", "web").then(([code]) => code), 1)
  })

  it("D-06 run with the name of a stopped one is refused, and starts nothing", async () => {
    const done = await aegis.run(["run", "--name", "web", "--", "true"])
    assert.strictEqual(done.code, 125)
    assert.match(done.stderr, /^error: instance "web" is stopped\n {2}try: /)
    await inState(aegis, "web", "stopped")
  })

  it("S-080 S-082 S-086 S-127 D-01 a stopped one is started with its stored configuration and keeps its id, in one line", async () => {
    rmSync(path.join(own, "count"))
    // What is given with the name of one that exists is not looked at.
    const printed = await says("start", "--name", "web", "--memory", "128", "--env", "COLOR=other", "--", "false")
    assert.strictEqual(printed, `Instance restarted: ${webId}\n`)
    const { memory_mb: memory } = await inState(aegis, "web", "running")
    assert.strictEqual(memory, 64)
    await until("it counts in the same workspace", () => existsSync(path.join(own, "count")))
    // Its file is there a moment before its words are.
    await until("it has spoken again", async () => (await linesOf(aegis, webId)).length === 3)
    assert.deepStrictEqual(await linesOf(aegis, webId), ["life of a b", "bye", "life of a b"])
    assert.isUndefined((await rest(aegis, "GET", "/v1/instances/web")).body.stopped_at)
  })

  it("S-084 S-092 D-21 a name that nothing has and no command; neither name nor command", async () => {
    assert.match(
      String((await refused("start", "--name", "ghost"))[1]),
      /^error: instance "ghost" not found\n {2}try: /
    )
    assert.strictEqual((await refused("start"))[0], 2)
    const { body, status } = await rest(aegis, "POST", "/v1/instances", { handle: "ghost" })
    assert.oneOf(status, [400, 404], JSON.stringify(body))
  })

  it("S-026 S-027 S-121 S-161 natural ends: stopped, listed, log kept, VM off; wait gives the code; D-04 a signal's is 128 + N", async () => {
    await Promise.all([sh("five", "echo out; echo err >&2; exit 5"), sh("nine", "kill -9 $$"), sh("none", "exit 0")])
    const codes = await Promise.all(["five", "nine", "none"].map((name) => instance("wait", name)))
    assert.deepStrictEqual(
      codes.map(({ code, stderr, stdout }) => [code, stdout, stderr]),
      [
        [5, "", ""],
        [137, "", ""],
        [0, "", ""]
      ]
    )
    const { body: five } = await rest(aegis, "GET", "/v1/instances/five")
    assert.deepStrictEqual([five.state, five.ended], ["stopped", { _tag: "Exited", code: 5 }])
    assert.sameMembers([...(await linesOf(aegis, five.id))], ["out", "err"])
    assert.lengthOf(processesOf(aegis, "qemu-system"), 1)
    // S-129: nothing goes by itself.
    assert.lengthOf((await rest(aegis, "GET", "/v1/instances?state=stopped")).body, 3)
    // Its temporary workspace is the stopped instance's, for its next life.
    assert.isTrue(existsSync(path.join(aegis.home, "data/workspaces", `run-${five.id}`)))
  })

  it("D-02 D-17 flags may stand after the target; a command that does not end is killed when its time is over", async () => {
    await sh("deaf", "trap '' TERM; echo up; while :; do sleep 1; done")
    const { id } = await inState(aegis, "deaf", "running")
    await until("its trap is set", async () => (await linesOf(aegis, id)).includes("up"))
    const begun = Date.now()
    assert.strictEqual(await says("stop", "deaf", "--timeout", "1"), "Instance deaf stopped\n")
    assert.isBelow(Date.now() - begun, 15_000)
    assert.strictEqual((await rest(aegis, "GET", "/v1/instances/deaf")).body.ended._tag, "Stopped")
    assert.strictEqual((await refused("stop", "deaf", "--nonsense"))[0], 2)
  })

  it("S-138…S-146 D-07 prune removes what has been stopped for long enough: records and logs, never a workspace", async () => {
    mkdirSync(path.join(aegis.home, "data/workspaces/kept"), { recursive: true, mode: 0o700 })
    assert.strictEqual(await says("prune"), "Pruned 0 stopped instance(s)\n")
    for (const text of ["soon", "1", "-1h", "1w", ""]) {
      assert.strictEqual((await refused("prune", "--stopped-older-than", text))[0], 2, text)
    }
    const { status } = await rest(aegis, "POST", "/v1/instances/prune?older_than=soon")
    assert.strictEqual(status, 400)
    for (const age of ["1s", "1m", "1h", "1d"])
      assert.match(await says("prune", "--stopped-older-than", age), /^Pruned \d/)
    const left = (await rest(aegis, "GET", "/v1/instances?state=stopped")).body
    const { body } = await rest(aegis, "POST", "/v1/instances/prune?older_than=0s")
    assert.deepStrictEqual(
      [body.pruned, [...body.ids].sort()],
      [left.length, left.map(({ id }: { id: string }) => id).sort()]
    )
    // S-144: the one that runs is not touched.
    assert.match(await says("list"), /^ID[^\n]*\n[^\n]*web +running[^\n]*\n$/)
    assert.deepStrictEqual(readdirSync(path.join(aegis.home, "data/logs")), [webId])
    assert.deepStrictEqual(readdirSync(path.join(aegis.home, "data/workspaces")), ["kept"])
    assert.match(
      (await aegis.run(["events"])).stdout,
      /pruned after \d+ s stopped \((aegis instance prune|REST [^)]*)\)/
    )
  })

  it("S-116…S-119 S-125 delete ends a running one and removes record and log, not the user's workspace", async () => {
    assert.strictEqual(await says("delete", "web"), "Instance web deleted\n")
    assert.strictEqual(await says("list"), "No instances\n")
    assert.deepStrictEqual(await aegis.left(), [])
    assert.deepStrictEqual(readdirSync(path.join(aegis.home, "data/logs")), [])
    assert.isTrue(existsSync(path.join(own, "count")))
    assert.strictEqual((await refused("delete", "web"))[0], 1)
    // The journal still knows it.
    assert.match(
      (await aegis.run(["why", "web"])).stdout,
      /^web \(inst-\d+\) is no more: it was deleted by aegis instance delete\.\n/
    )
  })

  it("S-120 S-134 S-197 the same over REST with curl: 201, 409, 200, stop, start, pause, resume, wait, delete", async () => {
    const curl = (method: string, route: string, body?: object) => {
      const data = body === undefined ? [] : ["-H", "content-type: application/json", "-d", JSON.stringify(body)]
      const socket = path.join(aegis.home, "aegisd.sock")
      const args = [
        "-s",
        "-w",
        "\n%{http_code}",
        "--unix-socket",
        socket,
        "-X",
        method,
        `http://aegis${route}`,
        ...data
      ]
      const text = execFileSync("curl", args, { encoding: "utf8" })
      const cut = text.lastIndexOf("\n")
      return { status: Number(text.slice(cut + 1)), body: JSON.parse(text.slice(0, cut)) }
    }
    const spec = { handle: "Api", command: ["sleep", "1000"], memory_mb: 64, workspace: "kept" }
    const created = curl("POST", "/v1/instances", spec)
    assert.deepStrictEqual([created.status, created.body.state, created.body.handle], [201, "starting", "api"])
    assert.strictEqual(curl("POST", "/v1/instances", spec).status, 409)
    await running(aegis, "api")
    const pid = await vmOf(aegis, "api")
    assert.deepStrictEqual(curl("POST", "/v1/instances/api/pause"), { status: 200, body: { status: "paused" } })
    assert.strictEqual(stateOf(pid), "T")
    const again = curl("POST", "/v1/instances", spec)
    assert.deepStrictEqual([again.status, again.body.remedy], [409, "aegis instance resume api"])
    assert.deepStrictEqual(curl("POST", `/v1/instances/${created.body.id}/resume`), {
      status: 200,
      body: { status: "running" }
    })
    assert.strictEqual(curl("POST", "/v1/instances/api/resume").status, 409)
    // One that is paused can be stopped as well.
    curl("POST", "/v1/instances/api/pause")
    assert.deepStrictEqual(curl("POST", "/v1/instances/api/stop?timeout=1s"), {
      status: 200,
      body: { status: "stopped" }
    })
    const restarted = curl("POST", "/v1/instances", { handle: "api" })
    assert.deepStrictEqual(
      [restarted.status, restarted.body.id, restarted.body.state],
      [200, created.body.id, "starting"]
    )
    await running(aegis, "api")
    assert.strictEqual(curl("POST", "/v1/instances/api/stop").status, 200)
    const waited = curl("GET", "/v1/instances/api/wait")
    assert.deepStrictEqual([waited.status, waited.body.ended], [200, { _tag: "Stopped" }])
    assert.deepStrictEqual(curl("DELETE", "/v1/instances/api"), { status: 200, body: { status: "deleted" } })
    assert.strictEqual(curl("GET", "/v1/instances/api").status, 404)
    assert.isTrue(existsSync(path.join(aegis.home, "data/workspaces/kept")))
    assert.strictEqual((await aegis.run(["audit", "verify"])).code, 0)
  })
})
