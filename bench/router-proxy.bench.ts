/**
 * The router's own part: HTTP through it and through nginx to the same server of this machine, and what ports that nobody uses cost.
 * Needs Debian's nginx-light and wrk.
 */
import { Exposure, InstanceSpec } from "@aegis/domain"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { freePort } from "../libs/runtime/test/freePort.ts"
import { dist, Product } from "../test/product/Product.ts"
import { memoryOf, writeStopped } from "./daemon.ts"
import { paired, program, report } from "./measure.ts"

const seconds = Number(process.env["AEGIS_BENCH_SECONDS"] ?? 30)
const connections = 64
const directory = mkdtempSync(path.join(tmpdir(), "aegis-proxy-"))

const serverPort = await freePort()
const proxyPort = await freePort()
const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
  .map((name) => `${name}_temp_path ${directory}/${name};`)
  .join(" ")
writeFileSync(
  `${directory}/nginx.conf`,
  `daemon off; worker_processes 1; pid ${directory}/pid; error_log ${directory}/error.log;
events { worker_connections 4096; }
http { access_log off; ${temporary}
  upstream server { server 127.0.0.1:${serverPort}; }
  server { listen 127.0.0.1:${serverPort}; location / { return 200 "hello, world\\n"; } }
  server { listen 127.0.0.1:${proxyPort}; location / { proxy_pass http://server; } } }`
)
const nginx = spawn("/usr/sbin/nginx", ["-c", `${directory}/nginx.conf`, "-e", `${directory}/error.log`])

/** Requests per second as wrk says. */
const load = async (port: number): Promise<number> => {
  const wrk = spawn("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, `http://127.0.0.1:${port}/`])
  let text = ""
  wrk.stdout.on("data", (piece: Buffer) => (text += piece.toString()))
  await once(wrk, "close")
  const bad = /Non-2xx.*|Socket errors.*/.exec(text)?.[0]
  if (bad !== undefined) console.log(`    ${bad.trim()}`)
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1])
}

/** The router in a process of its own. */
const routed = async () => {
  const program = path.join(import.meta.dirname, "router-alone.ts")
  const flags = process.env["AEGIS_CPU_PROFILE"] === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir=/tmp"]
  const child: ChildProcess = spawn(process.execPath, [...flags, "--import", "tsx", program, String(serverPort)], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  const [first] = await once(child.stdout ?? process.stdin, "data")
  return { child, port: Number(String(first)) }
}

const router = await routed()
const throughRouter = await load(router.port)
const throughNginx = await load(proxyPort)
router.child.stdin?.end()
await once(router.child, "exit")
nginx.kill()
report(
  `requests through the router to a server of this machine, against nginx as the proxy, wrk with ${connections} connections for ${seconds} s`,
  `${throughRouter.toFixed(0)} : ${throughNginx.toFixed(0)} = ${(throughRouter / throughNginx).toFixed(2)} ×`,
  "at least 0.5 ×"
)

rmSync(directory, { recursive: true, force: true })

// Memory: daemons that go on with 500 instances that are stopped and exposed, against daemons with none.
const exposed = new InstanceSpec({ command: ["wait"], exposes: [new Exposure({ port: 80, protocol: "http" })] })
const many = await Product.make()
const none = await Product.make()
await writeStopped(many.home, 500, exposed)
const held = async (aegis: Product) => {
  await program(path.join(dist, "aegis"), ["up"], aegis.env)
  const memory = await memoryOf(aegis.daemonPid)
  await program(path.join(dist, "aegis"), ["down"], aegis.env)
  return memory
}
const memory = await paired(
  3,
  () => held(many),
  () => held(none)
)
report(
  "the daemon's memory (RssAnon) with 500 stopped instances that are exposed, against none",
  `${memory.a.toFixed(1)} : ${memory.b.toFixed(1)} MiB = ${(memory.a - memory.b).toFixed(1)} MiB more`,
  "under 20 MB"
)
await many.remove()
await none.remove()
