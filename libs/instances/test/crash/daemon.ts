/**
 * A daemon without its server, for tests that kill it: the runtime over the simulated backend and a journal in a file. Usage: HOME MODE;
 * says on stdout, unbuffered, what it is about to do and what it has done. `AEGIS_CRASH_AT=n` kills it at the n-th crash point.
 */
import { ByCli, Handle, InstanceSpec } from "@aegis/domain"
import { Journal, journalAt } from "@aegis/journal"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { writeSync } from "node:fs"
import { Instances } from "../../src/index.ts"
import { runtimeAt } from "../runtimeAt.ts"

const [home = "", mode = ""] = process.argv.slice(2)
const say = (line: string) => Effect.sync(() => writeSync(1, `${line}\n`))
const cause = new ByCli({ command: "test" })

/** What may be done with an instance, and what is true of it when that has succeeded. */
const deeds = {
  create: { leaves: "running" },
  start: { leaves: "running" },
  stop: { leaves: "stopped" },
  pause: { leaves: "paused" },
  resume: { leaves: "running" },
  remove: { leaves: "gone" }
} as const
type Deed = keyof typeof deeds

const perform = (deed: Deed, handle: Handle, command: readonly [string, ...Array<string>] = ["sleep"]) =>
  Effect.flatMap(Instances, (instances) => {
    switch (deed) {
      case "create":
      case "start":
        return Effect.zipRight(
          Effect.flatMap(instances.start(new InstanceSpec({ command, handle }), cause), ({ instance: { id } }) =>
            say(`created ${handle} ${id}`)
          ),
          instances.wake(handle, cause)
        )
      case "stop":
        return instances.stop(handle, Duration.millis(100), cause)
      case "pause":
        return instances.pause(handle, cause)
      case "resume":
        return instances.resume(handle, cause)
      case "remove":
        return instances.remove(handle, cause)
    }
  })

const acknowledged = (deed: Deed, handle: Handle) =>
  say(`doing ${deed} ${handle}`).pipe(
    Effect.zipRight(perform(deed, handle)),
    Effect.zipRight(say(`done ${handle} ${deeds[deed].leaves}`))
  )

/** Everything that can be done with an instance, once. */
const life = Effect.gen(function* () {
  const instances = yield* Instances
  const a = Handle.make("a")
  const b = Handle.make("b")
  yield* acknowledged("create", a)
  yield* acknowledged("stop", a)
  yield* acknowledged("start", a)
  yield* acknowledged("pause", a)
  yield* acknowledged("resume", a)
  yield* say("doing run b")
  yield* instances.start(new InstanceSpec({ command: ["exit", "3"], handle: b }), cause)
  yield* instances.wait(b)
  yield* say("done b stopped")
  yield* Stream.runDrain(instances.run(new InstanceSpec({ command: ["echo", "hello"] }), cause))
  yield* acknowledged("pause", a)
  yield* acknowledged("remove", a)
  yield* say("doing prune b")
  // "For longer than": a moment must have passed.
  yield* Effect.sleep("5 millis")
  yield* instances.prune(Duration.zero, cause)
  yield* say("done b gone")
  yield* say("lived")
})

/** Six instances, each of which something is done with all the time. */
const load = Effect.forEach(
  ["u", "v", "w", "x", "y", "z"],
  (name) =>
    Random.choice(Object.keys(deeds) as ReadonlyArray<Deed>).pipe(
      Effect.orDie,
      Effect.flatMap((deed) => acknowledged(deed, Handle.make(name))),
      // What cannot be done in this state has changed nothing.
      Effect.catchAll(() => say(`refused ${name}`)),
      Effect.forever
    ),
  { concurrency: "unbounded", discard: true }
)

const main = Effect.gen(function* () {
  const instances = yield* Instances
  const verdict = yield* Effect.flatMap(Journal, (journal) => journal.verify)
  const list = (yield* instances.list).map(({ handle, id, state }) => ({ handle, id, state }))
  yield* say(`found ${JSON.stringify({ list, verdict })}`)
  yield* mode === "life" ? life : mode === "load" ? load : Effect.void
})

const crashAt = process.env["AEGIS_CRASH_AT"]
const layer = runtimeAt({
  home,
  journal: journalAt({ file: `${home}/data/aegis.db` }),
  ...(crashAt === undefined ? {} : { env: { AEGIS_CRASH_AT: crashAt } })
})
const quiet = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

void Effect.runPromiseExit(Effect.provide(Effect.provide(main, layer), quiet)).then((exit) => {
  if (exit._tag === "Failure") writeSync(1, `failed ${Cause.pretty(exit.cause)}\n`)
})
