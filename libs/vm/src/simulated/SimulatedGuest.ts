/**
 * A scripted guest that speaks the real harness protocol (`docs/HARNESS_PROTOCOL.md`) over a socket.
 */
import { type Activity, answerHello, BootMessage, type ExitEvent, type HarnessError } from "@aegis/guest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as http2 from "node:http2"
import type { Duplex } from "node:stream"
import { EventRing } from "./EventRing.ts"
import { SimulatedPorts } from "./SimulatedPorts.ts"

/** What a scripted program may do. */
export interface SimulatedProcess {
  readonly argv: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** Waits while the host has not taken what was written before (1 MiB), as a real pipe does. */
  readonly write: (stream: "stdout" | "stderr", bytes: Uint8Array | string) => Effect.Effect<void>
  /** The next piece of standard input; none at its end. */
  readonly read: Effect.Effect<Option.Option<Uint8Array>>
  /** Never succeeds before the host has sent a signal; gives its number. */
  readonly signal: Effect.Effect<number>
  /** The host has taken everything that was written. */
  readonly flushed: Effect.Effect<void>
  /** Serves connections to this port of the guest from now on. */
  readonly listen: (port: number, serve: (connection: Duplex) => void) => Effect.Effect<void>
  /** The VM's process dies here and now. */
  readonly crash: Effect.Effect<never>
  /** Sends bytes that are not of the protocol. */
  readonly garble: (bytes: Uint8Array) => Effect.Effect<void>
}

/** A program by its argv: none is "not found"; an exit code, or a signal's number as `{ signal }`. */
export type SimulatedPrograms = (
  argv: ReadonlyArray<string>
) => Option.Option<(process: SimulatedProcess) => Effect.Effect<number | { readonly signal: number }>>

/** As `GET /activity` counts it. */
export type SimulatedWork = Pick<Activity, "cpuMs" | "networkBytes">

/** Serves the harness's side of `stream` with programs that run on the caller's runtime and clock. */
export const serveGuest = (
  stream: Duplex,
  programs: SimulatedPrograms,
  die: Effect.Effect<void>,
  work: Effect.Effect<SimulatedWork>
): Effect.Effect<void, never, never> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const fork = Runtime.runFork(runtime)
    const guest = new SimulatedGuest(programs, die, work, fork)
    const server = http2.createServer()
    server.on("stream", (request, headers) =>
      fork(guest.answer(request, headers[":method"] ?? "", headers[":path"] ?? headers[":authority"] ?? ""))
    )
    server.on("sessionError", () => undefined)
    fork(Effect.ignore(Effect.andThen(answerHello(stream), () => server.emit("connection", stream))))
  })

const decodeBoot = Schema.decodeUnknown(Schema.parseJson(BootMessage), { onExcessProperty: "error" })

class SimulatedGuest {
  #state: "waiting" | "running" | "exited" = "waiting"
  readonly #ring = new EventRing()
  readonly #ports = new SimulatedPorts()
  readonly #stdin: Array<Uint8Array | null> = []
  #wakeReader: (() => void) | undefined
  #signalled: number | undefined
  #wakeSignal: ((signal: number) => void) | undefined
  #program: Fiber.RuntimeFiber<void> | undefined

  readonly programs: SimulatedPrograms
  readonly die: Effect.Effect<void>
  readonly work: Effect.Effect<SimulatedWork>
  readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.RuntimeFiber<A>

  constructor(
    programs: SimulatedPrograms,
    die: Effect.Effect<void>,
    work: Effect.Effect<SimulatedWork>,
    fork: <A>(effect: Effect.Effect<A>) => Fiber.RuntimeFiber<A>
  ) {
    this.programs = programs
    this.die = die
    this.work = work
    this.fork = fork
  }

  answer(stream: http2.ServerHttp2Stream, method: string, path: string): Effect.Effect<void> {
    stream.on("error", () => undefined)
    if (method === "CONNECT") {
      return this.#ports.connect(stream, path)
        ? Effect.void
        : refuse(stream, 502, "connect-refused", `nobody listens on ${path}`)
    }
    const [route, query] = path.split("?")
    switch (`${method} ${route}`) {
      case "GET /health":
        return reply(stream, 200, {
          protocol: 1,
          harness: "simulated",
          kernel: "simulated",
          state: this.#state,
          uptimeMs: 0
        })
      case "GET /activity":
        return Effect.flatMap(this.work, (work) => reply(stream, 200, { ...work, tunnels: 0 }))
      case "POST /boot":
        return Effect.flatMap(bodyOf(stream), (body) => this.#boot(stream, body))
      case "POST /events":
        return Effect.sync(() => this.#ring.serve(stream, BigInt(query?.replace("after=", "") ?? "0")))
      case "POST /stdin":
        return Effect.sync(() => this.#feed(stream))
      case "POST /signal":
        return Effect.flatMap(bodyOf(stream), (body) => {
          this.#deliver(Number(/\d+/.exec(body)?.[0]))
          return reply(stream, 204)
        })
      case "POST /clock":
        return Effect.zipRight(bodyOf(stream), reply(stream, 204))
      case "POST /shutdown":
        return reply(stream, 202).pipe(Effect.zipRight(this.#shutdown()))
      default:
        return refuse(stream, 404, "not-found", `no route ${method} ${route}`)
    }
  }

  #boot(stream: http2.ServerHttp2Stream, body: string): Effect.Effect<void> {
    return decodeBoot(body).pipe(
      Effect.matchEffect({
        onFailure: ({ message }) => refuse(stream, 400, "bad-request", message),
        onSuccess: ({ argv, env, stdin }) => {
          if (this.#state !== "waiting") return refuse(stream, 409, "state", "booted before")
          this.#state = "running"
          if (stdin === "null") this.#stdin.push(null)
          return Option.match(this.programs(argv), {
            onNone: () => refuse(stream, 422, "spawn-not-found", `${argv[0]}: not found`),
            onSome: (program) => {
              return Effect.map(reply(stream, 200, { pid: 2 }), () => {
                this.#program = this.fork(this.#run(program(this.#process(argv, Redacted.value(env)))))
              })
            }
          })
        }
      })
    )
  }

  #run(program: Effect.Effect<number | { readonly signal: number }>): Effect.Effect<void> {
    return program.pipe(
      Effect.map((end): ExitEvent => ({ type: "exit", ...(typeof end === "number" ? { code: end } : end) })),
      Effect.catchAllCause((cause): Effect.Effect<ExitEvent> =>
        Cause.isInterruptedOnly(cause) ? Effect.succeed({ type: "exit", signal: 9 }) : Effect.failCause(cause)
      ),
      Effect.map((event) => {
        this.#state = "exited"
        this.#ring.end(event)
      })
    )
  }

  #process(argv: ReadonlyArray<string>, env: Readonly<Record<string, string>>): SimulatedProcess {
    return {
      argv,
      env,
      write: (stream, bytes) => this.#ring.write(stream, typeof bytes === "string" ? Buffer.from(bytes) : bytes),
      read: Effect.async((resume) => {
        const take = () => {
          const next = this.#stdin[0]
          if (next === undefined) this.#wakeReader = take
          else if (next === null) resume(Effect.succeedNone)
          else {
            this.#stdin.shift()
            resume(Effect.succeedSome(next))
          }
        }
        take()
      }),
      signal: Effect.async((resume) => {
        if (this.#signalled !== undefined) return resume(Effect.succeed(this.#signalled))
        this.#wakeSignal = (signal) => resume(Effect.succeed(signal))
      }),
      flushed: Effect.suspend(() => this.#ring.drained),
      listen: (port, serve) => Effect.sync(() => this.#ports.listen(port, serve)),
      crash: Effect.zipRight(this.die, Effect.never),
      garble: (bytes) => Effect.sync(() => this.#ring.garble(bytes))
    }
  }

  #feed(stream: http2.ServerHttp2Stream) {
    const push = (piece: Uint8Array | null) => {
      this.#stdin.push(piece)
      const wake = this.#wakeReader
      this.#wakeReader = undefined
      wake?.()
    }
    stream.on("data", push)
    stream.on("end", () => {
      push(null)
      stream.respond({ ":status": 204 }, { endStream: true })
    })
  }

  #deliver(signal: number) {
    this.#signalled = signal
    this.#wakeSignal?.(signal)
  }

  /** SIGTERM; a program that listens for signals may end by itself, any other is ended at once. Then the machine reboots. */
  #shutdown(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const program = this.#program
      const listens = this.#wakeSignal !== undefined
      this.#deliver(15)
      const ended = program === undefined ? Effect.void : listens ? Fiber.await(program) : Fiber.interrupt(program)
      return ended.pipe(Effect.zipRight(this.#ring.drained), Effect.zipRight(this.die))
    })
  }
}

const bodyOf = (stream: http2.ServerHttp2Stream) =>
  Effect.async<string>((resume) => {
    let text = ""
    stream.setEncoding("utf8")
    stream.on("data", (piece: string) => {
      text += piece
    })
    stream.on("end", () => resume(Effect.succeed(text)))
  })

const reply = (stream: http2.ServerHttp2Stream, status: number, body?: unknown) =>
  Effect.sync(() => {
    if (stream.destroyed) return
    stream.respond({ ":status": status }, { endStream: body === undefined })
    if (body !== undefined) stream.end(JSON.stringify(body))
  })

const refuse = (stream: http2.ServerHttp2Stream, status: number, code: HarnessError["code"], message: string) =>
  reply(stream, status, { code, message })
