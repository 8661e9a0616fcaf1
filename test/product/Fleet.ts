/**
 * What tests of instances look at from outside: REST over the daemon's socket, the processes of VMs, and the logs as they are on disk.
 */
import { InstanceId, type LogEntry } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import { LogStore } from "@aegis/logs"
import Sqlite from "better-sqlite3"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { request } from "node:http"
import { connect } from "node:net"
import * as path from "node:path"
import { type Product, until } from "./Product.ts"

export interface Answer {
  readonly status: number | undefined
  // A test says by its assertions what it expects of an answer.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any
}

interface Seen {
  readonly id: string
  readonly state: string
}

/** One call of the REST API. Fails when nobody answers. */
export const rest = (aegis: Product, method: string, route: string, body?: object): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const options = {
      socketPath: path.join(aegis.home, "aegisd.sock"),
      method,
      path: route,
      // A connection that was kept may lead to a daemon that is dead by now.
      agent: false,
      headers: { "content-type": "application/json" }
    }
    const call = request(options, (answer) => {
      let received = ""
      answer.on("data", (piece) => (received += piece))
      answer.on("error", reject)
      answer.on("end", () =>
        answer.complete
          ? resolve({ status: answer.statusCode, body: parsed(received, answer.headers["content-type"]) })
          : reject(new Error("the answer was cut off"))
      )
    })
    call.on("error", reject)
    call.end(body === undefined ? undefined : JSON.stringify(body))
  })

const parsed = (text: string, type = "") =>
  type.includes("ndjson")
    ? text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line))
    : JSON.parse(text)

/** Waits until an instance is in this state and gives it. */
export const inState = (aegis: Product, target: string, state: string, seconds = 90) =>
  until(
    `${target} is ${state}`,
    async () => {
      const { body } = await rest(aegis, "GET", `/v1/instances/${target}`)
      return body.state === state && body
    },
    seconds
  )

/** Waits until every one of them runs. */
export const running = (aegis: Product, ...targets: ReadonlyArray<string>) =>
  Promise.all(targets.map((target) => inState(aegis, target, "running")))

/** The processes of one program that belong to this home's VMs. */
export const processesOf = (aegis: Product, program: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const line = readOr(`/proc/${pid}/cmdline`, "")
      return line.split("\0")[0]?.includes(program) === true && line.includes(`${aegis.home}/data/`)
    })
    .map(Number)
    .filter((pid) => stateOf(pid) !== "")

const readOr = (file: string, otherwise: string) => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return otherwise
  }
}

/** The kernel's letter for what a process does; empty when it is gone, or only waits for somebody to reap it. */
export const stateOf = (pid: number): string => {
  const letter = /^State:\s+(\S)/m.exec(readOr(`/proc/${pid}/status`, ""))?.[1] ?? ""
  return letter === "Z" ? "" : letter
}

/** The process of an instance's VM, as the journal has it. */
export const vmOf = async (aegis: Product, target: string): Promise<number> => {
  const { body } = await rest(aegis, "GET", `/v1/events?target=${target}`)
  const event = body.findLast((one: { readonly data: { readonly _tag: string } }) =>
    ["InstanceStarted", "InstanceAdopted"].includes(one.data._tag)
  )
  return event.data.vm.pid
}

/** Tells the QEMU of the only instance to do something, while no daemon has its control socket. */
export const qmp = (aegis: Product, command: "stop" | "cont"): Promise<void> => {
  const runs = path.join(aegis.home, "data/run")
  const socket = path.join(runs, readdirSync(runs)[0] ?? "", "qmp.sock")
  return new Promise((resolve, reject) => {
    let said = ""
    const connection = connect(socket, () => {
      connection.write(`{"execute":"qmp_capabilities"}\n{"execute":"${command}","id":1}\n`)
    })
    connection.on("error", reject)
    connection.on("data", (piece) => {
      said += piece.toString()
      if (!said.includes('"id": 1')) return
      connection.destroy()
      resolve()
    })
  })
}

/** Kills the daemon as a crash does, and waits until it is gone. */
export const killDaemon = async (aegis: Product): Promise<void> => {
  const pid = aegis.daemonPid
  process.kill(pid, "SIGKILL")
  await untilDead(pid)
}

/** Waits until a process has let go of everything: its first thread may be dead while the others still hold its files. */
export const untilDead = (pid: number, seconds = 60) =>
  until("the process is dead", () => stateOf(pid) === "" && threadsOf(pid) <= 1, seconds)

const threadsOf = (pid: number) => {
  try {
    return readdirSync(`/proc/${pid}/task`).length
  } catch {
    return 0
  }
}

/** An instance's log, read from the disk by a store of our own. */
export const logOf = (aegis: Product, id: string): Promise<ReadonlyArray<LogEntry>> =>
  Effect.gen(function* () {
    const store = yield* LogStore
    const batches = yield* Stream.runCollect(store.read(InstanceId.make(id), {}))
    return [...batches].flat()
  }).pipe(
    Effect.provide(
      LogStore.layer().pipe(
        Layer.provide(AegisPaths.layer("/nowhere")),
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", aegis.home]]))))
      )
    ),
    Effect.scoped,
    Effect.runPromise
  )

/** The lines of its command in its log; a gap is a line that says so. */
export const linesOf = async (aegis: Product, id: string, source = "primary"): Promise<ReadonlyArray<string>> =>
  (await logOf(aegis, id)).flatMap((entry) => {
    if (entry._tag === "Gap") return ["(gap)"]
    return entry.source === source ? [Buffer.from(entry.bytes).toString("utf8")] : []
  })

/** What SQLite itself says of the journal's file. */
export const integrity = (aegis: Product): unknown => {
  const db = new Sqlite(path.join(aegis.home, "data/aegis.db"))
  try {
    return db.pragma("integrity_check", { simple: true })
  } finally {
    db.close()
  }
}

/**
 * Everything that does not fit together between what the daemon says and what there is: processes, run directories, workspaces, logs.
 * Empty where each instance is in exactly one state and nothing is orphaned (P7).
 */
export const misfits = async (aegis: Product): Promise<ReadonlyArray<string>> => {
  const names = (directory: string) => {
    const full = path.join(aegis.home, "data", directory)
    return existsSync(full) ? readdirSync(full) : []
  }
  const instances: ReadonlyArray<Seen> = (await rest(aegis, "GET", "/v1/instances")).body
  const alive = instances.filter(({ state }) => state === "running" || state === "paused")
  const found: Array<string> = []
  const pids = processesOf(aegis, "qemu-system")
  for (const { id, state } of instances) {
    if (!["running", "paused", "stopped"].includes(state)) found.push(`${id} is ${state}`)
  }
  for (const { id, state } of alive) {
    const pid = await vmOf(aegis, id)
    const stopped = stateOf(pid) === "T"
    if (!pids.includes(pid) || stopped !== (state === "paused"))
      found.push(`${id} is ${state}, ${pid} is ${stateOf(pid)}`)
  }
  const count = (what: string, is: number, most: number) => {
    if (is > most) found.push(`${is} ${what}, but only ${alive.length} of ${instances.length} instances are alive`)
  }
  count("QEMUs", pids.length, alive.length)
  // Each virtiofsd is two processes: one that serves, in a sandbox, and one that waits for it.
  count("virtiofsds", processesOf(aegis, "virtiofsd").length, alive.length * 2)
  count("run directories", names("run").length, alive.length)
  const ids = new Set(instances.map(({ id }) => id))
  for (const name of names("workspaces")) {
    if (name.startsWith("run-") && !ids.has(name.slice("run-".length))) found.push(`orphaned workspace ${name}`)
  }
  for (const name of names("logs")) if (!ids.has(name)) found.push(`orphaned log ${name}`)
  return found
}

/** What does not fit together after at most 10 s: a helper whose VM was killed ends by itself, when the kernel has come to it. */
export const settledMisfits = async (aegis: Product): Promise<ReadonlyArray<string>> => {
  let found: ReadonlyArray<string> = []
  await until("nothing is left that does not fit", async () => (found = await misfits(aegis)).length === 0, 10).catch(
    () => undefined
  )
  return found
}
