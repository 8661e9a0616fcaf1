import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as http from "node:http"
import {
  aManifest,
  described,
  hurried,
  machine,
  manifestType,
  ref,
  sendManifest,
  serve,
  shaOf,
  someBytes
} from "./scripted.ts"

const blob = someBytes(300_000)
const descriptor = described(blob)

/** The first byte asked for, 0 without a Range. */
const from = (headers: http.IncomingHttpHeaders) => Number(/^bytes=([0-9]+)-$/.exec(headers.range ?? "")?.[1] ?? "0")

/** Answers as a registry does, up to `until`, and breaks the connection there. */
const part = (
  headers: http.IncomingHttpHeaders,
  response: http.ServerResponse,
  { until = blob.length, bytes = blob }: { readonly until?: number; readonly bytes?: Uint8Array } = {}
) => {
  const start = from(headers)
  const length = bytes.length - start
  response.writeHead(start > 0 ? 206 : 200, {
    "content-length": length,
    ...(start > 0 ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {})
  })
  response.flushHeaders()
  const wanted = bytes.subarray(start, Math.max(start, until))
  if (wanted.length === length) response.end(wanted)
  else response.write(wanted, () => setTimeout(() => response.socket?.resetAndDestroy(), 10))
}

describe("documents", () => {
  it.scoped(
    "T-52 T-53 the digest is that of the bytes: asked for by digest they must fit, a header that lies is ignored",
    () =>
      Effect.gen(function* () {
        const other = shaOf(Buffer.from("other"))
        const server = yield* serve((_, response) => {
          response.setHeader("docker-content-digest", other)
          sendManifest(response)
        })
        const registry = yield* machine()
        const found = yield* registry.manifest(yield* ref(`${server.host}/a:1`))
        assert.strictEqual(found.digest, shaOf(aManifest))
        assert.strictEqual(found.mediaType, manifestType)
        assert.deepStrictEqual(Buffer.from(found.bytes), aManifest)
        yield* registry.manifest(yield* ref(`${server.host}/a:1@${found.digest}`))
        assert.include(server.seen.at(-1)?.path, `/v2/a/manifests/${found.digest}`)
        const error = yield* Effect.flip(registry.manifest(yield* ref(`${server.host}/a@${other}`)))
        assert.deepInclude(error, { _tag: "DigestMismatch", expected: other, actual: found.digest })
      })
  )

  it.scoped("T-63 a manifest of 5 MB, and an endless one, are given up after 4 MiB", () =>
    Effect.gen(function* () {
      const server = yield* serve(({ path }, response) => {
        response.writeHead(200, { "content-type": manifestType })
        const piece = Buffer.alloc(1_000_000, "x")
        const more = () => void (response.destroyed || response.write(piece, () => setImmediate(more)))
        if (path.endsWith("endless")) more()
        else response.end(Buffer.alloc(5_000_000))
      })
      const registry = yield* machine()
      for (const tag of ["large", "endless"]) {
        const error = yield* Effect.flip(registry.manifest(yield* ref(`${server.host}/a:${tag}`)))
        assert.strictEqual(error._tag, "ImageTooLarge")
      }
    })
  )

  it.scoped("T-105 T-106 identity is asked for and HEAD never; what is encoded all the same is hashed as it came", () =>
    Effect.gen(function* () {
      const server = yield* serve(({ method, path }, response) => {
        if (method === "HEAD") return response.writeHead(404).end()
        response.setHeader("content-encoding", "gzip")
        if (path.includes("/manifests/")) sendManifest(response)
        else response.end(blob)
      })
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/a:1`)
      assert.strictEqual((yield* registry.manifest(reference)).digest, shaOf(aManifest))
      assert.strictEqual(shaOf(yield* registry.download(reference, descriptor)), descriptor.digest)
      assert.deepStrictEqual(
        server.seen.map(({ headers, method }) => [method, headers["accept-encoding"]]),
        [
          ["GET", "identity"],
          ["GET", "identity"]
        ]
      )
    })
  )

  it.scoped("T-94 each status has words of its own", () =>
    Effect.gen(function* () {
      const server = yield* serve(({ path }, response) => response.writeHead(Number(path.split("/")[2])).end("<html>"))
      const registry = yield* machine()
      const told: Array<string> = []
      for (const status of [403, 404, 405, 410, 451, 400, 201, 206]) {
        const reference = yield* ref(`${server.host}/${status}:1`)
        const error = yield* Effect.flip(registry.manifest(reference))
        told.push(`${status} ${error._tag}`)
        assert.include(error.message, status === 404 ? "no such image or tag" : String(status))
      }
      assert.deepStrictEqual(told, [
        "403 RegistryDenied",
        "404 ImageNotFound",
        "405 RegistryProtocol",
        "410 ImageNotFound",
        "451 RegistryDenied",
        "400 RegistryProtocol",
        "201 RegistryProtocol",
        "206 RegistryProtocol"
      ])
      const error = yield* Effect.flip(registry.download(yield* ref(`${server.host}/404:1`), descriptor))
      assert.include(error.message, `not its blob ${descriptor.digest}`)
    })
  )

  const busy = (...answers: ReadonlyArray<readonly [number, string?]>) => {
    let at = 0
    return serve((_, response) => {
      const [status, after] = answers[at++] ?? [200]
      if (status === 200) return sendManifest(response)
      response.writeHead(status, after === undefined ? {} : { "retry-after": after }).end()
    })
  }

  it.scoped("T-95 Retry-After is waited for up to a minute in all; nonsense is no reason to wait long", () =>
    Effect.gen(function* () {
      const registry = yield* machine()
      const outcome = (...answers: ReadonlyArray<readonly [number, string?]>) =>
        Effect.gen(function* () {
          const server = yield* busy(...answers)
          const begun = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
          const result = yield* Effect.exit(hurried(registry.manifest(yield* ref(`${server.host}/a`)), 500))
          const waited = (yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - begun
          return { ok: Exit.isSuccess(result), waited, tries: server.seen.length, text: String(result) }
        })
      const number = yield* outcome([429, "20"])
      assert.isTrue(number.ok && number.waited >= 20_000, JSON.stringify(number))
      const date = yield* outcome([429, new Date(number.waited + 3600_000 * 24 * 365 * 60).toUTCString()])
      assert.isFalse(date.ok)
      assert.strictEqual(date.tries, 1)
      const past = yield* outcome([429, "Thu, 01 Jan 1970 00:00:00 GMT"])
      assert.isTrue(past.ok)
      const garbage = yield* outcome([429, "soon"], [429, "-1"])
      assert.isTrue(garbage.ok && garbage.waited < 10_000, JSON.stringify(garbage))
      const forever = yield* outcome([429, "1000000000"])
      assert.isFalse(forever.ok)
      assert.strictEqual(forever.tries, 1)
      assert.include(forever.text, "1000000000 s")
      assert.include(forever.text, "RegistryUnavailable")
      const twice = yield* outcome([429, "40"], [429, "40"])
      assert.isFalse(twice.ok)
    })
  )

  it.scoped("T-96 500, 502 and 503 are tried three times", () =>
    Effect.gen(function* () {
      const registry = yield* machine()
      for (const status of [500, 502, 503]) {
        const twice = yield* busy([status], [status])
        yield* hurried(registry.manifest(yield* ref(`${twice.host}/a`)))
        const always = yield* busy([status], [status], [status], [200])
        const error = yield* Effect.flip(hurried(registry.manifest(yield* ref(`${always.host}/a`))))
        assert.deepInclude(error, { _tag: "RegistryUnavailable", cause: "busy" })
        assert.include(error.message, String(status))
        assert.lengthOf(always.seen, 3)
      }
    })
  )
})

describe("blobs", () => {
  it.scoped("bytes come from the offset that is asked for; all of them there asks for nothing", () =>
    Effect.gen(function* () {
      const server = yield* serve(({ headers }, response) => part(headers, response))
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/a`)
      for (const have of [0, 1, 100_000, blob.length - 1, blob.length]) {
        assert.isTrue(blob.equals(yield* registry.download(reference, descriptor, blob.subarray(0, have))))
      }
      assert.lengthOf(server.seen, 4)
      const empty = described(Buffer.alloc(0))
      const none = yield* serve((_, response) => response.writeHead(200, { "content-length": 0 }).end())
      assert.lengthOf(yield* registry.download(yield* ref(`${none.host}/a`), empty), 0)
    })
  )

  it.scoped("one connection serves one request after the other", () =>
    Effect.gen(function* () {
      const ports = new Set<number | undefined>()
      const server = yield* serve(({ headers, path }, response, request) => {
        ports.add(request.socket.remotePort)
        if (path.includes("/manifests/")) sendManifest(response)
        else part(headers, response)
      })
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/a`)
      for (let round = 0; round < 3; round++) {
        yield* registry.manifest(reference)
        yield* registry.download(reference, descriptor)
      }
      assert.strictEqual(ports.size, 1)
    })
  )

  it.scoped("T-98 a whole answer to a Range starts anew, and never appends", () =>
    Effect.gen(function* () {
      let broken = 0
      const server = yield* serve((_, response) => {
        if (broken++ === 1) part({}, response, { until: 200_000 })
        else part({}, response)
      })
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/a`)
      const wrong = Buffer.alloc(50_000)
      assert.isTrue(blob.equals(yield* registry.download(reference, descriptor, wrong)))
      // Broken in the middle, the reader keeps its place: what it has already is passed over.
      assert.isTrue(blob.equals(yield* hurried(registry.download(reference, descriptor))))
      assert.isAbove(from(server.seen.at(-1)?.headers ?? {}), 0)
    })
  )

  it.scoped("T-98 a part that was not asked for, and a part that is another, are refused", () =>
    Effect.gen(function* () {
      const ranges = [
        "bytes 0-299999/300000",
        "bytes 7-299999/300000",
        "bytes 10-20/300000",
        "bytes */300000",
        "",
        "bytes 10-9/9"
      ]
      let at = 0
      const server = yield* serve((_, response) =>
        response.writeHead(206, { "content-range": ranges[at++ % ranges.length] }).end(blob)
      )
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/a`)
      for (const have of [0, 10, 10, 10, 10, 10]) {
        const error = yield* Effect.flip(registry.download(reference, descriptor, blob.subarray(0, have)))
        assert.strictEqual(error._tag, "RegistryProtocol")
      }
    })
  )

  it.scoped("T-98 a place beyond the registry's end (416) starts anew; a changed ETag is left to the digest", () =>
    Effect.gen(function* () {
      let etag = 0
      const server = yield* serve(({ headers, path }, response) => {
        response.setHeader("etag", `"${etag++}"`)
        if (path.includes("/gone/") && headers.range !== undefined) return response.writeHead(416).end()
        part(headers, response, etag === 1 ? { until: 1000 } : {})
      })
      const registry = yield* machine()
      assert.isTrue(blob.equals(yield* hurried(registry.download(yield* ref(`${server.host}/a`), descriptor))))
      const gone = yield* registry.download(yield* ref(`${server.host}/gone/a`), descriptor, Buffer.alloc(9))
      assert.isTrue(blob.equals(gone))
    })
  )

  it.scoped("T-99 a connection that breaks at byte 0, 1, N-1 or N is taken up where it broke", () =>
    Effect.gen(function* () {
      for (const until of [0, 1, 150_000, blob.length - 1]) {
        let first = true
        const server = yield* serve(({ headers }, response) => {
          part(headers, response, first ? { until } : {})
          first = false
        })
        const registry = yield* machine()
        const reference = yield* ref(`${server.host}/a`)
        assert.isTrue(blob.equals(yield* hurried(registry.download(reference, descriptor))), `${until}`)
        assert.lengthOf(server.seen, 2)
        // A reset may overtake what was sent before it: less has come then, never other bytes.
        assert.isAtMost(from(server.seen[1]?.headers ?? {}), until)
      }
      const chunked = yield* serve((_, response) => {
        response.writeHead(200).write(blob, () => setTimeout(() => response.socket?.resetAndDestroy(), 20))
      })
      const registry = yield* machine()
      const whole = yield* hurried(registry.download(yield* ref(`${chunked.host}/a`), descriptor))
      assert.isTrue(blob.equals(whole))
    })
  )

  it.scoped(
    "T-99 any number of breaks is survived while something comes, three in a row are not when nothing does",
    () =>
      Effect.gen(function* () {
        const server = yield* serve(({ headers }, response) =>
          part(headers, response, { until: from(headers) + 40_000 })
        )
        const registry = yield* machine()
        const whole = yield* hurried(registry.download(yield* ref(`${server.host}/a`), descriptor))
        assert.isTrue(blob.equals(whole))
        assert.isAtLeast(server.seen.length, 8)
        const dead = yield* serve(({ headers }, response) => part(headers, response, { until: 70_000 }))
        const error = yield* Effect.flip(hurried(registry.download(yield* ref(`${dead.host}/a`), descriptor)))
        assert.deepInclude(error, { _tag: "RegistryUnavailable", cause: "broken" })
        assert.isAtMost(dead.seen.length, 5)
      })
  )

  it.scoped("T-100 a body longer than the blob is given up at once, an endless one at the first byte too many", () =>
    Effect.gen(function* () {
      let written = 0
      const server = yield* serve(({ path }, response) => {
        if (path.includes("/long/")) return part({}, response, { bytes: Buffer.concat([blob, Buffer.from("x")]) })
        const more = () => {
          written += blob.length
          if (!response.destroyed) response.write(blob, () => setImmediate(more))
        }
        response.writeHead(200)
        more()
      })
      const registry = yield* machine()
      for (const name of ["long", "endless"]) {
        const error = yield* Effect.flip(registry.download(yield* ref(`${server.host}/${name}/a`), descriptor))
        assert.strictEqual(error._tag, "DigestMismatch")
        assert.include(error.message, `${blob.length} bytes`)
      }
      assert.isBelow(written, 100 * blob.length)
    })
  )

  it.scoped(
    "T-101 T-59 a body shorter than the blob is refused when announced, and tried again when it just ends",
    () =>
      Effect.gen(function* () {
        const short = blob.subarray(0, 1000)
        const server = yield* serve(({ headers, path }, response) => {
          if (path.includes("/said/")) return part(headers, response, { bytes: short })
          if (headers.range !== undefined) return response.writeHead(416).end()
          response.writeHead(200).end(short)
        })
        const registry = yield* machine()
        const said = yield* Effect.flip(registry.download(yield* ref(`${server.host}/said/a`), descriptor))
        assert.strictEqual(said._tag, "DigestMismatch")
        const unsaid = yield* Effect.flip(hurried(registry.download(yield* ref(`${server.host}/unsaid/a`), descriptor)))
        assert.strictEqual(unsaid._tag, "RegistryUnavailable")
        const resumed = registry.download(yield* ref(`${server.host}/said/a`), descriptor, blob.subarray(0, 10))
        assert.strictEqual((yield* Effect.flip(resumed))._tag, "DigestMismatch")
      })
  )

  it.scoped("T-102 a flipped bit passes: the length is right, and the hash is the reader's to check", () =>
    Effect.gen(function* () {
      const flipped = Buffer.from(blob)
      flipped[1234] = (flipped[1234] ?? 0) ^ 1
      const server = yield* serve(({ headers }, response) => part(headers, response, { bytes: flipped }))
      const got = yield* (yield* machine()).download(yield* ref(`${server.host}/a`), descriptor)
      assert.notStrictEqual(shaOf(got), descriptor.digest)
    })
  )

  it.scoped("T-103 a byte now and then is PullStalled after a minute; a slow reader is not", () =>
    Effect.gen(function* () {
      const server = yield* serve(({ path }, response, request) => {
        if (path.includes("/quick/")) return part(request.headers, response)
        response.writeHead(200, { "content-length": blob.length })
        const timer = setInterval(() => response.write("x"), 5)
        response.on("close", () => clearInterval(timer))
      })
      const registry = yield* machine()
      const error = yield* Effect.flip(hurried(registry.download(yield* ref(`${server.host}/a`), descriptor), 500))
      assert.strictEqual(error._tag, "PullStalled")
      const slowly = Effect.scoped(
        Effect.gen(function* () {
          const { bytes } = yield* registry.blob(yield* ref(`${server.host}/quick/a`), descriptor, 0)
          return yield* Stream.runFoldEffect(bytes, 0, (sum, piece) =>
            Effect.as(Effect.sleep("70 seconds"), sum + piece.length)
          )
        })
      )
      assert.strictEqual(yield* hurried(slowly, 2000), blob.length)
    })
  )

  it.scoped("T-104 who accepts and never answers is given up after 30 s", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => undefined)
      const registry = yield* machine()
      const error = yield* Effect.flip(hurried(registry.manifest(yield* ref(`${server.host}/a`)), 500))
      assert.deepInclude(error, { _tag: "RegistryUnavailable", cause: "timeout" })
      assert.lengthOf(server.seen, 1)
      assert.isAtLeast(yield* Effect.clockWith((clock) => clock.currentTimeMillis), 30_000)
    })
  )

  it.scopedLive("an interrupted reader and a closed scope end the connection", () =>
    Effect.gen(function* () {
      let open = 0
      const server = yield* serve((_, response) => {
        open++
        response.on("close", () => open--)
        response.writeHead(200, { "content-length": blob.length }).write("x")
      })
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/a`)
      const until = (count: number) => Effect.repeat(Effect.sleep(2), { until: () => open === count, times: 1000 })
      const fiber = yield* Effect.fork(registry.download(reference, descriptor))
      yield* until(1)
      yield* Fiber.interrupt(fiber)
      yield* until(0)
      const scope = yield* Scope.make()
      yield* Scope.extend(registry.blob(reference, descriptor, 0), scope)
      assert.strictEqual(open, 1)
      yield* Scope.close(scope, Exit.void)
      yield* until(0)
      assert.strictEqual(open, 0)
    })
  )
})
