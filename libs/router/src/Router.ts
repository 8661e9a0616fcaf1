/**
 * The router: HTTP at one address for all instances, and the exposed ports of each (S-198 to S-203).
 */
import { ByRouter, type InstanceId, type PortBinding, type RouterState } from "@aegis/domain"
import { portHolder } from "@aegis/host"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as http from "node:http"
import * as net from "node:net"
import type { Duplex } from "node:stream"
import * as Carried from "./Carried.ts"
import { Destinations, type EndpointCount } from "./Destinations.ts"
import { exchange, type ExchangeEnd, type ExchangeOptions, join, upgrade } from "./Exchange.ts"
import { PortListeners } from "./PortListeners.ts"
import { exchangeRepeatable, isRepeatable } from "./Repeatable.ts"
import { answerOf, rawAnswer, type Refusal, refusal } from "./Refusal.ts"
import { isBackgroundOfAnotherOrigin, type Listener, offence, unfitUpgrade } from "./RequestRules.ts"
import { route, type Route } from "./Routing.ts"

/** A request's head must be there within this time, and its connection may be silent in the middle of a message for so long. */
const headersTimeout = 10_000
const stallTimeout = 60_000
const keepAliveTimeout = 5_000

const settings = Config.all({
  port: Config.integer("AEGIS_ROUTER_PORT").pipe(
    Config.validate({ message: "a port is 0 (any) to 65535", validation: (port) => port >= 0 && port <= 65_535 }),
    Config.withDefault(8099)
  ),
  answerSeconds: Config.number("AEGIS_ROUTER_ANSWER_SECONDS").pipe(Config.withDefault(300)),
  origins: Config.array(Config.nonEmptyString(), "AEGIS_ROUTER_ORIGINS").pipe(Config.withDefault([]))
})

/** Which instance a connection is for, where its port says so. */
interface Entrance extends Listener {
  readonly owner?: { readonly id: InstanceId; readonly binding: PortBinding }
}

export class Router extends Context.Tag("@aegis/router/Router")<
  Router,
  {
    readonly state: RouterState
  }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const destinations = yield* Destinations
  const listeners = yield* PortListeners
  const { answerSeconds, origins: named, port: wanted } = yield* Effect.orDie(settings)
  const origins = new Set(named)
  const fork = yield* FiberSet.makeRuntime<never>()
  /** Ends with the client; one that has only ended its side waits for its answer. */
  const whileOpen = (client: net.Socket, work: Effect.Effect<void>) => {
    if (client.destroyed) return
    const fiber = fork(work)
    const cut = () => fiber.unsafeInterruptAsFork(FiberId.none)
    client.once("close", cut)
    fiber.addObserver(() => client.off("close", cut))
  }
  const entrances = new WeakMap<net.Socket, Entrance>()
  const carried = yield* Carried.make

  const chosen = (request: http.IncomingMessage, entrance: Entrance): Effect.Effect<Route, Refusal> => {
    const offends = offence(request, entrance)
    if (offends !== undefined) return Effect.fail(offends)
    const { owner } = entrance
    if (owner === undefined) return route(request, destinations)
    const { binding, id } = owner
    const destination = { id, name: id, state: "running" as const, port: binding.guest }
    return Effect.succeed({ destination, path: request.url ?? "/", prefix: "" })
  }

  /** Serves a request from its head to the end of its exchange, or refuses it; `mayShare` a tunnel that is kept. */
  const serve = (
    request: http.IncomingMessage,
    refuse: (refusal: Refusal) => void,
    work: (options: ExchangeOptions) => void,
    mayShare: boolean
  ) => {
    const { socket } = request
    const entrance = entrances.get(socket)
    if (entrance === undefined) return void socket.destroy()
    const settled = (serving: Effect.Effect<void, Refusal>) =>
      whileOpen(
        socket,
        serving.pipe(
          Effect.catchAll((refused) => Effect.sync(() => refuse(refused))),
          Effect.catchAllDefect((defect) => Effect.logError("the router failed with a defect", defect))
        )
      )
    const to = (route: Route): Effect.Effect<void, Refusal> => {
      const { id, port } = route.destination
      const count = (what: EndpointCount) => destinations.count(id, port, what)
      const failed = (refused: Refusal) => {
        count({ errors: 1 })
        refuse(refused)
      }
      let requests = 1
      /** Counted once, whatever becomes of it; the instance is known when something has been tried. */
      const countIt = (what: EndpointCount) => {
        count({ ...what, requests })
        requests = 0
      }
      const over = (tunnel: Duplex, reused: boolean, done: (end: ExchangeEnd) => void) => {
        countIt({})
        work({ route, tunnel, reused, failed, patience: answerSeconds * 1000, done })
      }
      const fresh = Effect.suspend(() => {
        carried.begin(socket, count)
        const mayWake = !isBackgroundOfAnotherOrigin(request, entrance)
        return destinations.connect(id, port, new ByRouter({ port }), { mayWake })
      }).pipe(
        Effect.mapError(({ _tag, message, remedy }) => refusal(statuses[_tag] ?? 503, _tag, message, remedy)),
        Effect.tapError(() => Effect.sync(() => countIt({ errors: 1 }))),
        Effect.flatMap(({ keep, tunnel }) =>
          Effect.map(
            Effect.async<ExchangeEnd>((resume) => over(tunnel, false, (end) => resume(Effect.succeed(end)))),
            (end) => (end === "whole" ? keep() : undefined)
          )
        ),
        Effect.scoped,
        Effect.ensuring(Effect.sync(() => carried.end(socket)))
      )
      const kept = mayShare ? destinations.reuse(id, port) : undefined
      if (kept === undefined) return fresh
      // Most requests go this way, and nothing of it needs a fiber that waits.
      return Effect.sync(() => {
        carried.begin(socket, count)
        over(kept.tunnel, true, (end) => {
          kept.end(end === "whole")
          carried.end(socket)
          if (end === "stale") settled(fresh)
        })
      })
    }
    settled(Effect.flatMap(chosen(request, entrance), to))
  }

  const onRequest = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const refuse = (refused: Refusal) => {
      if (response.headersSent || response.destroyed) return
      const { body, headers } = answerOf(refused, request)
      // What follows an unread body would be read as another request.
      response.writeHead(refused.status, [...headers, "Connection", "close"]).end(body)
    }
    const repeatable = isRepeatable(request)
    const passOn = repeatable ? exchangeRepeatable : exchange
    serve(request, refuse, (options) => passOn(request, response, options), repeatable)
  }

  const server = http.createServer({
    headersTimeout,
    requestTimeout: 0,
    keepAliveTimeout,
    connectionsCheckingInterval: 2_000,
    insecureHTTPParser: false
  })
  server.maxHeadersCount = 0
  server.on("request", onRequest)
  server.on("checkContinue", onRequest)
  server.on("upgrade", (request, socket: net.Socket, head: Buffer) => {
    socket.on("error", () => undefined)
    const refuse = (refused: Refusal) => void socket.end(rawAnswer(refused, request))
    const unfit = unfitUpgrade(request)
    if (unfit !== undefined) return refuse(unfit)
    serve(request, refuse, (options) => upgrade(request, socket, head, options), false)
  })
  server.on("connect", (request, socket: net.Socket) => {
    socket.on("error", () => undefined)
    socket.end(rawAnswer(refusal(405, "MethodNotAllowed", "CONNECT is not served here", "use another method"), request))
  })
  server.on("clientError", (error: NodeJS.ErrnoException, socket: net.Socket) => {
    if (socket.writable && error.code !== "ECONNRESET") socket.write(rawAnswer(unreadable(error.code ?? "")))
    socket.destroySoon()
  })
  // It never listens itself: connections are handed to it. Its watch over slow heads begins with this event alone.
  server.emit("listening")
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
  )

  const takeHttp = (connection: net.Socket, entrance: Entrance) => {
    entrances.set(connection, entrance)
    server.emit("connection", connection)
    watchStalls(connection)
  }

  const takeTcp = (connection: net.Socket, id: InstanceId, port: number) => {
    connection.on("error", () => undefined)
    const count = (what: EndpointCount) => destinations.count(id, port, what)
    const work = Effect.gen(function* () {
      carried.begin(connection, count)
      const { tunnel } = yield* destinations
        .connect(id, port, new ByRouter({ port }), { client: connection })
        .pipe(Effect.tapError(() => Effect.sync(() => count({ errors: 1 }))))
      yield* Effect.async<void>((resume) => join(connection, tunnel, () => resume(Effect.void)))
    }).pipe(
      Effect.scoped,
      // There is no way to say why: a reset tells it from an end.
      Effect.catchAll(({ message }) =>
        Effect.zipRight(
          Effect.logInfo(`a connection to port ${port} of ${id}: ${message}`),
          Effect.sync(() => connection.resetAndDestroy())
        )
      ),
      Effect.onInterrupt(() => Effect.sync(() => connection.destroy())),
      Effect.ensuring(Effect.sync(() => carried.end(connection)))
    )
    whileOpen(connection, work)
  }

  yield* listeners.serve((connection, id, binding) =>
    binding.protocol === "http"
      ? takeHttp(connection, { port: binding.host, origins, owner: { id, binding } })
      : takeTcp(connection, id, binding.guest)
  )

  const listening = yield* Effect.either(
    Effect.acquireRelease(
      Effect.async<net.Server, NodeJS.ErrnoException>((resume) => {
        const front = net.createServer({ allowHalfOpen: true, noDelay: true }, (connection) =>
          takeHttp(connection, { port: portOf(front), origins })
        )
        front.maxConnections = 10_000
        front.once("error", (error) => resume(Effect.fail(error)))
        front.listen({ host: "127.0.0.1", port: wanted }, () => resume(Effect.succeed(front)))
      }),
      (front) => Effect.sync(() => front.close())
    ).pipe(
      Effect.catchAll(({ code, message }) =>
        Effect.flatMap(code === "EADDRINUSE" ? portHolder(wanted) : Effect.succeedNone, (holder) =>
          Effect.fail(
            Option.match(holder, { onNone: () => message, onSome: (who) => `port ${wanted} is held by ${who}` })
          )
        )
      ),
      Effect.tapError((reason) => Effect.logWarning(`the router is not there: ${reason}; ${otherPort}`))
    )
  )
  return Router.of({
    state: Either.match(listening, {
      onLeft: (reason): RouterState => ({ _tag: "RouterDown", reason, remedy: otherPort }),
      onRight: (front): RouterState => ({ _tag: "RouterServing", address: `http://127.0.0.1:${portOf(front)}` })
    })
  })
})

const otherPort = "AEGIS_ROUTER_PORT names another port: aegis down && AEGIS_ROUTER_PORT=8199 aegis up"

const portOf = (server: net.Server) => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** Cuts a connection off on which a message has stood still for too long; one that is quiet between two messages may wait (T-165, T-180). */
const watchStalls = (connection: net.Socket) => {
  let written = 0
  const look = setInterval(() => {
    const stuck = connection.writableLength > 0 && connection.bytesWritten - connection.writableLength === written
    written = connection.bytesWritten - connection.writableLength
    if (stuck) connection.destroy()
  }, stallTimeout).unref()
  connection.once("close", () => clearInterval(look))
}

const statuses: Readonly<Record<string, number>> = { NotFound: 404, PortSilent: 502, StateConflict: 403 }

const unreadable = (code: string): Refusal => {
  if (code === "HPE_HEADER_OVERFLOW")
    return refusal(431, "HeadersTooLarge", "the head is too large", "send fewer headers")
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return refusal(408, "RequestTimeout", "the request did not come", "send it at once")
  return refusal(
    400,
    "InvalidRequest",
    `this is no HTTP/1.1 request (${code})`,
    "a port for other protocols is exposed with :tcp"
  )
}
