/**
 * `aegis rootfs list`: S-190, S-194.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { rootfsVariants } from "@aegis/domain"
import { activeRootfs, type RootfsRecord } from "../BaseRootfs.ts"
import { escapeLine } from "../Escape.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

interface Row {
  readonly variant: string
  readonly active: boolean
  readonly about: string
  readonly record: RootfsRecord | undefined
}

/** The variants that can be made, and the active one even where it is none of them. */
export const rootfsRows = (active: Option.Option<RootfsRecord>): ReadonlyArray<Row> => {
  const record = Option.getOrUndefined(active)
  const known = rootfsVariants.map(({ about, image, name }): Row => {
    const active = record?.variant === name
    return {
      variant: name,
      active,
      about: image === undefined ? about : `${about} (${image})`,
      record: active ? record : undefined
    }
  })
  return record === undefined || known.some(({ active }) => active)
    ? known
    : [...known, { variant: record.variant, active: true, about: record.source, record }]
}

const table = (rows: ReadonlyArray<Row>) =>
  [
    `  ${"VARIANT".padEnd(15)} ABOUT`,
    ...rows.map((row) => `${row.active ? "*" : " "} ${escapeLine(row.variant).padEnd(15)} ${escapeLine(row.about)}`),
    "",
    rows.some((row) => row.active) ? "* is active." : "None is made yet: aegis up does it."
  ].join("\n")

export const rootfsList = Command.make("list", { json: Options.boolean("json") }, ({ json }) =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const rows = rootfsRows(yield* activeRootfs)
    const document = rows.map(({ about, active, record, variant: name }) => ({
      variant: name,
      active,
      about,
      source: record?.source ?? null,
      digest: record?.digest ?? null,
      bytes: record?.bytes ?? null
    }))
    yield* stdio.print(json ? jsonDocument(document) : `${table(rows)}\n`)
  }).pipe(untilSignal)
)
