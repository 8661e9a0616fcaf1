/**
 * An HTTP service that runs the code of each request in a microVM of its own: POST /python with a program as its body. A client that goes
 * away takes its machine with it.
 */
import { Aegis, type EndReason, InstanceSpec, MemoryMib } from "@aegis/client"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const machinesAtOnce = 4
const longestProgram = 64 * 1024
const longestOutput = 256 * 1024
const longestRun = "60 seconds"

class RanTooLong extends Data.TaggedError("RanTooLong") {
  override get message() {
    return `it ran for more than ${longestRun}`
  }
}

/** Runs a program and gives its output, cut where it is too long, and how it ended. */
const python = (program: string) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const spec = new InstanceSpec({ command: ["python3", "-c", program], memoryMib: MemoryMib.make(256) })
    let output = ""
    let ended: EndReason | undefined
    yield* Stream.runForEach(aegis.run(spec), (event) =>
      Effect.sync(() => {
        if (event._tag === "Output" && output.length < longestOutput) output += Buffer.from(event.bytes).toString()
        if (event._tag === "Ended") ended = event.reason
      })
    )
    return { output: output.slice(0, longestOutput), ended }
  })

/** The service, for any HTTP server of Effect; it needs `Aegis`: the runtime in this process, or the client of a daemon. */
export const sandboxService = Effect.map(Effect.makeSemaphore(machinesAtOnce), (machines) =>
  HttpRouter.empty.pipe(
    HttpRouter.post(
      "/python",
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const program = yield* request.text
        if (program.length > longestProgram) return HttpServerResponse.text("the program is too long", { status: 413 })
        const result = yield* machines.withPermits(1)(python(program))
        return HttpServerResponse.unsafeJson(result)
      }).pipe(
        Effect.timeoutFail({ duration: longestRun, onTimeout: () => new RanTooLong() }),
        Effect.catchAll(({ _tag, message }) => HttpServerResponse.json({ error: _tag, message }, { status: 502 }))
      )
    )
  )
)
