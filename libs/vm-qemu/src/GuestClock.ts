/**
 * The clock of a guest that is emulated: the host's time-stamp counter, whose frequency the guest's kernel has to be told.
 *
 * Without it the kernel has no clock but its timer: 250 ticks a second that the host's processor pays for in every idle guest, a
 * resolution of 4 ms, and time that is lost with each tick that comes late.
 */
import { AegisPaths, AtomicFile, Machine, Process } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** kHz, as aegis-tsc (native-bridge/tsc) prints them. */
const Frequency = Schema.NumberFromString.pipe(Schema.int(), Schema.between(100_000, 20_000_000))

/** What was measured, and since which boot of the host it holds. */
const Measured = Schema.Struct({ bootId: Schema.String, khz: Schema.OptionFromNullOr(Schema.Number) })

/**
 * The frequency of the host's counter in kHz; none where the host does not use it itself. Measured once per boot of the host (0.2 s)
 * and kept in `tsc.json` of the daemon's data directory.
 */
export const counterKhz: Effect.Effect<Option.Option<number>, never, AegisPaths> = Effect.gen(function* () {
  const { data, product } = yield* AegisPaths
  const file = `${data}/tsc.json`
  const bootId = yield* Machine.bootId
  const kept = yield* AtomicFile.readJson(file, Measured).pipe(
    Effect.option,
    Effect.map(Option.filter((measured) => measured.bootId === bootId))
  )
  if (Option.isSome(kept)) return kept.value.khz
  const khz = yield* Effect.option(measure(`${product}/aegis-tsc`))
  const text = yield* Schema.encode(Schema.parseJson(Measured))({ bootId, khz })
  yield* AtomicFile.write(file, Buffer.from(text), 0o600)
  return khz
}).pipe(
  Effect.catchAll((error) =>
    Effect.as(Effect.logWarning("the host's counter was not measured; guests count ticks", error), Option.none())
  ),
  Effect.withSpan("GuestClock.counterKhz")
)

const measure = (command: string) =>
  Effect.gen(function* () {
    const process = yield* Process.spawn({ command, args: [], stdin: "ignore", stdout: "tail", stderr: "tail" })
    const { code } = yield* process.exit
    if (code !== 0) return yield* Effect.fail(yield* process.stderrTail)
    return yield* Schema.decode(Frequency)((yield* process.stdoutTail).trim())
  }).pipe(Effect.scoped)
