/** A router in front of real servers of this machine: a tunnel is a TCP connection. */
import { Exposure, InstanceId, routerAddress } from "@aegis/domain"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as http from "node:http"
import * as net from "node:net"
import { type Destination, Destinations, IdleTunnels, PortListeners, Router } from "../src/index.ts"

export interface Backend {
  readonly name: string
  readonly port: number
  readonly state?: Destination["state"]
}

const idOf = (index: number) => InstanceId.make(`inst-${index + 1}`)

/** A router for these; `woken` has the names of those that a connection was made for, `open` those that are open. */
export const house = (backends: ReadonlyArray<Backend>, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const woken: Array<string> = []
    const counted = new Map<string, number>()
    let open = 0
    const idle = yield* IdleTunnels.make
    const all = backends.map(({ name, port, state = "running" }, index): Destination => ({
      id: idOf(index),
      name,
      state,
      port
    }))
    const destinations = Layer.succeed(Destinations, {
      find: (target) =>
        Effect.succeed(Option.fromNullable(all.find(({ id, name }) => name === target || id === target))),
      all: Effect.succeed(all),
      count: (_, __, what) => {
        for (const [key, more] of Object.entries(what)) counted.set(key, (counted.get(key) ?? 0) + more)
      },
      reuse: (id, port) => {
        const kept = idle.reuse(id, port)
        if (kept === undefined) return undefined
        open += 1
        const end = (whole: boolean) => {
          open -= 1
          kept.end(whole)
        }
        return { tunnel: kept.tunnel, end }
      },
      connect: (id, port) =>
        Effect.zipRight(
          Effect.acquireRelease(
            Effect.sync(() => void (open += 1)),
            () => Effect.sync(() => void (open -= 1))
          ),
          idle.connection(
            id,
            port,
            Effect.async<net.Socket, { _tag: string; message: string; remedy: string }>((resume) => {
              woken.push(all.find((one) => one.id === id)?.name ?? "")
              const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
              socket.once("connect", () => resume(Effect.succeed(socket)))
              socket.on("error", (error) =>
                resume(Effect.fail({ _tag: "PortSilent", message: error.message, remedy: "none" }))
              )
            })
          )
        )
    })
    const config = ConfigProvider.fromMap(new Map(Object.entries({ AEGIS_ROUTER_PORT: "0", ...env })))
    const context = yield* Layer.build(
      Router.layer.pipe(
        Layer.provide(destinations),
        Layer.provideMerge(PortListeners.layer),
        Layer.provide(Layer.setConfigProvider(config))
      )
    )
    const address = Option.getOrThrow(Option.fromNullable(routerAddress(Context.get(context, Router).state)))
    const port = Number(new URL(address).port)
    const exposed = (name: string, protocol: "http" | "tcp") =>
      Effect.flatMap(PortListeners, (listeners) => {
        const to = all.findIndex((one) => one.name === name)
        return listeners.open(idOf(to), [new Exposure({ port: all[to]?.port ?? 1, protocol })], [])
      }).pipe(
        Effect.map(({ bindings }) => bindings[0]?.host ?? 0),
        Effect.provide(context)
      )
    return { port, woken, counted, opened: () => open, exposed, listeners: Context.get(context, PortListeners) }
  })

/** A server for as long as the scope; gives its port. */
export const listening = (server: net.Server) =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.sync(() => {
        if (server instanceof http.Server) server.closeAllConnections()
        server.close()
      })
  )

/** Writes bytes as they are and gives all that comes back until the other side ends, or nothing more has come for `quiet` ms. */
export const raw = (port: number, bytes: string | Buffer, quiet = 1500) =>
  Effect.async<string>((resume) => {
    const pieces: Array<Buffer> = []
    const socket = net.connect(port, "127.0.0.1", () => socket.write(bytes))
    const finish = () => {
      socket.destroy()
      resume(Effect.succeed(Buffer.concat(pieces).toString("latin1")))
    }
    socket.setTimeout(quiet, finish)
    socket.on("data", (piece) => pieces.push(piece))
    socket.on("end", finish)
    socket.on("error", finish)
  })

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly trailers: NodeJS.Dict<string>
  readonly body: string
}

/** One request by Node's own client. */
export const ask = (
  port: number,
  path: string,
  options: http.RequestOptions & { readonly body?: string | Buffer; readonly trailers?: Record<string, string> } = {}
) =>
  Effect.async<Answer, Error>((resume) => {
    const { body, trailers, ...rest } = options
    const call = http.request({ port, host: "127.0.0.1", path, agent: false, ...rest }, (answer) => {
      const pieces: Array<Buffer> = []
      answer.on("data", (piece: Buffer) => pieces.push(piece))
      answer.on("error", (error) => resume(Effect.fail(error)))
      answer.on("end", () =>
        resume(
          Effect.succeed({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            trailers: answer.trailers,
            body: Buffer.concat(pieces).toString()
          })
        )
      )
    })
    call.on("error", (error) => resume(Effect.fail(error)))
    if (body !== undefined) call.write(body)
    if (trailers !== undefined) call.addTrailers(trailers)
    call.end()
  })
