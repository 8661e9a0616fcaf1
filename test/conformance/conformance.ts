import { describe, it } from "@effect/vitest"
import { conformanceCases, type ConformanceOptions } from "./suite.ts"

/** Registers the suite's cases with vitest. */
export const conformance = (name: string, options: ConformanceOptions) =>
  describe(`VmBackend conformance: ${name}`, () => {
    for (const { body, title } of conformanceCases(options)) it.scopedLive(title, () => body, 20_000 * options.patience)
  })
