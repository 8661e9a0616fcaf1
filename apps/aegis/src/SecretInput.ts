/**
 * Where the values of secrets come from: the command line, a terminal, standard input, a file.
 */
import { NewSecret, SecretName } from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { constants } from "node:fs"
import { open } from "node:fs/promises"
import { parseEnv } from "node:util"
import { UsageError } from "./Errors.ts"
import { flagValue } from "./FlagValue.ts"
import { inputIsTerminal, readHidden } from "./HiddenInput.ts"
import { Stdio } from "./Stdio.ts"

/** The most that is read of a file or of standard input. */
const maxInputBytes = 16 * 1024 * 1024

export const secretName = (text: string): Effect.Effect<SecretName, UsageError> =>
  flagValue(SecretName, "KEY", text, "use a name such as API_KEY")

/** The value that was given, or else the one that is typed or piped. `ready` comes before anybody is asked to type. */
export const secretValue = <E, R>(
  name: SecretName,
  given: Option.Option<string>,
  ready: Effect.Effect<unknown, E, R>
) =>
  Effect.gen(function* () {
    if (Option.isSome(given) && given.value !== "-") return Redacted.make(given.value)
    if (yield* inputIsTerminal) {
      yield* ready
      return Redacted.make(yield* readHidden(`Value of ${name} (not shown): `))
    }
    return Redacted.make((yield* standardInput).replace(/\r?\n$/, ""))
  })

/** The variables of a `.env` file, as Node reads them: `KEY=value`, quotes, comments, `export`. */
export const secretsOfFile = (file: string) =>
  Effect.gen(function* () {
    const text = file === "-" ? yield* standardInput : yield* fileText(file)
    const variables = Object.entries(parseEnv(text))
    const secrets = yield* Effect.forEach(variables, ([key, value]) =>
      Effect.map(secretName(key), (name) => new NewSecret({ name, value: Redacted.make(value ?? "") }))
    )
    const [first, ...others] = secrets
    if (first === undefined) {
      return yield* new UsageError({
        message: `${file}: there is no variable in it`,
        remedy: "a line of a .env file is KEY=VALUE"
      })
    }
    return [first, ...others] as const
  })

const standardInput = Effect.gen(function* () {
  const stdio = yield* Stdio
  const pieces = yield* stdio.input.pipe(
    Stream.mapAccum(0, (sum, bytes) => [sum + bytes.length, { bytes, sum: sum + bytes.length }]),
    Stream.takeUntil(({ sum }) => sum > maxInputBytes),
    Stream.runCollect
  )
  return yield* textOf("standard input", Buffer.concat(Chunk.toReadonlyArray(pieces).map(({ bytes }) => bytes)))
})

/** Of a regular file alone: what else has a name may never begin, as a FIFO that nobody writes to, or never end (T-148). */
const fileText = (file: string) =>
  Effect.gen(function* () {
    const handle = yield* Effect.acquireRelease(
      reading(file, () => open(file, constants.O_RDONLY | constants.O_NONBLOCK)),
      (opened) => Effect.promise(() => opened.close())
    )
    const about = yield* reading(file, () => handle.stat())
    if (!about.isFile()) return yield* unreadable(file, "it is no regular file")
    if (about.size > maxInputBytes) return yield* tooLong(file)
    return yield* Effect.flatMap(
      reading(file, () => handle.readFile()),
      (bytes) => textOf(file, bytes)
    )
  }).pipe(Effect.scoped)

const reading = <A>(file: string, read: () => Promise<A>) =>
  Effect.tryPromise({
    try: read,
    catch: (cause) => unreadable(file, cause instanceof Error ? cause.message : String(cause))
  })

const unreadable = (file: string, why: string) =>
  new UsageError({
    message: `cannot read ${file}: ${why}`,
    remedy: "give a file that you can read, or - for standard input"
  })

const tooLong = (what: string) =>
  new UsageError({ message: `${what} has more than ${maxInputBytes} bytes`, remedy: "a value has at most 64 KiB" })

/** Byte for byte, or not at all. */
const textOf = (what: string, bytes: Uint8Array) =>
  bytes.length > maxInputBytes
    ? tooLong(what)
    : Effect.try({
        try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
        catch: () =>
          new UsageError({ message: `${what} is not UTF-8 text`, remedy: "store what is not text in base64" })
      })
