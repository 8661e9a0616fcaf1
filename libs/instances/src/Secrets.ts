/**
 * Secrets on their way from the vault into a guest. Their values pass through here and are kept nowhere.
 */
import {
  type EventCause,
  type InstanceId,
  type InstanceSpec,
  InvalidArgument,
  maxCommandBytes,
  type SecretError,
  SecretsGiven,
  type StoreError
} from "@aegis/domain"
import { InstanceRecords } from "@aegis/journal"
import { type RevealedSecret, Vault } from "@aegis/vault"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

const reveal = ({ env, secrets }: InstanceSpec) =>
  Effect.flatMap(Vault, (vault) => vault.reveal(secrets, new Set(Object.keys(env))))

/** Fails where a guest could not be given the secrets that it asks for: before anything is made of it (D-05). */
export const checkSecrets = (spec: InstanceSpec): Effect.Effect<void, InvalidArgument | SecretError, Vault> =>
  Effect.flatMap(reveal(spec), (secrets) => {
    const words = [...spec.command, ...Object.entries(spec.env).flat()]
    const given = secrets.flatMap(({ value, variable }) => [variable, Redacted.value(value)])
    const bytes = [...words, ...given].reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0)
    return secrets.length === 0 || bytes <= maxCommandBytes
      ? Effect.void
      : new InvalidArgument({
          argument: "--secret",
          reason: `the command, its environment and its secrets have ${bytes} bytes; at most ${maxCommandBytes} are possible`,
          remedy: "give it fewer secrets, by name"
        })
  })

/**
 * The values for a guest that is about to be told, as they are now (S-091). That they are given is written down before: a guest that has
 * a secret is in the journal, whatever happens next.
 */
export const giveSecrets = (
  id: InstanceId,
  spec: InstanceSpec,
  cause: EventCause
): Effect.Effect<ReadonlyArray<RevealedSecret>, InvalidArgument | SecretError | StoreError, Vault | InstanceRecords> =>
  Effect.gen(function* () {
    const secrets = yield* reveal(spec)
    if (secrets.length === 0) return secrets
    const records = yield* InstanceRecords
    const given = secrets.map(({ name, variable, version }) => ({ name, variable, version }))
    yield* records.update(id, cause, [new SecretsGiven({ secrets: given })]).pipe(
      // A record outlives the start of its instance.
      Effect.catchTag("NotFound", Effect.die)
    )
    return secrets
  })
