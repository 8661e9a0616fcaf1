/**
 * Who listens on a TCP port of this machine. Linux's /proc; elsewhere nobody is known.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs/promises"

/** proc(5): the state of a socket in /proc/net/tcp. */
const listen = "0A"

/** `process 412 (nginx)`, or `a process of user 1000` where another user's processes may not be looked into. */
export const portHolder = (port: number): Effect.Effect<Option.Option<string>> =>
  Effect.gen(function* () {
    const tables = yield* Effect.forEach(["/proc/net/tcp", "/proc/net/tcp6"], text)
    const socket = tables.flatMap(socketsOf).find((entry) => entry.port === port)
    if (socket === undefined) return Option.none()
    const pids = (yield* entries("/proc")).filter((name) => /^\d+$/.test(name))
    for (const pid of pids) {
      if (!(yield* holds(pid, socket.inode))) continue
      const name = (yield* text(`/proc/${pid}/comm`)).trim()
      return Option.some(`process ${pid} (${name})`)
    }
    return Option.some(`a process of user ${socket.uid}`)
  })

/** `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode`, addresses in hexadecimal. */
const socketsOf = (table: string) =>
  table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , uid = "", , inode = ""] = line.trim().split(/\s+/)
    return state === listen ? [{ port: Number.parseInt(local.split(":")[1] ?? "", 16), uid, inode }] : []
  })

const holds = (pid: string, inode: string) =>
  Effect.map(
    Effect.flatMap(entries(`/proc/${pid}/fd`), (fds) =>
      Effect.forEach(fds, (fd) => Effect.promise(() => fs.readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")))
    ),
    (links) => links.includes(`socket:[${inode}]`)
  )

const text = (file: string) => Effect.promise(() => fs.readFile(file, "utf8").catch(() => ""))

const entries = (directory: string) =>
  Effect.promise<ReadonlyArray<string>>(() => fs.readdir(directory).catch(() => []))
