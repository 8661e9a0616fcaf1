import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as http from "node:http"
import * as net from "node:net"
import { originsOf, redirectTarget } from "../../src/registry/Origin.ts"
import { defaultSettings } from "../../src/registry/RegistriesFile.ts"
import { goesDirect } from "../../src/registry/Tunnel.ts"
import { certificate, described, hurried, machine, ref, sendManifest, serve, someBytes, temporary } from "./scripted.ts"

const blob = someBytes(50_000)

describe("redirects", () => {
  const target = (from: string, location: string | undefined, insecure: ReadonlyArray<string> = []) =>
    redirectTarget({ ...defaultSettings, insecure }, new URL(from), location).pipe(
      Either.match({ onLeft: () => "refused", onRight: ({ href }) => href })
    )
  it("T-97 relative and to another host over TLS are followed; down to http, into this machine, and elsewhere are not", () => {
    const from = "https://r.example/v2/a/blobs/x"
    assert.strictEqual(target(from, "/y"), "https://r.example/y")
    assert.strictEqual(target(from, "y?z"), "https://r.example/v2/a/blobs/y?z")
    assert.strictEqual(target(from, "//s.example/y"), "https://s.example/y")
    assert.strictEqual(target(from, "https://s.example/y"), "https://s.example/y")
    for (const location of [
      undefined,
      "http://r.example/y",
      "http://127.0.0.1/y",
      "https://127.0.0.1/y",
      "https://127.1/y",
      "https://0x7f000001/y",
      "https://0.0.0.0/y",
      "https://[::1]/y",
      "https://[::]/y",
      "https://[::ffff:169.254.169.254]/y",
      "https://localhost/y",
      "https://a.localhost/y",
      "https://169.254.169.254/y",
      "file:///etc/passwd",
      "javascript:1",
      "data:,x",
      "https://u:p@s.example/",
      "https://"
    ]) {
      assert.strictEqual(target(from, location), "refused", String(location))
    }
    const plain = "http://127.0.0.1:5000/v2/"
    assert.strictEqual(target(plain, "http://localhost:1/y"), "http://localhost:1/y")
    assert.strictEqual(target(plain, "http://s.example/y"), "refused")
    assert.strictEqual(target(plain, "http://s.example/y", ["s.example"]), "http://s.example/y")
    assert.strictEqual(target("http://s.example/v2/", "http://127.0.0.1/y", ["s.example"]), "refused")
  })

  it.scoped("T-97 a loop and ten hops are given up after five", () =>
    Effect.gen(function* () {
      const server = yield* serve(({ path }, response) => {
        const hop = Number(/hop=([0-9]+)/.exec(path)?.[1] ?? 0)
        const limit = path.includes("few") ? 5 : 10
        if (hop === limit) return response.end(blob)
        const name = path.includes("few") ? "few" : "many"
        response.writeHead(302, { location: path.includes("loop") ? path : `/${name}?hop=${hop + 1}` }).end()
      })
      const registry = yield* machine()
      for (const name of ["loop", "many"]) {
        const error = yield* Effect.flip(registry.download(yield* ref(`${server.host}/${name}`), described(blob)))
        assert.deepInclude(error, { _tag: "RegistryProtocol" })
      }
      assert.lengthOf(server.seen, 12)
      yield* registry.download(yield* ref(`${server.host}/few`), described(blob))
    })
  )
})

describe("TLS", () => {
  it.scoped(
    "T-107 a good certificate is accepted; an expired one, another's, an unknown signer's and TLS 1.0 are not",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        const good = certificate(directory, "good", "DNS:r.test")
        const stranger = certificate(yield* temporary, "stranger", "DNS:r.test")
        const outcome = (tls: object) =>
          Effect.gen(function* () {
            const server = yield* serve((_, response) => sendManifest(response), { tls })
            const registry = yield* machine({ variables: { SSL_CERT_FILE: good.ca } })
            const result = yield* Effect.either(hurried(registry.manifest(yield* ref(`r.test:${server.port}/a`))))
            if (Either.isRight(result)) return "ok"
            assert.strictEqual(result.left._tag, "RegistryUnavailable")
            return "cause" in result.left ? result.left.cause : ""
          })
        assert.strictEqual(yield* outcome(good), "ok")
        assert.strictEqual(yield* outcome(stranger), "tls")
        assert.strictEqual(yield* outcome(certificate(directory, "other", "DNS:other.test")), "tls")
        assert.strictEqual(yield* outcome(certificate(directory, "past", "DNS:r.test", "-1")), "tls")
        const old = { ...good, minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "ALL:@SECLEVEL=0" }
        assert.strictEqual(yield* outcome(old), "tls")
      })
  )

  it.scoped("T-107 plain HTTP is for loopback and for hosts that are named as insecure", () =>
    Effect.gen(function* () {
      const server = yield* serve((_, response) => sendManifest(response))
      const reference = yield* ref(`r.test:${server.port}/a`)
      const strict = yield* machine()
      const error = yield* Effect.flip(hurried(strict.manifest(reference)))
      assert.deepInclude(error, { _tag: "RegistryUnavailable", cause: "tls" })
      assert.include("remedy" in error ? error.remedy : "", "insecure")
      assert.lengthOf(server.seen, 0)
      for (const insecure of ["r.test", `r.test:${server.port}`, "R.test"]) {
        yield* (yield* machine({ settings: { insecure: [insecure] } })).manifest(reference)
      }
      yield* strict.manifest(yield* ref(`localhost:${server.port}/a`))
    })
  )
})

describe("names", () => {
  it.scoped("T-108 a name that is not there is told at once, a silent name server after three tries", () =>
    Effect.gen(function* () {
      const registry = yield* machine()
      const none = yield* Effect.flip(registry.manifest(yield* ref("nowhere.example/a")))
      assert.deepInclude(none, { _tag: "RegistryUnavailable", cause: "dns" })
      assert.include(none.message, "nowhere.example")
      const slow = yield* Effect.flip(hurried(registry.manifest(yield* ref("slow.test/a"))))
      assert.deepInclude(slow, { _tag: "RegistryUnavailable", cause: "dns" })
    })
  )

  it.scopedLive("T-108 a registry with an IPv6 address alone", () =>
    Effect.gen(function* () {
      const server = yield* serve((_, response) => sendManifest(response), { address: "::1" })
      yield* (yield* machine()).manifest(yield* ref(`[::1]:${server.port}/a`))
      const lookup: net.LookupFunction = (_, options, callback) =>
        options.all === true ? callback(null, [{ address: "::1", family: 6 }]) : callback(null, "::1", 6)
      const named = yield* machine({ lookup, settings: { insecure: ["six.test"] } })
      yield* named.manifest(yield* ref(`six.test:${server.port}/a`))
    })
  )

  it.scoped("T-108 a name that leads elsewhere between two requests is no danger: the certificate is not there", () =>
    Effect.gen(function* () {
      const tls = certificate(yield* temporary, "a", "DNS:r.test")
      const server = yield* serve(
        ({ path }, response) =>
          path.includes("/manifests/") ? sendManifest(response.setHeader("connection", "close")) : response.end(blob),
        { tls }
      )
      const local = certificate(yield* temporary, "local", "DNS:r.test")
      const victim = yield* serve((_, response) => response.end(blob), {
        tls: local,
        address: "127.0.0.2",
        port: server.port
      })
      let asked = 0
      const lookup: net.LookupFunction = (_, options, callback) => {
        const address = asked++ === 0 ? "127.0.0.1" : "127.0.0.2"
        if (options.all === true) callback(null, [{ address, family: 4 }])
        else callback(null, address, 4)
      }
      const registry = yield* machine({ lookup, variables: { SSL_CERT_FILE: tls.ca } })
      const reference = yield* ref(`r.test:${server.port}/a`)
      yield* registry.manifest(reference)
      const error = yield* Effect.flip(hurried(registry.download(reference, described(blob))))
      assert.deepInclude(error, { _tag: "RegistryUnavailable", cause: "tls" })
      assert.lengthOf(victim.seen, 0)
    })
  )

  it.scoped("a port where nobody listens, and an answer that is no HTTP", () =>
    Effect.gen(function* () {
      const closed = yield* Effect.scoped(serve(() => undefined))
      const registry = yield* machine()
      const refused = yield* Effect.flip(hurried(registry.manifest(yield* ref(`${closed.host}/a`))))
      assert.deepInclude(refused, { _tag: "RegistryUnavailable", cause: "connect" })
      const raw = (text: string) =>
        Effect.acquireRelease(
          Effect.async<net.Server>((resume) => {
            const server = net.createServer((socket) =>
              socket.on("error", () => undefined).once("data", () => socket.end(text))
            )
            server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
          }),
          (server) => Effect.sync(() => server.close())
        )
      for (const text of ["SSH-2.0-OpenSSH_9\r\n", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(1_000_000)}\r\n\r\n`]) {
        const address = (yield* raw(text)).address()
        const port = typeof address === "object" ? address?.port : 0
        const error = yield* Effect.flip(hurried(registry.manifest(yield* ref(`127.0.0.1:${port}/a`))))
        assert.strictEqual(error._tag, "RegistryProtocol")
      }
    })
  )
})

describe("proxies", () => {
  /** A proxy as squid is one, for CONNECT alone; `*.test` is this machine. */
  const proxy = (status = 200) =>
    Effect.acquireRelease(
      Effect.async<{ readonly url: string; readonly asked: Array<http.IncomingMessage>; readonly close: () => void }>(
        (resume) => {
          const asked: Array<http.IncomingMessage> = []
          const sockets = new Set<net.Socket>()
          const server = http.createServer((_, response) => response.writeHead(400).end())
          server.on("connect", (request: http.IncomingMessage, socket: net.Socket) => {
            asked.push(request)
            sockets.add(socket.on("error", () => undefined))
            if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\n\r\n`)
            const port = Number(request.url?.split(":")[1])
            const onward = net.connect(port, "127.0.0.1", () => {
              socket.write("HTTP/1.1 200 Connection established\r\n\r\n")
              socket.pipe(onward).pipe(socket)
            })
            sockets.add(onward.on("error", () => undefined))
          })
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" ? address?.port : 0
            const close = () => {
              server.close()
              for (const socket of sockets) socket.destroy()
            }
            resume(Effect.succeed({ url: `127.0.0.1:${port}`, asked, close }))
          })
        }
      ),
      ({ close }) => Effect.sync(close)
    )

  it.scoped("T-109 TLS goes through HTTPS_PROXY with its login, except where NO_PROXY says; loopback never does", () =>
    Effect.gen(function* () {
      const tls = certificate(yield* temporary, "a", "DNS:r.test,DNS:direct.test")
      const server = yield* serve(
        ({ path }, response) => (path.includes("/blobs/") ? response.end(blob) : sendManifest(response)),
        { tls }
      )
      const plain = yield* serve((_, response) => sendManifest(response))
      const through = yield* proxy()
      const registry = yield* machine({
        variables: {
          SSL_CERT_FILE: tls.ca,
          HTTPS_PROXY: `http://us%40er:pw@${through.url}`,
          NO_PROXY: "other.example, .direct.test"
        }
      })
      const reference = yield* ref(`r.test:${server.port}/a`)
      yield* registry.manifest(reference)
      assert.isTrue(blob.equals(yield* registry.download(reference, described(blob))))
      assert.isAtLeast(through.asked.length, 1)
      assert.strictEqual(through.asked[0]?.url, `r.test:${server.port}`)
      const sent = through.asked[0]?.headers["proxy-authorization"]
      assert.strictEqual(sent, `Basic ${Buffer.from("us@er:pw").toString("base64")}`)
      assert.isTrue(server.seen.every(({ headers }) => headers["proxy-authorization"] === undefined))
      const before = through.asked.length
      yield* registry.manifest(yield* ref(`direct.test:${server.port}/a`))
      yield* registry.manifest(yield* ref(`${plain.host}/a`))
      assert.strictEqual(through.asked.length, before)
    })
  )

  it.scoped("T-109 a proxy that refuses, is not there, or is no address is told as that", () =>
    Effect.gen(function* () {
      const refusing = yield* proxy(407)
      const closed = yield* Effect.scoped(serve(() => undefined))
      for (const value of [refusing.url, `http://${closed.host}`, "socks5://x:1", "::::", "http://%zz@x:1"]) {
        const registry = yield* machine({ variables: { https_proxy: value } })
        const error = yield* Effect.flip(hurried(registry.manifest(yield* ref("r.test/a"))))
        assert.deepInclude(error, { _tag: "RegistryUnavailable", cause: "proxy" }, value)
      }
    })
  )

  it("T-109 NO_PROXY names hosts, domains, ports, and everything", () => {
    const direct = (list: string, hostname: string, port = 443) => goesDirect(list, { hostname, port })
    assert.isTrue(direct("a.example", "a.example"))
    assert.isTrue(direct("example", "a.example"))
    assert.isTrue(direct(".example b", "A.Example"))
    assert.isTrue(direct("*.example", "a.example"))
    assert.isTrue(direct("*", "a.example"))
    assert.isTrue(direct("a.example:443", "a.example"))
    assert.isFalse(direct("a.example:80", "a.example"))
    assert.isFalse(direct("a.example", "ba.example"))
    assert.isFalse(direct("", "a.example"))
    assert.isFalse(direct(", ,", "a.example"))
    assert.isTrue(direct("", "127.0.0.1") && direct("", "localhost") && direct("", "::1"))
  })
})

describe("mirrors", () => {
  it.scoped(
    "a mirror is tried first; without the image, broken, lying or away, the next one is, and last the registry",
    () =>
      Effect.gen(function* () {
        const tls = certificate(yield* temporary, "a", "DNS:r.test")
        const origin = yield* serve(
          ({ path }, response) => (path.includes("/blobs/") ? response.end(blob) : sendManifest(response)),
          { tls }
        )
        const name = `r.test:${origin.port}`
        const away = yield* Effect.scoped(serve(() => undefined))
        const empty = yield* serve((_, response) => response.writeHead(404).end())
        const broken = yield* serve((_, response) => response.writeHead(500).end())
        const lying = yield* serve((_, response) => response.end("{}"))
        const good = yield* serve(({ path }, response) =>
          path.includes("/blobs/") ? response.end(blob) : sendManifest(response)
        )
        const { digest } = yield* (yield* machine({ variables: { SSL_CERT_FILE: tls.ca } })).manifest(
          yield* ref(`${name}/a`)
        )
        const reference = yield* ref(`${name}/a@${digest}`)
        const asked = origin.seen.length
        const with_ = (...hosts: ReadonlyArray<string>) =>
          machine({
            variables: { SSL_CERT_FILE: tls.ca },
            settings: { mirrors: { [name]: hosts.map((host) => `http://${host}`) } }
          })
        const first = yield* with_(away.host, empty.host, broken.host, lying.host, `${good.host}/proxy/r`)
        yield* first.manifest(reference)
        yield* first.download(reference, described(blob))
        assert.strictEqual(origin.seen.length, asked)
        assert.strictEqual(good.seen[0]?.path, `/v2/proxy/r/a/manifests/${digest}`)
        assert.lengthOf(broken.seen, 2)
        const second = yield* with_(empty.host, lying.host)
        yield* second.manifest(reference)
        yield* second.download(reference, described(blob))
        assert.isAbove(origin.seen.length, asked)
      })
  )

  it.effect("docker.io is served by registry-1.docker.io", () =>
    Effect.gen(function* () {
      const settings = { ...defaultSettings, mirrors: { "docker.io": ["http://127.0.0.1:5000"] } }
      assert.deepStrictEqual(
        originsOf(settings, yield* ref("alpine")).map(({ base, host, repository }) => [base.href, host, repository]),
        [
          ["http://127.0.0.1:5000/", "127.0.0.1:5000", "library/alpine"],
          ["https://registry-1.docker.io/", "docker.io", "library/alpine"]
        ]
      )
    })
  )

  it.scoped("a registries.json that cannot be used says where it is wrong, and is read at each pull", () =>
    Effect.gen(function* () {
      const wrong = [
        "{",
        { mirror: {} },
        { mirrors: { "docker.io": ["ftp://x"] } },
        { mirrors: { "docker.io": ["http://10.0.0.1:5000"] } },
        { mirrors: { "docker.io": ["https://u:p@x"] } },
        { mirrors: { "docker.io": ["https://x/../y%2f"] } },
        { insecure: ["http://x"] },
        { insecure: "x" },
        { tokenHosts: { a: "b" } }
      ]
      for (const settings of wrong) {
        const registry = yield* machine({ settings })
        const error = yield* Effect.flip(registry.manifest(yield* ref("r.test/a")))
        assert.deepInclude(error, { _tag: "RegistryUnavailable", cause: "config" }, JSON.stringify(settings))
        assert.include(error.message, "registries.json")
      }
    })
  )
})
