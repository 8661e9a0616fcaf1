/** Secrets of the scripted daemon: kept in memory; `value:` lines in `secrets.log` of the home tell a test what arrived. */
import { type NewSecret, SecretInfo, SecretUnknown } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { appendFileSync } from "node:fs"

const kept = new Map<string, SecretInfo>()

export const setSecrets = (secrets: ReadonlyArray<NewSecret>) =>
  Effect.sync(() =>
    secrets.map(({ name, value }) => {
      appendFileSync(`${process.env["AEGIS_HOME"]}/secrets.log`, `${JSON.stringify([name, Redacted.value(value)])}\n`)
      const version = (kept.get(name)?.version ?? 0) + 1
      const info = new SecretInfo({ name, version, createdAt: DateTime.unsafeMake("2026-02-19T10:30:00Z") })
      kept.set(name, info)
      return info
    })
  )

export const listSecrets = Effect.sync(() => [...kept.values()].sort((a, b) => (a.name < b.name ? -1 : 1)))

export const deleteSecret = (name: string) =>
  Effect.suspend(() => (kept.delete(name) ? Effect.void : Effect.fail(new SecretUnknown({ name }))))
