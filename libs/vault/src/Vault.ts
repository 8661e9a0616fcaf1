/**
 * The store of secrets: encrypted on disk, decrypted for a guest that is about to be given them, never shown.
 */
import type {
  InvalidArgument,
  NewSecret,
  SecretError,
  SecretInfo,
  SecretName,
  SecretRequest,
  SecretUnknown,
  VaultCorrupt,
  VaultError,
  VaultUnavailable
} from "@aegis/domain"
import type { AegisPaths } from "@aegis/host"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { make } from "./VaultStore.ts"

/** A secret's value, for one guest. */
export interface RevealedSecret {
  readonly name: SecretName
  /** What it is called in the guest's environment. */
  readonly variable: string
  /** Which of the values that the secret has had. */
  readonly version: number
  readonly value: Redacted.Redacted<string>
}

/** The methods come one after the other; each reads the files anew and leaves nothing in memory. */
export class Vault extends Context.Tag("@aegis/vault/Vault")<
  Vault,
  {
    /** Stores all of them or, where one value cannot be a variable's (T-119), none. The first ever makes the key. */
    readonly set: (
      secrets: ReadonlyArray<NewSecret>
    ) => Effect.Effect<ReadonlyArray<SecretInfo>, InvalidArgument | VaultError>
    /** By name, in order. Needs no key. */
    readonly list: Effect.Effect<ReadonlyArray<SecretInfo>, VaultUnavailable>
    /** Needs no key. */
    readonly remove: (name: string) => Effect.Effect<void, SecretUnknown | VaultError>
    /**
     * The values that a guest is to have. A request that cannot be met in full is refused: a name that is unknown, a value that was
     * damaged. `taken` are the variables that it gets from elsewhere.
     */
    readonly reveal: (
      requests: ReadonlyArray<SecretRequest>,
      taken: ReadonlySet<string>
    ) => Effect.Effect<ReadonlyArray<RevealedSecret>, InvalidArgument | SecretError>
    /** Encrypts everything anew with a new key; says how many secrets there are. A crash leaves the old state or the new one. */
    readonly rotateKey: Effect.Effect<number, VaultCorrupt | VaultError>
  }
>() {
  /** Over the files of the home, which is locked for us alone. A key that cannot be used shows at the first use of it. */
  static readonly layer: Layer.Layer<Vault, never, AegisPaths> = Layer.effect(
    this,
    Effect.suspend(() => make)
  )
}
