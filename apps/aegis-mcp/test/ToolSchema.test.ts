import { assert, describe, it } from "@effect/vitest"
import { tools } from "../src/Tools.ts"

/** A JSON document's objects, from the outermost on. */
const objects = (value: unknown): ReadonlyArray<Record<string, unknown>> =>
  typeof value !== "object" || value === null
    ? []
    : [Object.fromEntries(Object.entries(value)), ...Object.values(value).flatMap(objects)]

describe("what clients are shown of the tools", () => {
  it("S-189 each argument is described; nothing stands elsewhere or has a filter's name", () => {
    for (const { inputSchema, name: tool, outputSchema } of tools) {
      const { properties = {} } = inputSchema as { properties?: Record<string, { description?: string }> }
      for (const [name, { description = "" }] of Object.entries(properties)) {
        assert.match(description, /^[A-Z].*\.$/s, `${tool}: ${name}`)
      }
      for (const { $defs, $id, $ref, title } of objects([inputSchema, outputSchema])) {
        if (typeof title === "string") assert.notMatch(title, /\(/)
        assert.deepStrictEqual([$ref, $defs, $id], [undefined, undefined, undefined])
      }
    }
  })
})
