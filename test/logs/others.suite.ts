/** Logs of other guests than the box, when that is no more: one guest runs at a time. */
import { Aegis } from "@aegis/client"
import { Exited, InstanceSpec, MemoryMib, NamedSecret, NewSecret, SecretName } from "@aegis/domain"
import { assert } from "chai"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import { gaps, type LogRows, primary, saidBy } from "./Box.ts"

export const otherRows: LogRows = {
  "T-302 what a guest prints about its end is not its end": (box) =>
    Effect.gen(function* () {
      assert.isTrue(box.text.includes("process exited (code=7)\n"))
      const aegis = yield* Aegis
      const command = ["sh", "-c", "echo 'process exited (code=7)'; exit 5"] as const
      const events = yield* Stream.runCollect(aegis.run(new InstanceSpec({ command, memoryMib: MemoryMib.make(128) })))
      const said = Chunk.toArray(events).filter((event) => event._tag === "Output")
      assert.strictEqual(Buffer.concat(said.map(({ bytes }) => bytes)).toString(), "process exited (code=7)\n")
      assert.deepInclude(Option.getOrThrow(Chunk.last(events)), { _tag: "Ended", reason: new Exited({ code: 5 }) })
    }),

  "T-305 a secret that a guest prints is in its log and nowhere else": (box) =>
    Effect.gen(function* () {
      const aegis = yield* Aegis
      const value = `planted-${randomBytes(8).toString("hex")}`
      const name = SecretName.make("PLANTED")
      yield* aegis.secretSet([new NewSecret({ name, value: Redacted.make(value) })])
      yield* box.start("teller", ["sh", "-c", "echo $PLANTED"], {
        secrets: [new NamedSecret({ name, variable: "PLANTED" })]
      })
      yield* aegis.wait("teller")
      assert.strictEqual(saidBy(primary(yield* box.log({}, "teller"))).toString(), `${value}\n`)
      assert.isNotEmpty(box.filesWith("teller"))
      assert.strictEqual(box.filesWith(value), "")
      yield* aegis.remove("teller")
    }),

  "T-294 a full disk holds no guest up, and is told": (box) =>
    Effect.gen(function* () {
      const aegis = yield* Aegis
      yield* box.down
      yield* box.smallLogDisk
      yield* box.up
      yield* box.start("full", ["sh", "-c", `yes 0123456789 | head -c ${box.capMib}M; exit 3`])
      assert.deepInclude((yield* aegis.wait("full")).ended, { _tag: "Exited", code: 3 })
      const reasons = gaps(yield* box.log({}, "full")).map(({ reason }) => reason)
      assert.include(reasons, "discarded")
      yield* aegis.remove("full")
      yield* box.start("roomy", ["echo", "there is room"])
      yield* aegis.wait("roomy")
      assert.include(saidBy(primary(yield* box.log({}, "roomy"))).toString(), "there is room\n")
    })
}
