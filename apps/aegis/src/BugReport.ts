/**
 * What a report of a bug holds. Each field is chosen, none is taken because it is there: no command, no variable, no path of a workspace,
 * no output of a guest, and of the journal what kind of thing happened and when. What is text is searched for values of the environment.
 */
import { Aegis, AegisHome } from "@aegis/client"
import { type Instance, type JournalEvent, version } from "@aegis/domain"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as os from "node:os"
import { statusJson } from "./BackendReport.ts"
import { Caller } from "./Caller.ts"
import { askDaemon } from "./commands/Status.ts"
import { jsonDocument } from "./JsonText.ts"
import { localTools } from "./LocalTools.ts"
import type { TarFile } from "./Tar.ts"

const mostEvents = 500
const mostLogLines = 500
/** Of the daemon's log only its end is read, in bytes. */
const logEnd = 256 * 1024
/** A daemon that hangs is a bug to be reported, too. */
const patience = "30 seconds"

/** The files of a report, without a folder. */
export const bugReport = Effect.gen(function* () {
  const hide = hiding(yield* Caller, (yield* AegisHome).path)
  const files = yield* Effect.all([machine, daemon, instances, events, daemonLog], { concurrency: "unbounded" })
  return [{ name: "README.txt", text: about }, ...files].map(({ name, text }): TarFile => ({ name, text: hide(text) }))
})

const about = `A report of aegis ${version}, made by aegis bug-report.

machine.json    the system, and which programs and libraries guests need are there
daemon.json     what aegisd says of itself and its backend
instances.json  the instances: ids, states, sizes, how they ended
events.json     the last ${mostEvents} events of the journal: what kind, when, of which instance
aegisd.log      the last ${mostLogLines} lines of the daemon's log

It holds no commands, no names, no variables or their values, no secrets, and nothing that a guest has printed.
Look through it before you send it: tar -xzf FILE
`

const document = (name: string, content: object): TarFile => ({ name, text: jsonDocument(content) })

/** What could not be found out is said in its place: a report of a broken machine is wanted most. */
const orReason = <R>(name: string, file: Effect.Effect<TarFile, { readonly message: string }, R>) =>
  file.pipe(
    Effect.timeoutFail({ duration: patience, onTimeout: () => ({ message: `it took more than ${patience}` }) }),
    Effect.catchAll(({ message }) => Effect.succeed(document(name, { error: message })))
  )

const machine = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const tools = yield* localTools
  const release = yield* Effect.orElseSucceed(fs.readFileString("/etc/os-release"), () => "")
  return document("machine.json", {
    aegis: version,
    node: process.version,
    system: /^PRETTY_NAME="?([^"\n]*)/m.exec(release)?.[1] ?? process.platform,
    kernel: os.release(),
    arch: process.arch,
    cpus: os.cpus().length,
    memory_mib: Math.round(os.totalmem() / 1024 / 1024),
    kvm_device: yield* Effect.orElseSucceed(fs.exists("/dev/kvm"), () => false),
    tools: Object.fromEntries(tools.map(({ found, name, text }) => [name, { found, text }]))
  })
})

const daemon = orReason(
  "daemon.json",
  Effect.map(
    askDaemon,
    Option.match({
      onNone: () => document("daemon.json", { running: false }),
      onSome: ({ status, verdict }) => document("daemon.json", statusJson(status, verdict))
    })
  )
)

const instances = orReason(
  "instances.json",
  Effect.flatMap(Aegis, (aegis) => aegis.list).pipe(
    Effect.map((all) => document("instances.json", { instances: all.map(outline) })),
    Effect.provide(Aegis.layer)
  )
)

const outline = ({
  createdAt,
  endpoints,
  ended,
  id,
  image,
  memoryMib,
  startedAt,
  state,
  stoppedAt,
  vcpus
}: Instance) => ({
  ...{ id, state, memory_mib: memoryMib, vcpus, from_image: image !== undefined, ports: endpoints.length },
  ...{ created: time(createdAt), started: time(startedAt), stopped: time(stoppedAt) },
  ended: ended === undefined ? null : ended._tag,
  code: ended?._tag === "NotStarted" || ended?._tag === "Exited" ? ended.code : null
})

const time = (at: DateTime.Utc | undefined) => (at === undefined ? null : DateTime.formatIso(at))

const events = orReason(
  "events.json",
  Effect.flatMap(Aegis, (aegis) =>
    Stream.runCollect(Stream.takeRight(aegis.events({ follow: false }), mostEvents))
  ).pipe(
    Effect.map((last) => document("events.json", { events: Chunk.toReadonlyArray(last).map(kindOf) })),
    Effect.provide(Aegis.layer)
  )
)

const kindOf = ({ at, cause, data, instanceId, seq }: JournalEvent) => ({
  ...{ seq, at: time(at), instance: instanceId ?? null, event: data._tag, cause: cause._tag }
})

/** Of each line the time, the level and the message; a defect's cause may hold anything and is left out. */
const logLine = /^timestamp=(\S+) level=(\S+) fiber=\S+ message=("(?:[^"\\]|\\.)*"|\S+)/gm

const daemonLog = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { path } = yield* AegisHome
  const bytes = yield* fs.readFile(`${path}/data/aegisd.log`)
  const lines = [...Buffer.from(bytes.subarray(-logEnd)).toString().matchAll(logLine)]
  const said = lines.slice(-mostLogLines).map(([, at, level, message]) => `${at} ${level} ${message?.slice(0, 400)}\n`)
  return { name: "aegisd.log", text: said.join("") }
}).pipe(Effect.catchAll(() => Effect.succeed({ name: "aegisd.log", text: "there is no log\n" })))

/** Shorter values are words that anything may hold: `1`, `en`, `vim`. */
const shortestHidden = 6

/** Puts names in the place of directories of this user, and of every value of the environment. */
const hiding = ({ env }: Caller["Type"], home: string) => {
  const user = env["HOME"]
  const places: ReadonlyArray<readonly [string, string]> = [
    [home, "<AEGIS_HOME>"],
    ...(user === undefined ? [] : ([[user, "<HOME>"]] as const)),
    ...Object.entries(env)
      .filter(([name]) => name !== "HOME")
      .flatMap(([name, value]) =>
        [...new Set([value, ...value.split("\n"), JSON.stringify(value).slice(1, -1)])].map(
          (text) => [text, `<${name}>`] as const
        )
      )
  ]
  const hidden = places.filter(([value]) => value.length >= shortestHidden).toSorted(([a], [b]) => b.length - a.length)
  return (text: string) => hidden.reduce((left, [value, name]) => left.replaceAll(value, () => name), text)
}
