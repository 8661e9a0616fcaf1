/**
 * `aegis secret`: S-171 to S-181.
 */
import { Aegis } from "@aegis/client"
import { RestSecret, restSecret } from "@aegis/contract/shapes"
import { NewSecret, type SecretInfo } from "@aegis/domain"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { UsageError } from "../Errors.ts"
import { escapeLine } from "../Escape.ts"
import { jsonDocument } from "../JsonText.ts"
import { secretName, secretsOfFile, secretValue } from "../SecretInput.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { textArgument } from "../Verbatim.ts"

const json = Options.boolean("json")
const key = textArgument("KEY")

const print = (text: string) => Effect.flatMap(Stdio, (stdio) => stdio.print(text))

const secretJson = (info: SecretInfo): typeof RestSecret.Encoded => Schema.encodeSync(RestSecret)(restSecret(info))

const setLines = (secrets: ReadonlyArray<SecretInfo>) => secrets.map(({ name }) => `Secret ${name} set\n`).join("")

const set = Command.make(
  "set",
  { key, value: Args.optional(textArgument("VALUE")), json },
  ({ json, key, value: given }) =>
    Effect.gen(function* () {
      const aegis = yield* Aegis
      const name = yield* secretName(key)
      const value = yield* secretValue(name, given, aegis.secretList)
      const secrets = yield* aegis.secretSet([new NewSecret({ name, value })])
      yield* print(json ? jsonDocument(secrets.map(secretJson)[0]) : setLines(secrets))
    }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const list = Command.make("list", { json }, ({ json }) =>
  Effect.gen(function* () {
    const secrets = yield* (yield* Aegis).secretList
    const text =
      secrets.length === 0 ? "No secrets\n" : `Secrets:\n${secrets.map(({ name }) => `  ${name}\n`).join("")}`
    yield* print(json ? jsonDocument(secrets.map(secretJson)) : text)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const remove = Command.make("delete", { key, json }, ({ json, key }) =>
  Effect.gen(function* () {
    yield* (yield* Aegis).secretDelete(key)
    yield* print(json ? jsonDocument({ deleted: key }) : `Secret ${escapeLine(key)} deleted\n`)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const importFile = Command.make("import", { file: textArgument("FILE"), json }, ({ file, json }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const secrets = yield* aegis.secretSet(yield* secretsOfFile(file))
    yield* print(json ? jsonDocument(secrets.map(secretJson)) : setLines(secrets))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const exportNames = Command.make("export", { names: Options.boolean("names"), json }, ({ json, names }) =>
  Effect.gen(function* () {
    if (!names) {
      return yield* new UsageError({
        message: "values of secrets are never printed",
        remedy: "aegis secret export --names"
      })
    }
    const found = (yield* (yield* Aegis).secretList).map(({ name }) => name)
    yield* print(json ? jsonDocument(found) : found.map((name) => `${name}\n`).join(""))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const rotateKey = Command.make("rotate-key", { json }, ({ json }) =>
  Effect.gen(function* () {
    const secrets = yield* (yield* Aegis).secretRotateKey
    const what = secrets === 1 ? "1 secret" : `${secrets} secrets`
    yield* print(json ? jsonDocument({ secrets }) : `Key rotated, ${what} encrypted anew\n`)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

export const secret = Command.make("secret").pipe(
  Command.withSubcommands([set, list, remove, importFile, exportNames, rotateKey])
)
