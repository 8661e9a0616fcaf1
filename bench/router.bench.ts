/** Into a guest on QEMU: the tunnel alone, a tcp port, the router; and what waking takes. */
import { VmTraces } from "@aegis/vm"
import { connect } from "@aegis/guest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
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

/** One exchange: writes a word and reads so many bytes. */
const exchange = (open: () => Duplex | Promise<Duplex>, word: string, bytes: number) => async () => {
  const stream = await open()
  await new Promise<void>((resolve, reject) => {
    let got = 0
    stream.on("data", (piece: Buffer) => {
      got += piece.length
      if (got >= bytes) resolve()
    })
    stream.on("error", reject)
    stream.write(word)
  })
  stream.destroy()
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
const ping = exchange(viaPort, "ping", 4)
await ping()

const throughPort: Array<number> = []
for (let i = 0; i < 5; i++) {
  const took = await timed(exchange(viaPort, "data", mebibytes * 1024 * 1024))
  throughPort.push((mebibytes * 1.048576) / (took / 1000))
}
const connects: Array<number> = []
for (let i = 0; i < 50; i++) connects.push(await timed(ping))

await aegisProgram("instance", "pause", "it")
const resumes: Array<number> = []
for (let i = 0; i < 10; i++) {
  resumes.push(await timed(ping))
  await aegisProgram("instance", "pause", "it")
}
report("a paused instance, from the connect to the first byte, median of 10", ms(median(resumes)), "at most 100 ms")

const restarted = async () => {
  await aegisProgram("instance", "stop", "it")
  return timed(ping)
}
/** The same instance started by hand, until its port answers. */
const byHand = async () => {
  await aegisProgram("instance", "stop", "it")
  return timed(async () => {
    await rest(aegis, "POST", "/v1/instances/it/start")
    await ping()
  })
}
const wakes = await paired(5, restarted, byHand)
report(
  "a stopped instance, from the connect to the first byte, against a start by REST and a connect",
  `${ms(wakes.a)} : ${ms(wakes.b)} = ${wakes.ratio.toFixed(2)} ×`,
  "at most 150 ms more"
)

// The daemon lets go of the guest, and we take its channel: the tunnel with nothing around it.
const events = (await rest(aegis, "GET", "/v1/events?target=it")).body
const started = events.findLast(
  (one: { readonly data: { readonly _tag: string } }) => one.data._tag === "InstanceStarted"
)
const traces = Schema.decodeUnknownSync(VmTraces)(started.data.vm.detail)
await aegisProgram("down", "--keep")
const alone = await Effect.gen(function* () {
  const guest = yield* connect(Effect.sync(() => net.connect({ path: traces.channelSocket })))
  const tunnel = () => Effect.runPromise(guest.tunnel(80))
  const rates: Array<number> = []
  for (let i = 0; i < 5; i++) {
    const took = yield* Effect.promise(() => timed(exchange(tunnel, "data", mebibytes * 1024 * 1024)))
    rates.push((mebibytes * 1.048576) / (took / 1000))
  }
  const pings: Array<number> = []
  for (let i = 0; i < 50; i++) pings.push(yield* Effect.promise(() => timed(exchange(tunnel, "ping", 4))))
  return { rate: median(rates), ping: median(pings) }
}).pipe(Effect.scoped, Effect.runPromise)
report(
  `${mebibytes} MiB out of the guest through its tcp port, against the tunnel alone, median of 5`,
  `${median(throughPort).toFixed(0)} : ${alone.rate.toFixed(0)} MB/s = ${(median(throughPort) / alone.rate).toFixed(2)} ×`,
  "at least 0.6 ×"
)
report(
  "a connection and four bytes each way through the tcp port, against the tunnel alone, median of 50",
  `${ms(median(connects))} : ${ms(alone.ping)}`,
  "at most 1 ms more"
)
await aegisProgram("up")
await inState(aegis, "it", "running")
await aegis.remove()
