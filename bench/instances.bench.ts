/** Many instances at once on QEMU, and many records: what a daemon takes for them, and how fast it answers. */
import { Aegis } from "@aegis/client"
import { InstanceSpec, MemoryMib } from "@aegis/domain"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { spawn } from "node:child_process"
import * as net from "node:net"
import * as path from "node:path"
import { killDaemon } from "../test/product/Fleet.ts"
import { dist, Product, until } from "../test/product/Product.ts"
import { memoryOf, writeStopped } from "./daemon.ts"
import { median, ms, paired, program, report, timed } from "./measure.ts"

const instances = Number(process.env["AEGIS_BENCH_INSTANCES"] ?? 50)
const records = Number(process.env["AEGIS_BENCH_RECORDS"] ?? 10_000)

/** A client with one warm connection, as a long-lived program has it. */
const clientOf = (aegis: Product) => {
  const config = Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", aegis.home]])))
  const runtime = ManagedRuntime.make(Aegis.layer.pipe(Layer.provide(config), Layer.orDie))
  return {
    call: <A, E>(work: (client: Aegis["Type"]) => Effect.Effect<A, E>): Promise<A> =>
      runtime.runPromise(Effect.flatMap(Aegis, work)),
    close: () => runtime.dispose()
  }
}

const spec = new InstanceSpec({ command: ["sleep", "100000"], memoryMib: MemoryMib.make(64) })

const repeated = async (times: number, work: () => Promise<unknown>) => {
  const took: Array<number> = []
  for (let i = 0; i < times; i++) took.push(await timed(work))
  return took
}

const accepts = (file: string) =>
  new Promise<boolean>((resolve) => {
    const connection = net.connect(file)
    connection.once("connect", () => resolve(true) || connection.destroy())
    connection.once("error", () => resolve(false))
  })

/** From a daemon's spawn to its answer. */
const serving = (aegis: Product) =>
  timed(async () => {
    spawn(path.join(dist, "aegisd"), [], {
      env: { ...process.env, ...aegis.env },
      stdio: "ignore",
      detached: true
    }).unref()
    const socket = path.join(aegis.home, "aegisd.sock")
    await until("it serves", () => accepts(socket), 120)
  })

const many = async () => {
  const aegis = await Product.make()
  const aegisProgram = (...args: ReadonlyArray<string>) => program(path.join(dist, "aegis"), args, aegis.env)
  await aegisProgram("up")
  // The verdict and the kernel are there once one guest has run; what a first call makes is there as well.
  await aegisProgram("run", "--", "/bin/true")
  const client = clientOf(aegis)
  await repeated(20, () => client.call(({ list }) => list))
  const before = await memoryOf(aegis.daemonPid)

  const starts = await repeated(instances, () => client.call(({ start }) => start(spec)))
  report(
    `start requests over RPC, ${instances} one after another while those before are booting, 64 MiB each`,
    `median ${ms(median(starts))}, longest ${ms(Math.max(...starts))}`,
    "answered in under 50 ms"
  )
  const begun = performance.now()
  const states = () => client.call(({ list }) => list)
  await until("all of them run", async () => (await states()).every(({ state }) => state === "running"), 1800)
  report("until all of them ran", ms(performance.now() - begun), "nothing; for comparison")

  const lists = await repeated(50, states)
  report(
    `list of ${instances} that run, over RPC`,
    `median ${ms(median(lists))}, longest ${ms(Math.max(...lists))}`,
    "under 50 ms"
  )
  const shown = await paired(
    10,
    () => timed(() => aegisProgram("instance", "list")),
    () => timed(() => program(process.execPath, ["-e", "0"]))
  )
  report(
    "aegis instance list, the whole program, against node -e 0",
    `${ms(shown.a)} : ${ms(shown.b)} = ${shown.ratio.toFixed(2)} ×`,
    "nothing; for comparison"
  )
  const after = await memoryOf(aegis.daemonPid)
  report(
    "the daemon's memory (RssAnon) per instance",
    `${((after - before) / instances).toFixed(2)} MB (${before.toFixed(0)} MB before, ${after.toFixed(0)} MB after)`,
    "under 1 MB"
  )
  await client.close()

  await killDaemon(aegis)
  const spawned = performance.now()
  const adopting = await serving(aegis)
  const next = clientOf(aegis)
  const found = await next.call(({ list }) => list)
  const adopted = found.filter(({ state }) => state === "running").length
  // What has passed through its network is told of a guest that has answered this daemon.
  for (const { id } of found) {
    await until("it has answered", async () => (await next.call(({ get }) => get(id))).traffic !== undefined, 120)
  }
  report("until each of their guests has answered it", ms(performance.now() - spawned), "nothing; for comparison")
  report(
    `a killed daemon's successor, from its spawn to its answer with ${instances} guests to go on with`,
    `${ms(adopting)}, ${adopted} adopted`,
    "all of them in under 3 s"
  )
  await next.close()
  let failed = ""
  const down = () => aegisProgram("down").catch((error: unknown) => void (failed = `, and failed: ${String(error)}`))
  const stopping = await timed(down)
  report("aegis down with all of them", `${ms(stopping)}${failed}`, "under 5 s")
  await aegis.remove()
}

/** A home with so many stopped records. */
const withRecords = async (count: number) => {
  const aegis = await Product.make()
  await writeStopped(aegis.home, count, spec)
  const up = await timed(() => program(path.join(dist, "aegis"), ["up"], aegis.env))
  await program(path.join(dist, "aegis"), ["run", "--", "/bin/true"], aegis.env)
  return { aegis, client: clientOf(aegis), up }
}

const old = async () => {
  const many = await withRecords(records)
  const few = await withRecords(10)
  const against = `with ${records} stopped records against 10`
  const compare = async (
    what: string,
    promise: string,
    runs: number,
    work: (home: typeof many) => Promise<number>
  ): Promise<void> => {
    const took = await paired(
      runs,
      () => work(many),
      () => work(few)
    )
    report(`${what}, ${against}`, `${ms(took.a)} : ${ms(took.b)} = ${took.ratio.toFixed(2)} ×`, promise)
  }
  report(`aegis up ${against}`, `${ms(many.up)} : ${ms(few.up)}`, "under 2 s (T-279)")
  await compare("aegis instance list --running", "at most 2 ×", 10, ({ aegis }) =>
    timed(() => program(path.join(dist, "aegis"), ["instance", "list", "--running"], aegis.env))
  )
  await compare("list of everything over RPC", "under 100 ms (T-279 has 1000)", 10, ({ client }) =>
    timed(() => client.call(({ list }) => list))
  )
  await compare("a start request over RPC", "at most 2 ×", 5, async ({ client }) => {
    let id = ""
    const took = await timed(async () => {
      id = (await client.call(({ start }) => start(spec))).instance.id
    })
    await client.call(({ remove }) => remove(id))
    return took
  })
  for (const { aegis, client } of [many, few]) {
    await client.close()
    await aegis.remove()
  }
}

if (instances > 0) await many()
if (records > 0) await old()
