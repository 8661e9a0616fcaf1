import { Digest, type ImageReference, parseImageReference } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as Chunk from "effect/Chunk"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import { execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import type { LookupFunction, Socket } from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Registry } from "../../src/registry/Registry.ts"

export const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "aegis-registry-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

export type Handler = (seen: Seen, response: http.ServerResponse, request: http.IncomingMessage) => void

export interface Server {
  readonly port: number
  readonly host: string
  /** Every request so far. */
  readonly seen: Array<Seen>
}

interface ServeOptions {
  readonly tls?: https.ServerOptions
  readonly address?: string
  readonly port?: number
}

/** An HTTP server that does what the test says. */
export const serve = (handler: Handler, options: ServeOptions = {}) =>
  Effect.acquireRelease(
    Effect.async<Server & { readonly close: () => void }>((resume) => {
      const seen: Array<Seen> = []
      const sockets = new Set<Socket>()
      const listener: http.RequestListener = (request, response) => {
        response.on("error", () => undefined)
        let body = ""
        request.on("data", (bytes) => (body += String(bytes)))
        request.on("end", () => {
          const one = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body }
          seen.push(one)
          handler(one, response, request)
        })
      }
      const server = options.tls === undefined ? http.createServer(listener) : https.createServer(options.tls, listener)
      server.on("connection", (socket: Socket) => {
        sockets.add(socket)
        socket.on("error", () => undefined)
      })
      server.on("tlsClientError", () => undefined)
      server.listen(options.port ?? 0, options.address ?? "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        const close = () => {
          server.close()
          for (const socket of sockets) socket.destroy()
        }
        resume(Effect.succeed({ port, host: `127.0.0.1:${port}`, seen, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** `*.test` and `localhost` are this machine; other names do not exist, and are never asked for outside. */
export const testNames: LookupFunction = (hostname, options, callback) => {
  if (hostname === "slow.test") return callback(Object.assign(new Error("later"), { code: "EAI_AGAIN" }), "")
  if (!hostname.endsWith(".test") && hostname !== "localhost")
    return callback(Object.assign(new Error("none"), { code: "ENOTFOUND" }), "")
  if (options.all === true) callback(null, [{ address: "127.0.0.1", family: 4 }])
  else callback(null, "127.0.0.1", 4)
}

export interface MachineOptions {
  readonly settings?: unknown
  readonly variables?: Readonly<Record<string, string>>
  readonly lookup?: LookupFunction
}

/** A `Registry` in a home of its own, with these settings and variables and no others. */
export const machine = ({ lookup, settings, variables }: MachineOptions = {}) =>
  Effect.gen(function* () {
    const home = yield* temporary
    if (settings !== undefined) {
      const text = typeof settings === "string" ? settings : JSON.stringify(settings)
      fs.writeFileSync(path.join(home, "registries.json"), text)
    }
    const config = new Map(Object.entries({ AEGIS_HOME: home, HOME: home, ...variables }))
    const layer = Registry.layerWith({ lookup: lookup ?? testNames }).pipe(
      Layer.provide(AegisPaths.layer("/nowhere")),
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(config)))
    )
    const context = yield* Layer.build(layer)
    const registry = yield* Effect.provide(Registry, context)
    return {
      home,
      ...registry,
      /** All of a blob, as a reader that keeps what it has sees it. */
      download: (reference: ImageReference, descriptor: Described, have: Uint8Array = new Uint8Array()) =>
        Effect.scoped(
          Effect.gen(function* () {
            const { bytes, startsAt } = yield* registry.blob(reference, descriptor, have.length)
            const rest = yield* Stream.runCollect(Stream.map(bytes, (piece) => Buffer.from(piece)))
            return Buffer.concat([have.subarray(0, startsAt), ...Chunk.toReadonlyArray(rest)])
          })
        )
    }
  })

export type Described = { readonly digest: Digest; readonly size: number; readonly mediaType: string }

export const shaOf = (bytes: Uint8Array) => Digest.make(`sha256:${createHash("sha256").update(bytes).digest("hex")}`)

export const described = (bytes: Uint8Array, mediaType = "application/vnd.oci.image.layer.v1.tar"): Described => ({
  digest: shaOf(bytes),
  size: bytes.length,
  mediaType
})

export const someBytes = (size: number) => randomBytes(size)

export const ref = (text: string) => Effect.orDie(parseImageReference(text))

export const manifestType = "application/vnd.oci.image.manifest.v1+json"

/** A manifest that says nothing much. */
export const aManifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: shaOf(Buffer.from("c")), size: 1 },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: shaOf(Buffer.from("l")), size: 1 }]
  })
)

export const sendManifest = (response: http.ServerResponse) =>
  response.writeHead(200, { "content-type": manifestType, "content-length": aManifest.length }).end(aManifest)

/** Runs it while the test's clock goes on by itself, about 25 times as fast as the real one. */
export const hurried = <A, E, R>(effect: Effect.Effect<A, E, R>, step = 50) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    const tick = Effect.zipRight(TestClock.adjust(step), TestServices.provideLive(Effect.sleep(2)))
    return yield* Effect.raceFirst(Fiber.join(fiber), Effect.forever(tick))
  })

/** A key and a certificate for `names`, signed by an authority whose certificate is `ca`. */
export const certificate = (directory: string, name: string, names: string, days = "2") => {
  const at = (file: string) => path.join(directory, file)
  const openssl = (...words: ReadonlyArray<string>) => execFileSync("openssl", words, { stdio: "pipe" })
  const subject = (text: string) => ["-subj", `/CN=${text}`]
  if (!fs.existsSync(at("ca.pem"))) {
    openssl(
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      at("ca.key"),
      "-out",
      at("ca.pem"),
      ...subject("ca")
    )
  }
  fs.writeFileSync(at(`${name}.ext`), `subjectAltName=${names}\n`)
  openssl(
    "req",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    at(`${name}.key`),
    "-out",
    at(`${name}.csr`),
    ...subject(name)
  )
  const signer = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial"]
  openssl(
    "x509",
    "-req",
    "-in",
    at(`${name}.csr`),
    ...signer,
    "-days",
    days,
    "-extfile",
    at(`${name}.ext`),
    "-out",
    at(name)
  )
  return { key: fs.readFileSync(at(`${name}.key`)), cert: fs.readFileSync(at(name)), ca: at("ca.pem") }
}
