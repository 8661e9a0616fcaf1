/**
 * The program `aegis-mcp`: an MCP server on standard input and output. It ends with its standard input, and with it the calls that
 * run.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Logger from "effect/Logger"
import { makeServer, type Run } from "./Server.ts"

const serve = Effect.gen(function* () {
  const closed = yield* Deferred.make<void>()
  const close = () => Deferred.unsafeDone(closed, Effect.void)
  process.stdin.once("end", close)
  process.stdin.once("close", close)
  process.stdout.once("error", close)
  const fork = yield* FiberSet.makeRuntime<never>()
  const run: Run = (effect, { signal }) =>
    new Promise((resolve, reject) => {
      const fiber = fork(effect)
      fiber.addObserver(Exit.match({ onSuccess: resolve, onFailure: (cause) => reject(Cause.squash(cause)) }))
      signal.addEventListener("abort", () => fiber.unsafeInterruptAsFork(FiberId.none), { once: true })
    })
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => makeServer(run)),
    (server) => Effect.promise(() => server.close())
  )
  // What is no message is the client's error, and no reason to leave.
  server.onerror = (error) => process.stderr.write(`aegis-mcp: ${error.message.slice(0, 500)}\n`)
  yield* Effect.promise(() => server.connect(new StdioServerTransport()))
  yield* Deferred.await(closed)
})

const say = (text: string) => Effect.sync(() => process.stderr.write(`aegis-mcp: ${text}\n`))

// Standard output belongs to the protocol.
const stderrLogger = Logger.withConsoleError(Logger.logfmtLogger)

const program = Effect.scoped(serve).pipe(
  Effect.tapErrorCause((cause) => say(Cause.pretty(cause))),
  Effect.provide(Logger.replace(Logger.defaultLogger, stderrLogger))
)

NodeRuntime.runMain(program, { disablePrettyLogger: true, disableErrorReporting: true })
