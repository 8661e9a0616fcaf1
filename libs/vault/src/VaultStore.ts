/**
 * `Vault` over two files: the key, and what is encrypted with it. The second names the key, so that one rename decides of a rotation.
 */
import {
  type NewSecret,
  SecretInfo,
  type SecretRequest,
  SecretUnknown,
  VaultCorrupt,
  VaultUnavailable
} from "@aegis/domain"
import { AegisPaths, AtomicFile, crashPoint, Directories } from "@aegis/host"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { KeyObject } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as MasterKey from "./MasterKey.ts"
import { seal, unseal } from "./Seal.ts"
import { checkValue } from "./SecretValue.ts"
import { select } from "./Selection.ts"
import type { RevealedSecret, Vault } from "./Vault.ts"
import * as VaultFile from "./VaultFile.ts"

export const make = Effect.gen(function* () {
  const { masterKey, vault } = yield* AegisPaths
  /** The key of a rotation, until the secrets are encrypted with it. */
  const nextKey = `${masterKey}.next`
  const oneByOne = (yield* Effect.makeSemaphore(1)).withPermits(1)

  /**
   * Brings a rotation that was killed to its end, or undoes it: the key that the secrets are encrypted with decides. Where neither
   * key is theirs, both stay.
   */
  const settle = Effect.gen(function* () {
    if (!(yield* isThere(nextKey))) return
    const { keyId, secrets } = yield* VaultFile.read(vault)
    const isTheirs = (file: string) =>
      MasterKey.read(file).pipe(
        Effect.map(Option.exists((key) => MasterKey.idOf(key) === keyId)),
        Effect.orElseSucceed(() => false)
      )
    if (yield* isTheirs(nextKey)) yield* moveInto(nextKey, masterKey)
    else if (secrets.length === 0 || (yield* isTheirs(masterKey))) yield* discard(nextKey)
  })

  const withSettled = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.zipRight(settle, work).pipe(Effect.uninterruptible, oneByOne)

  /** The key of what is there. Made where nothing is there that it could be the key of (T-115). */
  const keyOf = ({ keyId, secrets }: VaultFile.Contents) =>
    Effect.gen(function* () {
      const found = yield* MasterKey.read(masterKey)
      if (Option.isNone(found)) {
        if (secrets.length > 0) {
          return yield* new VaultUnavailable({
            path: masterKey,
            reason: `the key is missing, and ${count(secrets.length)} with it`,
            remedy: "put a copy of it back; without one, delete the secrets (aegis secret delete) and set them anew"
          })
        }
        yield* makeKey
        return yield* Effect.flatMap(
          MasterKey.read(masterKey),
          Option.match({ onNone: () => vanished, onSome: Effect.succeed })
        )
      }
      if (secrets.length > 0 && MasterKey.idOf(found.value) !== keyId) {
        return yield* new VaultUnavailable({
          path: masterKey,
          reason: `is not the key of the ${count(secrets.length)} in ${vault}`,
          remedy: "put the right key back; nothing was changed"
        })
      }
      return found.value
    })

  const vanished = new VaultUnavailable({
    path: masterKey,
    reason: "was removed while it was made",
    remedy: "try again, and look for the program that removes it"
  })

  const makeKey = Effect.gen(function* () {
    yield* Effect.mapError(
      Directories.ensurePrivate(path.dirname(masterKey)),
      ({ message, remedy }) => new VaultUnavailable({ path: masterKey, reason: message, remedy })
    )
    yield* crashPoint("there is no key yet")
    yield* MasterKey.make(masterKey)
    yield* crashPoint("the first key is there")
  })

  const unsealed = (
    key: KeyObject,
    stored: VaultFile.StoredSecret
  ): Effect.Effect<Redacted.Redacted<string>, VaultCorrupt> =>
    Either.match(unseal(key, stored, Buffer.from(stored.sealed, "base64")), {
      onLeft: (reason) => Effect.fail(new VaultCorrupt({ name: stored.name, reason })),
      onRight: (value) => Effect.succeed(Redacted.make(value))
    })

  const sealed = (
    key: KeyObject,
    identity: Omit<VaultFile.StoredSecret, "sealed">,
    value: Redacted.Redacted<string>
  ) => ({
    ...identity,
    sealed: Buffer.from(seal(key, identity, Redacted.value(value))).toString("base64")
  })

  const set = (given: ReadonlyArray<NewSecret>) =>
    Effect.gen(function* () {
      yield* Effect.forEach(given, checkValue)
      const contents = yield* VaultFile.read(vault)
      const key = yield* keyOf(contents)
      const createdAt = yield* Clock.currentTimeMillis
      const secrets = new Map(contents.secrets.map((stored) => [stored.name, stored]))
      for (const { name, value } of given) {
        const version = (secrets.get(name)?.version ?? 0) + 1
        secrets.set(name, sealed(key, { name, version, createdAt }, value))
      }
      yield* VaultFile.write(vault, { keyId: MasterKey.idOf(key), secrets: [...secrets.values()] })
      yield* crashPoint("the secrets are stored")
      return given.flatMap(({ name }) => Option.toArray(Option.map(Option.fromNullable(secrets.get(name)), infoOf)))
    })

  const reveal = (requests: ReadonlyArray<SecretRequest>, taken: ReadonlySet<string>) =>
    Effect.gen(function* () {
      const contents = yield* VaultFile.read(vault)
      const byName = new Map(contents.secrets.map((stored) => [stored.name, stored]))
      const selected = yield* select(requests, [...byName.keys()].sort(), taken)
      if (selected.length === 0) return []
      const key = yield* keyOf(contents)
      return yield* Effect.forEach(
        selected,
        ({ name, variable }): Effect.Effect<RevealedSecret, SecretUnknown | VaultCorrupt> => {
          const stored = byName.get(name)
          return stored === undefined
            ? Effect.fail(new SecretUnknown({ name }))
            : Effect.map(unsealed(key, stored), (value) => ({ name, variable, version: stored.version, value }))
        }
      )
    })

  const rotateKey = Effect.gen(function* () {
    const contents = yield* VaultFile.read(vault)
    const old = yield* keyOf(contents)
    const values = yield* Effect.forEach(contents.secrets, (stored) =>
      Effect.map(unsealed(old, stored), (value) => ({ stored, value }))
    )
    yield* crashPoint("the key is to be rotated")
    yield* MasterKey.replace(nextKey)
    yield* crashPoint("the next key is there")
    const key = yield* Effect.flatMap(
      MasterKey.read(nextKey),
      Option.match({ onNone: () => vanished, onSome: Effect.succeed })
    )
    const secrets = values.map(({ stored, value }) => sealed(key, stored, value))
    yield* VaultFile.write(vault, { keyId: MasterKey.idOf(key), secrets })
    yield* crashPoint("the secrets are encrypted anew")
    yield* moveInto(nextKey, masterKey)
    yield* crashPoint("the next key is the key")
    return secrets.length
  })

  // What a killed write has left holds values, or a key, that may be gone from their own file by now.
  yield* Effect.forEach([masterKey, nextKey, vault], (file) => Effect.ignore(AtomicFile.sweep(file)))
  yield* Effect.ignoreLogged(withSettled(Effect.void))

  const service: Context.Tag.Service<typeof Vault> = {
    set: (secrets) => Effect.withSpan(withSettled(set(secrets)), "Vault.set"),
    list: VaultFile.read(vault).pipe(
      Effect.map(({ secrets }) => secrets.map(infoOf).sort((a, b) => (a.name < b.name ? -1 : 1))),
      Effect.withSpan("Vault.list")
    ),
    remove: (name) =>
      Effect.gen(function* () {
        const contents = yield* VaultFile.read(vault)
        const secrets = contents.secrets.filter((stored) => stored.name !== name)
        if (secrets.length === contents.secrets.length) return yield* new SecretUnknown({ name })
        yield* VaultFile.write(vault, { ...contents, secrets })
      }).pipe(Effect.uninterruptible, oneByOne, Effect.withSpan("Vault.remove")),
    reveal: (requests, taken) =>
      Effect.withSpan(
        requests.length === 0 ? Effect.succeed([]) : withSettled(reveal(requests, taken)),
        "Vault.reveal"
      ),
    rotateKey: Effect.withSpan(withSettled(rotateKey), "Vault.rotateKey")
  }
  return service
})

const infoOf = ({ createdAt, name, version }: VaultFile.StoredSecret) =>
  new SecretInfo({ name, version, createdAt: DateTime.unsafeMake(createdAt) })

const count = (secrets: number) => (secrets === 1 ? "1 secret" : `${secrets} secrets`)

const moveInto = (from: string, to: string) =>
  attempt(to, async () => {
    await fs.rename(from, to)
    await AtomicFile.syncDirectory(path.dirname(to))
  })

const isThere = (file: string) =>
  Effect.promise(() =>
    fs.lstat(file).then(
      () => true,
      () => false
    )
  )

const discard = (file: string) => attempt(file, () => fs.rm(file, { force: true }))

const attempt = (file: string, operation: () => Promise<void>) =>
  Effect.tryPromise({
    try: operation,
    catch: (cause) =>
      new VaultUnavailable({
        path: file,
        reason: cause instanceof Error ? cause.message : String(cause),
        remedy: `check the owner and mode of ${path.dirname(file)}`
      })
  })
