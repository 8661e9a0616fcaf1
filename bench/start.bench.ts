/** What it costs to start the programs, against the barest program of their runtime. */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { dist, Product } from "../test/product/Product.ts"
import { ms, paired, program, report, timed } from "./measure.ts"

const bare = () => timed(() => program(process.execPath, ["-e", "0"]))

const help = await paired(10, () => timed(() => program(path.join(dist, "aegis"), ["--help"])), bare)
report("aegis --help against node -e 0", `${ms(help.a)} : ${ms(help.b)} = ${help.ratio.toFixed(2)} ×`, "at most 3 ×")

const version = await paired(10, () => timed(() => program(path.join(dist, "aegis"), ["--version"])), bare)
report(
  "aegis --version against node -e 0",
  `${ms(version.a)} : ${ms(version.b)} = ${version.ratio.toFixed(2)} ×`,
  "nothing; for comparison"
)

const aegis = await Product.make()
const socket = path.join(aegis.home, "aegisd.sock")
let memory = 0
const daemon = async () => {
  const child = spawn(path.join(dist, "aegisd"), [], { env: { ...process.env, ...aegis.env }, stdio: "ignore" })
  const took = await timed(async () => {
    while (!(await accepts(socket))) await new Promise((resolve) => setTimeout(resolve, 1))
  })
  // Idle is when its probe is over, too.
  await program(path.join(dist, "aegis"), ["status", "--json"], aegis.env)
  memory = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) / 1024
  child.kill("SIGTERM")
  await new Promise((resolve) => child.once("exit", resolve))
  return took
}
const accepts = (file: string) =>
  new Promise<boolean>((resolve) => {
    const connection = net.connect(file)
    connection.once("connect", () => resolve(true) || connection.destroy())
    connection.once("error", () => resolve(false))
  })
const served = await paired(10, daemon, bare)
report(
  "aegisd from spawn to its socket against node -e 0",
  `${ms(served.a)} : ${ms(served.b)} = ${served.ratio.toFixed(2)} ×`,
  "at most 4 ×"
)
report("aegisd's memory when idle", `${memory.toFixed(0)} MB resident`, "at most 110 MB")
await aegis.remove()
