/**
 * `aegis down`: S-040 to S-045; with `--keep` the guests go on.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { awaitEnd, stopDaemon, stoppable } from "../DaemonProcess.ts"
import { HostFailed } from "../Errors.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

const handler = ({ keep }: { readonly keep: boolean }) =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const target = yield* stoppable
    if (target._tag === "Nothing") {
      return yield* stdio.print(`aegisd is not running${target.invalidFile ? " (invalid pid file)" : ""}\n`)
    }
    yield* stdio.print(`aegisd stopping (pid ${target.pid})\n`)
    const kept = keep ? yield* Effect.provide(leave(target.pid), Aegis.layer) : Option.none()
    yield* keep ? awaitEnd(target.pid) : stopDaemon(target.pid)
    yield* stdio.print(`aegisd stopped\n${Option.match(kept, { onNone: () => "", onSome: keptText })}`)
  })

/** Asks the daemon to go without its guests; how many there are, if it says so. */
const leave = (pid: number) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const instances = yield* Effect.option(aegis.list)
    yield* Effect.catchTag(aegis.leave, "DaemonUnreachable", ({ reason }) =>
      // It may be gone before its answer is here. One that was not reached must not be told to stop: its guests would end with it.
      reason === "absent" || reason === "skewed"
        ? new HostFailed({
            message: `aegisd (pid ${pid}) does not answer, so it cannot be told to keep its guests`,
            remedy: "try again; aegis down without --keep stops it and its guests"
          })
        : Effect.void
    )
    return Option.map(instances, (all) => all.filter(({ state }) => state !== "stopped").length)
  })

const keptText = (count: number) =>
  count === 0 ? "" : `${count} instance(s) left running; aegis up goes on with them\n`

export const down = Command.make("down", { keep: Options.boolean("keep") }, (flags) => untilSignal(handler(flags)))
