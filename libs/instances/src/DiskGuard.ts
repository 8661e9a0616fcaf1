/**
 * Keeps a guest from filling the disk of its host by its workspace (T-150): where little is left on the workspace's file system, those
 * that go on writing there are stopped. What they have written stays.
 */
import { ByDaemon, type InstanceId, isReadOnly } from "@aegis/domain"
import { ProcessTable } from "@aegis/host"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as fs from "node:fs/promises"
import type { Ending } from "./Ending.ts"
import type { Grace } from "./Life.ts"
import type { Parts } from "./Parts.ts"

/** What is kept free, in MiB: `AEGIS_DISK_RESERVE`, 0 for no guard. */
const reserve = Config.number("AEGIS_DISK_RESERVE").pipe(
  Config.validate({ message: "a number of MiB, 0 for no guard", validation: (value) => value >= 0 }),
  Config.withDefault(512)
)

/** Files that can still be made, on a file system that has a limit. */
const inodeReserve = 1000

const lookAgain = "1 second"

/** More than this from one look to the next is writing; a log, or a file that is touched now and then, is less. */
const writing = 256 * 1024

/** It is short: a guest that is told to end may write on until it is killed. */
const grace: Grace = { commands: Duration.millis(500), reboot: Duration.seconds(1) }

/** Looks at the file systems of all workspaces in use from now on, until its scope ends. */
export const guardDisks = ({ lives, records }: Parts, { stop }: Ending) =>
  Effect.gen(function* () {
    const reserveMib = yield* Effect.orDie(reserve)
    if (reserveMib === 0) return
    /** Where each may write; none for one that may not. */
    const workspaces = new Map<InstanceId, Option.Option<string>>()
    /** How much had been written where little is left, as of the last look. */
    const before = new Map<InstanceId, number>()

    const workspaceOf = (id: InstanceId) =>
      Effect.gen(function* () {
        const known = workspaces.get(id)
        if (known !== undefined) return known
        const { spec, workspace } = yield* records.get(id)
        const found = isReadOnly(spec.workspace) ? Option.none() : Option.fromNullable(workspace)
        workspaces.set(id, found)
        return found
      }).pipe(Effect.orElseSucceed(() => Option.none<string>()))

    const isLow = (path: string) =>
      Effect.map(
        Effect.option(Effect.tryPromise(() => fs.statfs(path))),
        Option.exists(
          ({ bavail, bsize, ffree, files }) =>
            bavail * bsize < reserveMib * 1024 * 1024 || (files > 0 && ffree < inodeReserve)
        )
      )

    const look = Effect.gen(function* () {
      for (const id of workspaces.keys()) if (!lives.has(id)) workspaces.delete(id)
      const paths = new Map<InstanceId, string>()
      for (const [id, life] of lives) {
        const path = (yield* life.isRunning) ? yield* workspaceOf(id) : Option.none()
        if (Option.isSome(path)) paths.set(id, path.value)
      }
      const low = new Set<string>()
      for (const path of new Set(paths.values())) if (yield* isLow(path)) low.add(path)
      for (const id of before.keys()) if (!low.has(paths.get(id) ?? "")) before.delete(id)
      yield* Effect.forEach(
        [...paths].filter(([, path]) => low.has(path)),
        ([id]) => Effect.ignoreLogged(judge(id)),
        { concurrency: "unbounded", discard: true }
      )
    })

    const judge = (id: InstanceId) =>
      Effect.gen(function* () {
        const life = lives.get(id)
        if (life === undefined) return
        const { traces } = yield* life.running
        const writer = traces?.helpers.find(({ name }) => name === "virtiofsd") ?? traces?.vmm
        if (writer === undefined) return
        const written = yield* ProcessTable.written(writer.pid)
        const last = before.get(id)
        before.set(id, written)
        if (last === undefined || written - last <= writing) return
        const because = `less than ${reserveMib} MiB or ${inodeReserve} files were left where its workspace is, and it wrote on`
        yield* stop(id, grace, new ByDaemon({ because }))
      })

    yield* Effect.forkScoped(Effect.schedule(look, Schedule.spaced(lookAgain)))
  })
