/**
 * The tools for secrets. Values go in and never come out: no tool returns one, and no refusal repeats one.
 */
import { Aegis } from "@aegis/client"
import { restSecret, RestSecret } from "@aegis/contract/shapes"
import { NewSecret, SecretName } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { page } from "../OutputLimit.ts"
import { NoInput, type Tool, tool } from "../Tool.ts"

const Name = SecretName.annotations({
  description: "Its name: letters, digits and '_', since a guest finds it in a variable of that name."
})

/** What is no text is refused without a word of it: it may be a value all the same (P4). */
const Value = Schema.Redacted(
  Schema.String.annotations({
    description: "Its value, at most 64 KiB. It passes through this conversation.",
    message: () => ({ message: "a value is a string", override: true })
  })
)

export const secretTools: ReadonlyArray<Tool> = [
  tool({
    name: "secret_set",
    title: "Store a secret",
    description:
      "Stores a secret, encrypted, or replaces it. A guest gets it as an environment variable only where run or instance_start names it in `secrets`, from its next start on. The value passes through this conversation: where the user has it, let them run `aegis secret set NAME` instead.",
    effects: { destructive: true, idempotent: true },
    input: Schema.Struct({ name: Name, value: Value }),
    output: Schema.Struct({ secret: RestSecret }),
    handle: ({ name, value }) =>
      Effect.gen(function* () {
        const [info] = yield* (yield* Aegis).secretSet([new NewSecret({ name, value })])
        return { secret: restSecret(yield* Effect.orDie(Effect.fromNullable(info))) }
      })
  }),
  tool({
    name: "secret_list",
    title: "List secrets",
    description: "Lists the names of the secrets and when each was set. No tool returns a value.",
    effects: { readOnly: true, idempotent: true },
    input: NoInput,
    output: Schema.Struct({ secrets: Schema.Array(RestSecret), more: Schema.Boolean }),
    handle: () =>
      Effect.gen(function* () {
        const secrets = yield* (yield* Aegis).secretList
        const { items, more } = yield* page(Stream.fromIterable(secrets.map(restSecret)))
        return { secrets: items, more }
      })
  }),
  tool({
    name: "secret_delete",
    title: "Delete a secret",
    description:
      "Deletes a secret. A guest that runs keeps the value it has; an instance that names it does not start any more.",
    effects: { destructive: true },
    input: Schema.Struct({ name: Name }),
    output: Schema.Struct({ deleted: SecretName }),
    handle: ({ name }) =>
      Effect.gen(function* () {
        yield* (yield* Aegis).secretDelete(name)
        return { deleted: name }
      })
  })
]
