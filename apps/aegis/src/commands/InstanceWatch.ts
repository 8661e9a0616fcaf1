/**
 * `aegis instance watch`: the rows of `aegis instance list`, again for each instance that changes.
 */
import { Aegis } from "@aegis/client"
import type { Instance, InstanceChanged } from "@aegis/domain"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { instanceJson, tableHeader, tableRow } from "../Instances.ts"
import { jsonLine } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

export const instanceWatch = Command.make("watch", { json: Options.boolean("json") }, ({ json }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    if (json) {
      yield* Stream.runForEach(aegis.watch, (change) => stdio.print(jsonLine(changeJson(change))))
    } else {
      yield* stdio.print(tableHeader)
      yield* Stream.runForEach(rows(aegis.watch), (row) => stdio.print(row))
    }
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const changeJson = ({ id, instance }: InstanceChanged) =>
  instance === undefined ? { id, deleted: true } : instanceJson(instance)

/** What changed without being shown, such as the time of its last use, makes no row. */
const rows = <E, R>(changes: Stream.Stream<InstanceChanged, E, R>): Stream.Stream<string, E, R> =>
  Stream.mapAccum(
    changes,
    new Map<string, { readonly instance: Instance; readonly row: string }>(),
    (shown, change) => {
      const { id, instance } = change
      const before = shown.get(id)
      if (instance === undefined) {
        shown.delete(id)
        return [shown, before === undefined ? "" : tableRow(before.instance, "deleted")]
      }
      const row = tableRow(instance)
      shown.set(id, { instance, row })
      return [shown, row === before?.row ? "" : row]
    }
  ).pipe(Stream.filter((row) => row !== ""))
