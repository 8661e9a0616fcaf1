/** A vault in a home of its own, as each daemon that starts there finds it. */
import { NewSecret, SecretName } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Vault } from "../src/index.ts"

export const secret = (name: string, value: string) =>
  new NewSecret({ name: Schema.decodeSync(SecretName)(name), value: Redacted.make(value) })

export interface Home {
  readonly path: string
  readonly key: string
  readonly vault: string
  /** Runs it with a vault that is opened for it. */
  readonly run: <A, E>(work: Effect.Effect<A, E, Vault>) => Effect.Effect<A, E>
}

/** Gone with the scope. */
export const home = Effect.acquireRelease(
  Effect.sync((): Home => {
    const directory = mkdtempSync(path.join(tmpdir(), "aegis-vault-"))
    mkdirSync(path.join(directory, "data"), { mode: 0o700 })
    const layer = vaultAt(directory)
    return {
      path: directory,
      key: path.join(directory, "master.key"),
      vault: path.join(directory, "data", "vault.json"),
      run: (work) => Effect.provide(work, layer)
    }
  }),
  (made) => Effect.sync(() => rmSync(made.path, { recursive: true, force: true }))
)

export const vaultAt = (directory: string) =>
  Vault.layer.pipe(
    Layer.provide(Layer.orDie(AegisPaths.layer("/nowhere"))),
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", directory]]))))
  )

export const set = (...secrets: ReadonlyArray<NewSecret>) => Effect.flatMap(Vault, (vault) => vault.set(secrets))
export const names = Effect.flatMap(Vault, (vault) => Effect.map(vault.list, (found) => found.map(({ name }) => name)))

/** All values by variable. */
export const values = Effect.flatMap(Vault, (vault) =>
  Effect.map(vault.reveal([{ _tag: "All" }], new Set()), (found) =>
    Object.fromEntries(found.map(({ value, variable }) => [variable, Redacted.value(value)]))
  )
)

/** Every file below it with what is in it. */
export const filesOf = (directory: string): ReadonlyMap<string, Buffer> =>
  new Map(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .map((file) => [path.relative(directory, file), readFileSync(file)])
  )
