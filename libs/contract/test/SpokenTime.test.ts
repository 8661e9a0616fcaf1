import { SpokenDuration, SpokenGrace, SpokenSince } from "../src/SpokenTime.ts"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"

const refuses = <A>(schema: Schema.Schema<A, string>, texts: ReadonlyArray<string>) =>
  Effect.forEach(texts, (text) =>
    Effect.map(Effect.either(Schema.decode(schema)(text)), (result) => assert.strictEqual(result._tag, "Left", text))
  )

describe("times as people type them", () => {
  it.effect("D-07 S-139 durations take s, m, h and d", () =>
    Effect.gen(function* () {
      for (const [text, seconds] of [
        ["90s", 90],
        ["30m", 1800],
        ["12h", 43_200],
        ["7d", 604_800],
        ["0d", 0],
        ["0h", 0],
        ["36500d", 3_153_600_000]
      ] as const) {
        assert.strictEqual(Duration.toSeconds(yield* Schema.decode(SpokenDuration)(text)), seconds)
      }
    })
  )

  it.effect("T-20 S-141 anything else is no duration", () =>
    refuses(SpokenDuration, [
      ...["7", "-1d", "1e9d", "7 d", " 7d", "7d ", "d", "", "99999999999d", "36501d", "1.5h", "7D", "1h30m", "7w", "٧d"]
    ])
  )

  it.effect("a stop's timeout is seconds or a duration, of at most an hour", () =>
    Effect.gen(function* () {
      for (const [text, seconds] of [
        ["0", 0],
        ["30", 30],
        ["30s", 30],
        ["5m", 300],
        ["1h", 3600]
      ] as const) {
        assert.strictEqual(Duration.toSeconds(yield* Schema.decode(SpokenGrace)(text)), seconds)
      }
      yield* refuses(SpokenGrace, ["-1", "3601", "2h", "1d", "1.5", "s", "", "1e2", "0x10"])
    })
  )

  it.effect("a moment is so long ago, or RFC 3339 with an offset", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 1, 19, 10, 30))
      const moment = (text: string) => Effect.map(Schema.decode(SpokenSince)(text), DateTime.formatIso)
      assert.strictEqual(yield* moment("10m"), "2026-02-19T10:20:00.000Z")
      assert.strictEqual(yield* moment("2026-02-19T10:30:00Z"), "2026-02-19T10:30:00.000Z")
      assert.strictEqual(yield* moment("2026-02-19t12:30:00.5+02:00"), "2026-02-19T10:30:00.500Z")
      assert.strictEqual(yield* moment("2024-02-29T00:00:00Z"), "2024-02-29T00:00:00.000Z")
      yield* refuses(SpokenSince, [
        ...[
          "",
          "now",
          "yesterday",
          "2026-02-19",
          "2026-02-19T10:30:00",
          "2026-02-19 10:30:00Z",
          "2026-02-30T00:00:00Z"
        ],
        ...["2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z", "2026-02-19T25:00:00Z", "1739893456", "-10m"]
      ])
    })
  )
})
