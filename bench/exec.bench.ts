/** `aegis exec` in a guest that runs, on QEMU without a hypervisor: its start, the daemon's part of it, and the bytes that pass. */
import { Aegis } from "@aegis/client"
import { ExecSpec } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as net from "node:net"
import * as path from "node:path"
import { running } from "../test/product/Fleet.ts"
import { dist, Product } from "../test/product/Product.ts"
import { ms, paired, program, quantile, report, timed } from "./measure.ts"

const cli = path.join(dist, "aegis")
const aegis = await Product.make()
await program(cli, ["up"], aegis.env)

/** Takes a connection for one direction: 'u' and it counts what comes, 'd' and it sends `mebibytes`. */
const mebibytes = Number(process.env["AEGIS_BENCH_MIB"] ?? 64)
const peer = `
import socket
server = socket.create_server(("0.0.0.0", 80))
block = bytes(65536)
while True:
  one, _ = server.accept()
  way = one.recv(1)
  if way == b"u":
    while one.recv(65536): pass
    one.sendall(b"k")
  else:
    for _ in range(${mebibytes} * 16): one.sendall(block)
  one.close()
`
await program(cli, ["instance", "start", "--name", "web", "--expose", "80:tcp", "--", "python3", "-c", peer], aegis.env)
await running(aegis, "web")

const exec = () => timed(() => program(cli, ["exec", "web", "--", "/bin/true"], aegis.env))
const version = () => timed(() => program(cli, ["--version"], aegis.env))
const whole = await paired(20, exec, version)
report(
  "aegis exec H -- /bin/true from its spawn to its end, against aegis --version, medians of 20 pairs",
  `${ms(whole.a)} : ${ms(whole.b)} = ${whole.ratio.toFixed(2)} ×`,
  "at most 1.5 ×"
)

/** Milliseconds from the request to the exit, and those that the harness says it took from fork to wait. */
const once = Effect.gen(function* () {
  const service = yield* Aegis
  const begun = performance.now()
  const last = yield* Stream.runLast(service.exec("web", new ExecSpec({ command: ["/bin/true"] })))
  const took = performance.now() - begun
  const ended = Option.getOrThrow(last)
  return { took, ran: ended._tag === "ExecEnded" ? (ended.ranMicros ?? NaN) / 1000 : NaN }
})
const times = await Effect.runPromise(
  Effect.replicateEffect(once, 210).pipe(Effect.provide(Aegis.layerAt(aegis.home)), Effect.orDie)
)
const [took, ran] = [times.slice(10).map((one) => one.took), times.slice(10).map((one) => one.ran)]
for (const [part, promised] of [
  [0.5, 3],
  [0.99, 10]
] as const) {
  const [all, own] = [quantile(took, part), quantile(ran, 0.5)]
  report(
    `the daemon's part, from the request to the exit, p${part * 100} of 200, against the harness's fork, exec and wait (p50)`,
    `${ms(all)} : ${ms(own)} = ${(all / own).toFixed(2)} ×`,
    `at most ${promised} ×`
  )
}

/** MB/s of bytes that a connection through the exposed port carries one way: the channel without a command's pipes. */
const channel = (way: "u" | "d") =>
  Effect.runPromise(
    Effect.gen(function* () {
      const { endpoints } = yield* Effect.flatMap(Aegis, (service) => service.get("web"))
      const took = yield* Effect.promise(() =>
        timed(
          () =>
            new Promise<void>((resolve, reject) => {
              const socket = net.connect(endpoints[0]?.host ?? 0, "127.0.0.1")
              socket.once("error", reject)
              socket.once("close", () => resolve())
              socket.resume()
              socket.write(way)
              const block = Buffer.alloc(65_536)
              let left = way === "u" ? mebibytes * 16 : 0
              const feed = () => {
                while (left > 0) if ((left--, !socket.write(block))) return
                if (way === "u") socket.end()
              }
              socket.on("drain", feed)
              feed()
            })
        )
      )
      return took
    }).pipe(Effect.provide(Aegis.layerAt(aegis.home)), Effect.orDie)
  )
const digest = createHash("md5")
for (let i = 0; i < 1024 * 16; i++) digest.update(Buffer.alloc(65_536))
const expected = digest.digest("hex")
/** What a shell's line prints. */
const shell = (line: string) =>
  new Promise<string>((resolve) => {
    const env = { ...process.env, ...aegis.env }
    const child = spawn("sh", ["-c", line], { env, stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (piece: Buffer) => (said += piece.toString()))
    child.once("close", () => resolve(said))
  })
const zeros = `head -c ${mebibytes}M /dev/zero`
const back = await shell(`head -c 1G /dev/zero | "${cli}" exec -i web -- cat | md5sum`)
report(
  "1 GiB through aegis exec -i H -- cat, there and back",
  `checksum ${back.startsWith(expected) ? "equal" : "DIFFERENT"}`,
  "checksum equal"
)
const rate = (took: number) => `${((mebibytes * 1.048576) / (took / 1000)).toFixed(0)} MB/s`
for (const [what, way, line] of [
  ["in", "u", `${zeros} | "${cli}" exec -i web -- sh -c 'cat > /dev/null'`],
  ["out", "d", `"${cli}" exec web -- sh -c '${zeros} | cat' > /dev/null`]
] as const) {
  const { a, b, ratio } = await paired(
    3,
    () => timed(() => shell(line)),
    () => channel(way)
  )
  report(
    `${mebibytes} MiB ${what} through exec, against the raw tunnel, QEMU emulating, medians of 3 pairs`,
    `${rate(a)} : ${rate(b)} = ${(1 / ratio).toFixed(2)} ×`,
    "at least 0.5 ×"
  )
}
await aegis.remove()
