import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { integrity, killDaemon, rest, settledMisfits, untilDead } from "../product/Fleet.ts"
import { Product, until } from "../product/Product.ts"

const handles = ["one", "two", "three"] as const
type Handle = (typeof handles)[number]

/** What is known of an instance: seen or acknowledged, and nothing begun since. `undefined` is "anything may be the case". */
type Known = "gone" | "running" | "paused" | "stopped" | "there" | undefined

/** What is done next, from where it stands; each turn another thing. */
const next = (state: string, turn: number) => {
  const pick = <A>(...choices: ReadonlyArray<A>) => choices[turn % choices.length]
  switch (state) {
    case "gone":
      return "create"
    case "stopped":
      return pick("start", "delete", "start", "prune")
    case "paused":
      return pick("resume", "stop", "delete")
    default:
      return pick("pause", "stop", "pause", "delete")
  }
}

const leaves: Readonly<Record<string, Known>> = {
  create: "there",
  start: "there",
  pause: "paused",
  resume: "running",
  stop: "stopped",
  delete: "gone",
  prune: "gone"
}

describe("a daemon that dies over real guests", () => {
  let aegis: Product
  const known = new Map<Handle, Known>()
  const history: Array<string> = []
  beforeAll(async () => {
    aegis = await Product.make()
    // The verdict and the kernel are there from the first guest on: what comes later is about instances alone.
    await aegis.run(["up"])
    assert.strictEqual((await aegis.run(["run", "--memory", "64", "--", "true"])).code, 0)
    await aegis.run(["down"])
    for (const handle of handles) known.set(handle, "gone")
  }, 600_000)
  afterAll(() => aegis.remove())

  let prunes = 0
  const learn = (handle: Handle, state: Known) => known.set(handle, prunes > 0 ? undefined : state)

  const stateNow = async (handle: Handle): Promise<string> => {
    const { body, status } = await rest(aegis, "GET", `/v1/instances/${handle}`)
    return status === 404 ? "gone" : body.state
  }

  const call = (deed: string, handle: Handle) => {
    const command = ["sh", "-c", "trap 'exit 0' TERM; while :; do echo tick; sleep 1; done"]
    switch (deed) {
      case "create":
        return rest(aegis, "POST", "/v1/instances", { handle, command, memory_mb: 64 })
      case "delete":
        return rest(aegis, "DELETE", `/v1/instances/${handle}`)
      case "prune":
        return rest(aegis, "POST", "/v1/instances/prune?older_than=0s")
      default:
        return rest(aegis, "POST", `/v1/instances/${handle}/${deed}`)
    }
  }

  /** Does one thing after another with an instance until there is no daemon any more. */
  const drive = async (handle: Handle, first: number) => {
    try {
      for (let turn = first; ; turn++) {
        const deed = next(await stateNow(handle), turn) ?? "delete"
        learn(handle, undefined)
        if (deed === "prune") {
          // It takes whoever is stopped, until it has answered.
          prunes++
          for (const other of handles) if (known.get(other) !== "running") known.set(other, undefined)
        }
        history.push(`${handle}: ${deed}`)
        const { body, status = 0 } = await call(deed, handle)
        if (deed === "prune") prunes--
        // One that was pruned by another's turn is not there any more.
        if (status === 404 || status === 409) continue
        assert.isBelow(status, 300, `${handle}: ${deed}: ${JSON.stringify(body)}`)
        learn(handle, deed === "prune" ? undefined : leaves[deed])
        if (deed !== "create" && deed !== "start") continue
        const state = await until("it is up", async () => {
          const found = await stateNow(handle)
          return found !== "starting" && found
        })
        if (state === "running") learn(handle, "running")
      }
    } catch (error) {
      // Whoever speaks to a daemon that dies sees its connection end; anything else is a failure of the test's.
      if (!(error instanceof Error) || !/^(connect|read|write|socket|aborted|the answer was cut)/.test(error.message))
        throw error
    }
  }

  /** After a start: each instance is in one state, what was acknowledged is there, and nothing is orphaned. */
  const check = async (round: string) => {
    prunes = 0
    const told = `${round}, after ${history.splice(0).join(", ")}`
    const found = await settledMisfits(aegis)
    assert.deepStrictEqual(found, [], `${found.join("; ")}, ${told}`)
    for (const [handle, expected] of known) {
      const state = await stateNow(handle)
      if (expected === "there") assert.notStrictEqual(state, "gone", `${handle}, ${told}`)
      else if (expected !== undefined) assert.strictEqual(state, expected, `${handle}, ${told}`)
    }
    const verified = await aegis.run(["audit", "verify"])
    assert.deepStrictEqual([verified.code, verified.stderr], [0, ""], told)
  }

  const up = async (env: Readonly<Record<string, string>> = {}) => {
    const done = await aegis.run(["up"], { env })
    assert.strictEqual(done.code, 0, done.stderr)
    return aegis.daemonPid
  }

  it("T-251 it dies at its n-th crash point, and the next one finds everything in one state", async () => {
    for (const n of [3, 6, 10, 14, 19, 24, 30, 36]) {
      const pid = await up({ AEGIS_CRASH_AT: String(n) })
      await check(`before crash point ${n}`)
      await Promise.all(handles.map((handle, index) => drive(handle, n + index)))
      await untilDead(pid)
    }
    await up()
    await check("at the end")
  }, 300_000)

  it("T-252 kill -9 at five moments of work: nothing lost, nothing orphaned, journal and chain whole", async () => {
    for (const [round, millis] of [700, 3300, 5100, 1900, 4200].entries()) {
      const work = Promise.all(handles.map((handle, index) => drive(handle, round + index)))
      await new Promise((resolve) => setTimeout(resolve, millis))
      await killDaemon(aegis)
      await work
      assert.strictEqual(integrity(aegis), "ok")
      await up()
      await check(`kill ${round}`)
    }
    // It is as good as new.
    for (const handle of handles) await rest(aegis, "DELETE", `/v1/instances/${handle}`)
    assert.strictEqual((await aegis.run(["run", "--memory", "64", "--", "echo", "well"])).stdout, "well\n")
    assert.deepStrictEqual(await aegis.left(), [])
  }, 300_000)
})
