/**
 * The router's own part: HTTP through it and through nginx to the same server of this machine, and what ports that nobody uses cost.
 * Needs Debian's nginx-light and wrk.
 */
import { Client } from "@aegis/client/promise"
import { Runtime } from "@aegis/runtime"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { bridge } from "../libs/client/src/promise/Bridge.ts"
import { freePort } from "../libs/runtime/test/freePort.ts"
import { report } from "./measure.ts"

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
  const tsx = path.join(import.meta.dirname, "../node_modules/tsx/dist/cli.mjs")
  const program = path.join(import.meta.dirname, "router-alone.ts")
  const flags = process.env["AEGIS_CPU_PROFILE"] === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir=/tmp"]
  const child: ChildProcess = spawn(process.execPath, [...flags, tsx, program, String(serverPort)], {
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

// Memory: a daemon's services over simulated machines, with 500 instances that were started, have ended, and are exposed.
setFlagsFromString("--expose-gc")
const collect: unknown = runInNewContext("gc")
const memory = async () => {
  for (let i = 0; i < 5; i++) {
    if (typeof collect === "function") collect()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return process.memoryUsage()
}
const client = new Client(
  bridge(
    ManagedRuntime.make(
      Runtime.layerSimulated({
        home: path.join(directory, "home"),
        bootTime: "1 millis",
        programs: () => Option.some(() => Effect.never)
      })
    )
  )
)
const start = async (count: number, port?: number) => {
  for (let i = 0; i < count; i++) {
    const { instance } = await client.start({ command: ["wait"], exposes: port === undefined ? [] : [{ port }] })
    await client.stop(instance.id)
  }
}
// What the first ones bring into memory is not theirs.
await start(20, 80)
const before = await memory()
await start(500, 80)
const after = await memory()
const mib = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`
report(
  "memory of 500 stopped instances that are exposed: the heap and the process",
  `${mib(after.heapUsed + after.external - before.heapUsed - before.external)}, ${mib(after.rss - before.rss)}`,
  "under 20 MB"
)
await client.close()
rmSync(directory, { recursive: true, force: true })
