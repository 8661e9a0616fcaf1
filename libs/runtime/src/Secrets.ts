/**
 * The vault as clients use it: what they change is told by the journal, without a value.
 */
import {
  type EventCause,
  type EventData,
  type InvalidArgument,
  type NewSecret,
  SecretDeleted,
  type SecretInfo,
  SecretKeyRotated,
  SecretsSet,
  type SecretUnknown,
  type VaultCorrupt,
  type VaultError,
  type VaultUnavailable
} from "@aegis/domain"
import { Journal } from "@aegis/journal"
import { Vault } from "@aegis/vault"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export class Secrets extends Context.Tag("@aegis/runtime/Secrets")<
  Secrets,
  {
    readonly set: (
      secrets: ReadonlyArray<NewSecret>,
      cause: EventCause
    ) => Effect.Effect<ReadonlyArray<SecretInfo>, InvalidArgument | VaultError>
    readonly list: Effect.Effect<ReadonlyArray<SecretInfo>, VaultUnavailable>
    readonly remove: (name: string, cause: EventCause) => Effect.Effect<void, SecretUnknown | VaultError>
    readonly rotateKey: (cause: EventCause) => Effect.Effect<number, VaultCorrupt | VaultError>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const vault = yield* Vault
      const journal = yield* Journal

      /** It is done: a journal that cannot be written changes nothing of that. */
      const tell = (cause: EventCause, data: EventData) => Effect.ignoreLogged(journal.append([{ cause, data }]))

      return Secrets.of({
        set: (secrets, cause) =>
          Effect.tap(vault.set(secrets), (set) =>
            tell(cause, new SecretsSet({ secrets: set.map(({ name, version }) => ({ name, version })) }))
          ),
        list: vault.list,
        remove: (name, cause) => Effect.tap(vault.remove(name), () => tell(cause, new SecretDeleted({ name }))),
        rotateKey: (cause) => Effect.tap(vault.rotateKey, (secrets) => tell(cause, new SecretKeyRotated({ secrets })))
      })
    })
  )
}
