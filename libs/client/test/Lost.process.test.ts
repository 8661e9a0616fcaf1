/**
 * Every call of the client while its daemon is killed, stopped and started again in the middle of it. The scripted daemon is held with
 * SIGSTOP: by then each call is under way and none can have been answered.
 */
import { type Client, connect, DaemonUnreachable } from "@aegis/client/promise"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { buildProgram } from "../../../apps/aegis/test/scripted/Program.ts"

const drained = async (items: AsyncIterable<unknown>) => {
  for await (const _ of items);
}

/** Each method of the client, and what has none of its own, once as a call and once as a stream. */
const calls: Readonly<Record<string, (aegis: Client, target: string) => Promise<unknown>>> = {
  status: (aegis) => aegis.status(),
  backend: (aegis) => aegis.backend(),
  run: (aegis) => aegis.run({ command: ["sleep"] }),
  exec: (aegis, target) => aegis.exec(target, { command: ["sleep"] }),
  start: (aegis) => aegis.start({ command: ["sleep"] }),
  list: (aegis) => aegis.list(),
  get: (aegis, target) => aegis.get(target),
  stop: (aegis, target) => aegis.stop(target),
  pause: (aegis, target) => aegis.pause(target),
  resume: (aegis, target) => aegis.resume(target),
  keepAlive: (aegis, target) => aegis.keepAlive(target, { seconds: 60 }),
  expose: (aegis, target) => aegis.expose(target, { port: 80 }),
  unexpose: (aegis, target) => aegis.unexpose(target, 80),
  remove: (aegis, target) => aegis.remove(target),
  wait: (aegis, target) => aegis.wait(target),
  why: (aegis, target) => aegis.why(target),
  logs: (aegis, target) => drained(aegis.logs(target, { follow: true })),
  events: (aegis) => drained(aegis.events({ follow: true })),
  setSecret: (aegis) => aegis.setSecret({ name: "KEY", value: "x" }),
  call: (aegis) => aegis.call((service) => service.imageList),
  stream: (aegis) => drained(aegis.stream((service) => service.watch))
}

/** How it ended: `done`, the reason why the daemon could not be reached, or the tag of another failure. */
const outcome = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "done",
    (error: unknown) => {
      if (error instanceof DaemonUnreachable) return error.reason
      return error instanceof Error && "_tag" in error ? String(error._tag) : `threw ${String(error)}`
    }
  )

describe("the client and a daemon that goes away", () => {
  const { aegis: command, clean, newHome } = buildProgram()
  const home = newHome()
  let aegis: Client
  const warnings: Array<string> = []
  const warn = ({ message }: Error) => void warnings.push(message)
  const up = async () => assert.strictEqual((await command(["up"], { home })).code, 0)
  /** All calls at once, each part's on a connection that is there, while the daemon is held. */
  const held = async () => {
    const { pid } = await aegis.status()
    const { instance } = await aegis.start({ command: ["sleep"] })
    await aegis.run({ command: ["exit", "0"] })
    await aegis.why(instance.id)
    await aegis.call((service) => service.secretList)
    assert.strictEqual(await outcome(aegis.exec(instance.id, { command: ["exit", "0"] })), "done")
    process.kill(pid, "SIGSTOP")
    const under = Object.entries(calls).map(([name, call]) =>
      outcome(call(aegis, instance.id)).then((end) => [name, end] as const)
    )
    // Written to the socket: the daemon's side of it takes more than all of them.
    await new Promise((resolve) => setTimeout(resolve, 200))
    return { pid, under: Promise.all(under) }
  }

  beforeAll(async () => {
    process.on("warning", warn)
    await up()
  }, 120_000)
  afterAll(async () => {
    process.off("warning", warn)
    await aegis?.close()
    await command(["down"], { home })
    clean()
  })

  it("every method is among the calls", () => {
    aegis = connect({ home })
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(aegis))
    assert.sameMembers(
      Object.keys(calls),
      methods.filter((name) => name !== "constructor" && name !== "close")
    )
  })

  it("each call that is under way when the daemon is killed fails as lost, and each works with the next daemon", async () => {
    const { pid, under } = await held()
    assert.deepStrictEqual(warnings, [], "Node warns of nothing, such as too many listeners")
    process.kill(pid, "SIGKILL")
    for (const [name, end] of await under) assert.strictEqual(end, "lost", name)
    for (const [name, call] of Object.entries(calls)) {
      assert.strictEqual(await outcome(call(aegis, "nobody")), "absent", name)
    }
    await up()
    assert.notStrictEqual((await aegis.status()).pid, pid)
    const { instance } = await aegis.start({ command: ["sleep"], handle: "again" })
    assert.strictEqual((await aegis.get("again")).id, instance.id)
    await aegis.remove("again")
  }, 120_000)

  it("each call that is under way when the daemon is told to stop ends, and says that it stops or went away where it was not done", async () => {
    const { pid, under } = await held()
    process.kill(pid, "SIGTERM")
    process.kill(pid, "SIGCONT")
    const ends = await under
    for (const [name, end] of ends) {
      assert.include(["done", "stopping", "lost", "StateConflict", "NotFound", "NotExposed"], end, name)
    }
    // What would have gone on without end cannot have been done.
    for (const [name, end] of ends) {
      if (["events", "stream"].includes(name)) assert.include(["stopping", "lost"], end, name)
    }
    await up()
    assert.notStrictEqual((await aegis.status()).pid, pid)
  }, 120_000)

  it("a call that is made while no daemon is there finds the one that has come by its time", async () => {
    await command(["down"], { home })
    assert.strictEqual(await outcome(aegis.list()), "absent")
    await up()
    assert.strictEqual(await outcome(aegis.list()), "done")
  }, 120_000)
})
