/** Into a guest on QEMU: the tunnel alone, a tcp port, the router; and what waking takes. */
import { VmTraces } from "@aegis/vm"
import { connect } from "@aegis/guest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { once } from "node:events"
import * as net from "node:net"
import type { Duplex } from "node:stream"
import { inState, rest } from "../test/product/Fleet.ts"
import { dist, Product } from "../test/product/Product.ts"
import { median, ms, paired, program, report, timed } from "./measure.ts"

const mebibytes = 32

const server = `import socket, threading
def one(c):
  while True:
    d = c.recv(65536)
    if not d: return
    if d[:4] == b"ping": c.sendall(b"pong")
    else:
      z = bytes(65536)
      for _ in range(${mebibytes * 16}): c.sendall(z)
      c.close(); return
s = socket.create_server(("", 80), backlog=128)
while True: threading.Thread(target=one, args=(s.accept()[0],), daemon=True).start()`

const aegis = await Product.make({ AEGIS_IDLE_PAUSE: "0", AEGIS_IDLE_STOP: "0" })
const aegisProgram = (...args: ReadonlyArray<string>) => program(`${dist}/aegis`, args, aegis.env)
const info = async () => (await rest(aegis, "GET", "/v1/instances/it")).body

type Open = () => Duplex | Promise<Duplex>

interface Round {
  /** As `pings`, the first of a process: V8 has compiled nothing of it yet. */
  readonly cold: ReadonlyArray<number>
  /** Milliseconds from the connection to the answer. */
  readonly pings: ReadonlyArray<number>
  /** Megabytes a second. */
  readonly rates: ReadonlyArray<number>
}

/** One exchange: writes a word and reads so many bytes. Gives the milliseconds until they are there; both ends are closed when it is over. */
const exchange = (open: Open, word: string, bytes: number) => async () => {
  const begun = performance.now()
  const stream = await open()
  const closed = once(stream, "close")
  await new Promise<void>((resolve, reject) => {
    let got = 0
    stream.on("data", (piece: Buffer) => {
      got += piece.length
      if (got >= bytes) resolve()
    })
    stream.on("error", reject)
    stream.write(word)
  })
  const took = performance.now() - begun
  stream.end()
  await closed
  return took
}

await aegisProgram("up")
await aegisProgram(...["instance", "start", "--name", "it", "--expose", "80:tcp", "--", "python3", "-c", server])
await inState(aegis, "it", "running")
const port = (await info()).endpoints[0].host
const viaPort = () =>
  new Promise<Duplex>((resolve, reject) => {
    const socket = net.connect({ port, host: "127.0.0.1", noDelay: true }, () => resolve(socket))
    socket.on("error", reject)
  })
const first = exchange(viaPort, "ping", 4)
await first()

await aegisProgram("instance", "pause", "it")
const resumes: Array<number> = []
for (let i = 0; i < 10; i++) {
  resumes.push(await first())
  await aegisProgram("instance", "pause", "it")
}
report("a paused instance, from the connect to the first byte, median of 10", ms(median(resumes)), "at most 100 ms")

const restarted = async () => {
  await aegisProgram("instance", "stop", "it")
  return first()
}
/** The same instance started by hand, until its port answers. */
const byHand = async () => {
  await aegisProgram("instance", "stop", "it")
  return timed(async () => {
    await rest(aegis, "POST", "/v1/instances/it/start")
    await first()
  })
}
const wakes = await paired(5, restarted, byHand)
report(
  "a stopped instance, from the connect to the first byte, against a start by REST and a connect",
  `${ms(wakes.a)} : ${ms(wakes.b)} = ${wakes.ratio.toFixed(2)} ×`,
  "at most 150 ms more"
)

const events = (await rest(aegis, "GET", "/v1/events?target=it")).body
const started = events.findLast(
  (one: { readonly data: { readonly _tag: string } }) => one.data._tag === "InstanceStarted"
)
const traces = Schema.decodeUnknownSync(VmTraces)(started.data.vm.detail)
const data = (open: Open) => exchange(open, "data", mebibytes * 1024 * 1024)

/** How many connections it takes until V8 has compiled what they need. */
const warmUp = 600

const pingsOf = async (open: Open, times: number) => {
  const took: Array<number> = []
  for (let i = 0; i < times; i++) took.push(await exchange(open, "ping", 4)())
  return took
}

/** Exchanges of both kinds. */
const round = async (open: Open): Promise<Round> => {
  const cold = await pingsOf(open, 25)
  await pingsOf(open, warmUp)
  const pings = await pingsOf(open, 50)
  await data(open)()
  const rates: Array<number> = []
  for (let i = 0; i < 3; i++) rates.push((mebibytes * 1.048576) / ((await data(open)()) / 1000))
  return { cold, pings, rates }
}
const both: { readonly port: Array<Round>; readonly alone: Array<Round> } = { port: [], alone: [] }
// In turns, on one and the same guest: the daemon lets go of it, and we take its channel, the tunnel with nothing around it.
for (let turn = 0; turn < 3; turn++) {
  both.port.push(await round(viaPort))
  await aegisProgram("down", "--keep")
  const alone = Effect.gen(function* () {
    const guest = yield* connect(Effect.sync(() => net.connect({ path: traces.channelSocket })))
    return yield* Effect.promise(() => round(() => Effect.runPromise(guest.tunnel(80))))
  })
  both.alone.push(await Effect.runPromise(Effect.scoped(alone)))
  await aegisProgram("up")
  await inState(aegis, "it", "running")
}
const rate = (rounds: ReadonlyArray<Round>) => median(rounds.flatMap(({ rates }) => rates))
const ping = (rounds: ReadonlyArray<Round>, which: "cold" | "pings") => ms(median(rounds.flatMap((one) => one[which])))
report(
  `${mebibytes} MiB out of the guest through its tcp port, against the tunnel alone, median of 9`,
  `${rate(both.port).toFixed(0)} : ${rate(both.alone).toFixed(0)} MB/s = ${(rate(both.port) / rate(both.alone)).toFixed(2)} ×`,
  "at least 0.6 ×"
)
report(
  `a connection and four bytes each way through the tcp port, against the tunnel alone, median of 150 after ${warmUp} for each process`,
  `${ping(both.port, "pings")} : ${ping(both.alone, "pings")}`,
  "at most 1 ms more"
)
report(
  "the same, the first 25 connections of each process",
  `${ping(both.port, "cold")} : ${ping(both.alone, "cold")}`,
  "nothing; for comparison"
)
await aegis.remove()
