/** What a guest has said at first, byte for byte, and the words of others beside it. Each row goes on where the one before has left the guest. */
import { Aegis } from "@aegis/client"
import { ExecSpec } from "@aegis/domain"
import { assert } from "chai"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type LogRows, primary, saidBy, seqOf, textOf, until } from "./Box.ts"

export const saidRows: LogRows = {
  "S-161 what is said from the start on is there, whoever looks when": (box) =>
    Effect.sync(() => {
      assert.deepInclude(box.first[0], { seq: 1, source: "system", bytes: new TextEncoder().encode("starting") })
      assert.strictEqual(saidBy(primary(box.first).slice(0, 1)).toString(), "first\n")
    }),

  "T-285 a line of megabytes comes in pieces and is whole": (box) =>
    Effect.sync(() => {
      const pieces = primary(box.first).filter((entry) => textOf(entry).startsWith("xxx"))
      assert.isTrue(pieces.every(({ bytes }) => bytes.length <= 65_536))
      assert.isAbove(pieces.length, box.longLine / 80_000)
      assert.isTrue(box.text.includes(`\n${"x".repeat(box.longLine)}end\n`))
    }),

  "T-286 a line without an end is there all the same": (box) =>
    Effect.sync(() => {
      assert.isTrue(box.text.includes("no end\n"))
      assert.deepStrictEqual(
        box.first.flatMap((entry) => (entry._tag === "Line" && textOf(entry) === "no end" ? [entry.partial] : [])),
        [true]
      )
    }),

  "T-287 each byte comes back as it was": (box) =>
    Effect.sync(() => {
      const all = Buffer.from(Array.from({ length: 1024 }, (_, at) => at % 256))
      assert.isTrue(box.text.includes(Buffer.concat([all, Buffer.from("\n")])))
    }),

  "T-300 tail and since: none, more than there is, the future": (box) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* box.log({ tail: 0 }), [])
      assert.strictEqual((yield* box.log({ tail: 99_999_999 })).length, box.first.length)
      assert.deepStrictEqual(yield* box.log({ since: DateTime.unsafeMake("2099-01-01T00:00:00Z") }), [])
    }),

  "T-301 the lines of two processes keep the order of each, and each entry has its number": (box) =>
    Effect.sync(() => {
      for (const name of ["p", "q"]) {
        assert.deepStrictEqual(
          box.text
            .toString("latin1")
            .split("\n")
            .filter((line) => line.startsWith(`${name} `)),
          Array.from({ length: 200 }, (_, at) => `${name} ${at}`)
        )
      }
      assert.deepStrictEqual(
        box.first.map(seqOf),
        Array.from(box.first, (_, at) => at + 1)
      )
    }),

  "T-303 a guest's words do not choose their source": (box) =>
    Effect.sync(() => {
      const sources = box.first.flatMap((entry) =>
        entry._tag === "Line" && textOf(entry) === "[exec] not an exec" ? [entry.source] : []
      )
      assert.deepStrictEqual(sources, ["primary"])
    }),

  "T-306 exec: the output of a command whose client is gone holds nothing up": (box) =>
    Effect.gen(function* () {
      const client = box.program("exec", "box", "--", "yes", "endless")
      let bytes = 0
      client.stdout.on("data", (piece: Buffer) => (bytes += piece.length))
      yield* until(
        "a megabyte has come",
        Effect.sync(() => bytes),
        (come) => come > 1_000_000
      )
      client.kill("SIGKILL")
      const names = new ExecSpec({ command: ["sh", "-c", "cat /proc/[0-9]*/comm; true"] })
      const running = Effect.flatMap(Aegis, (aegis) =>
        Stream.runFold(aegis.exec("box", names), "", (said, event) =>
          event._tag === "Output" ? said + Buffer.from(event.bytes).toString() : said
        )
      )
      yield* until("its end", running, (said) => !said.split("\n").includes("yes"))
    })
}
