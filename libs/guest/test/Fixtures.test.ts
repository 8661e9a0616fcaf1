/** The harness's own fixtures: what the Go tests hold for PID 1, these hold for the host. */
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import {
  acknowledgement,
  Booted,
  BootMessage,
  ExecMessage,
  Execs,
  ExitEvent,
  type Frame,
  FrameDecoder,
  HarnessError,
  Health
} from "../src/index.ts"

const root = path.resolve(import.meta.dirname, "../../../guest-harness/testdata/protocol")

const fixtures = <A, I>(folder: string, schema: Schema.Schema<A, I>) =>
  readdirSync(path.join(root, folder)).map((name) => ({
    name,
    ...Schema.decodeUnknownSync(Schema.parseJson(schema))(readFileSync(path.join(root, folder, name), "utf8"))
  }))

const Verdict = Schema.Literal("valid", "invalid")

const FrameFixture = Schema.Struct({
  title: Schema.String,
  verdict: Verdict,
  hex: Schema.String,
  frames: Schema.optional(
    Schema.Array(
      Schema.Struct({
        type: Schema.Int,
        seq: Schema.String,
        payloadHex: Schema.String,
        event: Schema.optional(Schema.Unknown)
      })
    )
  )
})

const typeOf = (frame: Frame) => (frame._tag === "Exit" ? 3 : frame.stream === "stdout" ? 1 : 2)

describe("frames", () => {
  it.each(fixtures("frames", FrameFixture))("$name: $title", ({ frames: expected = [], hex, verdict }) => {
    const bytes = Buffer.from(hex, "hex")
    const decoded = new FrameDecoder(0n).push(bytes)
    const wanted = expected.map(({ event, payloadHex, seq, type }) =>
      type === 3 ? { type, seq, event } : { type, seq, payloadHex }
    )
    const got = Either.getOrElse(decoded, () => []).map((frame) =>
      frame._tag === "Exit"
        ? { type: 3, seq: `${frame.seq}`, event: frame.event }
        : { type: typeOf(frame), seq: `${frame.seq}`, payloadHex: Buffer.from(frame.bytes).toString("hex") }
    )
    if (verdict === "valid") {
      assert.deepStrictEqual(got, wanted)
      return
    }
    // Refused, or cut inside a frame: then what was decoded does not account for all the bytes.
    const accounted = Either.getOrElse(decoded, () => []).reduce(
      (sum, frame) => sum + 16 + (frame._tag === "Exit" ? JSON.stringify(frame.event).length : frame.bytes.length),
      0
    )
    assert.isTrue(Either.isLeft(decoded) || accounted < bytes.length)
  })
})

describe("acknowledgements", () => {
  const AckFixture = Schema.Struct({
    title: Schema.String,
    verdict: Verdict,
    hex: Schema.String,
    acks: Schema.Array(Schema.String)
  })
  it.each(fixtures("acks", AckFixture))("$name: $title", ({ acks, hex, verdict }) => {
    const written = Buffer.concat(acks.map((number) => acknowledgement(BigInt(number)))).toString("hex")
    if (verdict === "valid") assert.strictEqual(written, hex)
    else assert.isTrue(hex.startsWith(written))
  })
})

describe("bodies", () => {
  const BodyFixture = Schema.Struct({
    title: Schema.String,
    message: Schema.String,
    verdict: Verdict,
    body: Schema.String
  })
  const all = fixtures("bodies", BodyFixture)
  const decodes = (schema: Schema.Schema.AnyNoContext, body: string) =>
    Either.isRight(Schema.decodeUnknownEither(Schema.parseJson(schema), { onExcessProperty: "error" })(body))

  const read = { health: Health, booted: Booted, execs: Execs, error: HarnessError, exit: ExitEvent }
  for (const [message, schema] of Object.entries(read)) {
    it.each(all.filter((fixture) => fixture.message === message))(`${message} $name: $title`, ({ body, verdict }) => {
      assert.strictEqual(decodes(schema, body), verdict === "valid")
    })
  }

  const written = { boot: BootMessage, exec: ExecMessage }
  for (const [message, schema] of Object.entries(written)) {
    it.each(all.filter((fixture) => fixture.message === message && fixture.verdict === "valid"))(
      `what the harness takes as a message ${message} is one of ours: $name`,
      ({ body }) => {
        assert.isTrue(decodes(schema, body))
      }
    )
  }
})
