import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Logger from "effect/Logger"
import * as fs from "node:fs"
import * as path from "node:path"
import { type Challenge, parseChallenge } from "../../src/registry/Challenge.ts"
import { originsOf, realmTarget } from "../../src/registry/Origin.ts"
import { defaultSettings } from "../../src/registry/RegistriesFile.ts"
import {
  certificate,
  described,
  hurried,
  machine,
  ref,
  sendManifest,
  serve,
  someBytes,
  temporary,
  testNames
} from "./scripted.ts"

const login = Buffer.from("ann:s3cret").toString("base64")

const authFile = (directory: string, content: unknown) => {
  const file = path.join(directory, "auth.json")
  fs.writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content))
  return { REGISTRY_AUTH_FILE: file }
}

interface Script {
  /** What the token server answers. */
  readonly token?: (query: URLSearchParams, authorization: string | undefined) => readonly [number, string]
  readonly challenge?: (host: string) => string
  readonly accepts?: (authorization: string | undefined) => boolean
}

/** A registry that is its own token server. */
const registryWithTokens = ({ accepts, challenge, token }: Script) =>
  serve(({ body, headers, path }, response) => {
    const host = headers.host ?? ""
    if (path.startsWith("/token")) {
      const query = new URLSearchParams(body === "" ? path.slice(path.indexOf("?") + 1) : body)
      const [status, text] = token?.(query, headers.authorization) ?? [200, '{"token":"t0k"}']
      return response.writeHead(status).end(text)
    }
    if (accepts?.(headers.authorization) ?? headers.authorization === "Bearer t0k") return sendManifest(response)
    const asked =
      challenge?.(host) ?? `Bearer realm="http://${host}/token",service="reg",scope="repository:a:pull,push"`
    response.writeHead(401, { "www-authenticate": asked }).end()
  })

describe("challenges", () => {
  const bearer = (realm: string, service?: string): Challenge => ({ _tag: "Bearer", realm, service })
  const basic: Challenge = { _tag: "Basic" }
  it.each([
    ['Bearer realm="https://a/t",service="s"', bearer("https://a/t", "s")],
    ['bearer REALM="https://a/t" , Service=s,scope="repository:x:*"', bearer("https://a/t", "s")],
    ['Basic realm="x", Bearer realm="https://a/t"', bearer("https://a/t")],
    ['Bearer realm="https://a/t", Basic realm="x"', bearer("https://a/t")],
    ["Bearer realm=https://a/t", bearer("https://a/t")],
    ['Bearer realm="a\\"b\\\\c,d=e"', bearer('a"b\\c,d=e')],
    ['Basic realm="x"', basic],
    ["Basic", basic],
    ['Negotiate abc==, Basic realm="x"', basic],
    ['Digest realm="x", nonce="y", Basic', basic]
  ] as const)("T-90 %s is read", (header, expected) => {
    assert.deepStrictEqual(Either.getOrThrow(parseChallenge(header)), expected)
  })
  it.each([
    undefined,
    "",
    " , ",
    "Bearer",
    "Bearer service=x",
    'Bearer realm=""',
    "Digest x=y",
    '"',
    'Bearer realm="x',
    "=",
    "a=b"
  ])("T-90 %j is refused", (header) => assert.isTrue(Either.isLeft(parseChallenge(header))))
  it("T-90 a challenge of a megabyte is refused, and quickly", () => {
    for (const piece of ["x", " ", ",", 'a="', "\\", "a=b,", '"']) {
      assert.isTrue(Either.isLeft(parseChallenge(`Bearer ${piece.repeat(1024 * 1024)}`)))
      parseChallenge(`Bearer realm="${piece.repeat(2000)}`)
    }
  })
})

describe("where a login goes", () => {
  const realm = (registry: string, address: string, tokenHosts = {}) =>
    Effect.map(ref(`${registry}/a`), (reference) => {
      const settings = { ...defaultSettings, tokenHosts }
      return Either.isRight(realmTarget(settings, originsOf(settings, reference)[0], address))
    })

  it.effect("T-86 a realm on another host is refused unless it is known, or named in registries.json", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* realm("docker.io", "https://auth.docker.io/token"))
      assert.isTrue(yield* realm("registry.gitlab.com", "https://gitlab.com/jwt/auth"))
      assert.isTrue(yield* realm("ghcr.io", "https://ghcr.io/token"))
      assert.isTrue(yield* realm("r.example:5000", "https://r.example/token"))
      assert.isFalse(yield* realm("docker.io", "https://auth.docker.io.evil.example/token"))
      assert.isFalse(yield* realm("ghcr.io", "https://auth.docker.io/token"))
      assert.isFalse(yield* realm("r.example", "https://auth.example/token"))
      assert.isFalse(yield* realm("r.example", "https://example/token"))
      assert.isTrue(yield* realm("r.example", "https://auth.example/token", { "r.example": ["auth.example"] }))
    })
  )
  it.effect("T-87 a realm without TLS is refused for a registry with it", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* realm("r.example", "http://r.example/token"))
      assert.isTrue(yield* realm("127.0.0.1:5000", "http://127.0.0.1:5001/token"))
      assert.isFalse(yield* realm("r.example", "http://127.0.0.1/token", { "r.example": ["127.0.0.1"] }))
    })
  )
  it.effect.each([
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://169.254.169.254/latest",
    "https://169.254.169.254/latest",
    "https://localhost/token",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://2130706433/",
    "https://user:pw@r.example/token",
    "//r.example/token",
    "token",
    "https://"
  ])("T-88 the realm %s is refused", (address) =>
    Effect.gen(function* () {
      assert.isFalse(yield* realm("r.example", address))
    })
  )

  it.scoped("T-86 nothing is sent to such a realm, and the message says how to allow it", () =>
    Effect.gen(function* () {
      const elsewhere = yield* serve((_, response) => response.end('{"token":"t0k"}'))
      const realmHost = `localhost:${elsewhere.port}`
      const server = yield* registryWithTokens({ challenge: () => `Bearer realm="http://${realmHost}/token"` })
      const directory = yield* temporary
      const variables = authFile(directory, { auths: { [server.host]: { auth: login } } })
      const refused = yield* machine({ variables })
      const error = yield* Effect.flip(refused.manifest(yield* ref(`${server.host}/a`)))
      assert.strictEqual(error._tag, "RegistryProtocol")
      assert.include(error.message, "tokenHosts")
      assert.lengthOf(elsewhere.seen, 0)
      const allowed = yield* machine({ variables, settings: { tokenHosts: { [server.host]: ["localhost"] } } })
      yield* allowed.manifest(yield* ref(`${server.host}/a`))
      assert.strictEqual(elsewhere.seen[0]?.headers.authorization, `Basic ${login}`)
    })
  )

  it.scoped("T-89 a token server's redirect is not followed to another origin, nor with a refresh token at all", () =>
    Effect.gen(function* () {
      const elsewhere = yield* serve((_, response) => response.end('{"token":"t0k"}'))
      const server = yield* serve(({ headers, path }, response) => {
        if (path.startsWith("/token")) response.writeHead(307, { location: `http://${elsewhere.host}/token` }).end()
        else if (path.startsWith("/near")) response.writeHead(307, { location: "/here" }).end()
        else if (path.startsWith("/here")) response.end('{"token":"t0k"}')
        else if (headers.authorization === "Bearer t0k") sendManifest(response)
        else {
          const realm = path.includes("/near/") ? "near" : "token"
          response.writeHead(401, { "www-authenticate": `Bearer realm="http://${headers.host}/${realm}"` }).end()
        }
      })
      const directory = yield* temporary
      const variables = authFile(directory, {
        auths: { [server.host]: { auth: login }, [`${server.host}/near/x`]: { identitytoken: "refresh" } }
      })
      const registry = yield* machine({ variables })
      const error = yield* Effect.flip(registry.manifest(yield* ref(`${server.host}/a`)))
      assert.strictEqual(error._tag, "RegistryProtocol")
      assert.lengthOf(elsewhere.seen, 0)
      yield* registry.manifest(yield* ref(`${server.host}/near/a`))
      assert.strictEqual(
        (yield* Effect.flip(registry.manifest(yield* ref(`${server.host}/near/x`))))._tag,
        "RegistryProtocol"
      )
    })
  )
})

describe("tokens", () => {
  it.scoped("T-90 a token is asked for to read this repository, whatever wider scope the challenge names", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const server = yield* registryWithTokens({
        token: (query) => {
          asked.push(`${query.get("service")} ${query.getAll("scope").join()}`)
          return [200, '{"token":"t0k"}']
        }
      })
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/team/app:1`)
      yield* registry.manifest(reference)
      yield* registry.manifest(reference)
      assert.deepStrictEqual(asked, ["reg repository:team/app:pull"])
    })
  )

  it.scoped("T-91 token and access_token are taken, with any expires_in; what is no token is RegistryProtocol", () =>
    Effect.gen(function* () {
      const outcome = (text: string, status = 200) =>
        Effect.gen(function* () {
          const server = yield* registryWithTokens({ token: () => [status, text] })
          const registry = yield* machine()
          const result = yield* Effect.either(registry.manifest(yield* ref(`${server.host}/a`)))
          return Either.isRight(result) ? "ok" : result.left._tag
        })
      const good = ['{"token":"t0k"}', '{"access_token":"t0k"}', '{"token":"t0k","access_token":"other"}']
      const expiries = ["0", "-1", "1000000000", "1e400", "null", "2.5"]
      for (const text of [...good, ...expiries.map((expiry) => `{"token":"t0k","expires_in":${expiry}}`)]) {
        assert.strictEqual(yield* outcome(text), "ok", text)
      }
      const bad = [
        "<html>",
        "",
        "null",
        "{}",
        '{"token":""}',
        '{"token":1}',
        '{"token":"a\\r\\nX: y"}',
        '{"token":"é"}'
      ]
      for (const text of [...bad, `{"token":"${"x".repeat(5_000_000)}"}`, `{"token":"t0k","expires_in":"soon"}`]) {
        assert.strictEqual(yield* outcome(text), "RegistryProtocol", text.slice(0, 50))
      }
      assert.strictEqual(yield* outcome("", 404), "RegistryProtocol")
      assert.strictEqual(yield* outcome("", 401), "RegistryDenied")
    })
  )

  it.scoped("T-91 a token is used for the time that it says, and not for longer", () =>
    Effect.gen(function* () {
      let issued = 0
      const server = yield* registryWithTokens({
        token: () => [200, `{"token":"t${++issued}","expires_in":300}`],
        accepts: (header) => header === `Bearer t${issued}`
      })
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/a`)
      const fetches = () => server.seen.filter(({ path }) => path.startsWith("/token")).length
      yield* registry.manifest(reference)
      yield* hurried(Effect.sleep("280 seconds"), 10_000)
      yield* registry.manifest(reference)
      assert.strictEqual(fetches(), 1)
      yield* hurried(Effect.sleep("20 seconds"), 10_000)
      yield* registry.manifest(reference)
      assert.strictEqual(fetches(), 2)
    })
  )

  it.scoped("T-92 a token that expires in the middle of a layer is fetched anew once, and the layer goes on", () =>
    Effect.gen(function* () {
      const blob = someBytes(200_000)
      let valid = 0
      const server = yield* serve(({ headers, path }, response) => {
        if (path.startsWith("/token")) return response.end(JSON.stringify({ token: `t${++valid}` }))
        if (headers.authorization !== `Bearer t${valid}`) {
          return response.writeHead(401, { "www-authenticate": `Bearer realm="http://${headers.host}/token"` }).end()
        }
        const start = Number(/[0-9]+/.exec(headers.range ?? "0")?.[0])
        response.writeHead(start > 0 ? 206 : 200, {
          "content-length": blob.length - start,
          ...(start > 0 ? { "content-range": `bytes ${start}-${blob.length - 1}/${blob.length}` } : {})
        })
        if (start > 0) return response.end(blob.subarray(start))
        // The connection breaks, and the token holds no longer.
        response.write(blob.subarray(0, 100_000), () => setTimeout(() => response.socket?.destroy(), 10))
        valid++
      })
      const registry = yield* machine()
      const got = yield* hurried(registry.download(yield* ref(`${server.host}/a`), described(blob)))
      assert.isTrue(blob.equals(got))
      assert.lengthOf(
        server.seen.filter(({ path }) => path.startsWith("/token")),
        2
      )
    })
  )

  it.scoped("T-92 ten blobs at once share one token", () =>
    Effect.gen(function* () {
      const blob = someBytes(10)
      const server = yield* serve(({ headers, path }, response) => {
        if (path.startsWith("/token")) return void setTimeout(() => response.end('{"token":"t0k"}'), 20)
        if (headers.authorization === "Bearer t0k") return response.end(blob)
        response.writeHead(401, { "www-authenticate": `Bearer realm="http://${headers.host}/token"` }).end()
      })
      const registry = yield* machine()
      const reference = yield* ref(`${server.host}/a`)
      const all = Array.from({ length: 10 }, () => registry.download(reference, described(blob)))
      yield* Effect.all(all, { concurrency: 10 })
      assert.lengthOf(
        server.seen.filter(({ path }) => path.startsWith("/token")),
        1
      )
    })
  )

  it.scoped("T-93 a registry that says 401 for ever is asked twice, and is RegistryDenied", () =>
    Effect.gen(function* () {
      const server = yield* registryWithTokens({ accepts: () => false })
      const registry = yield* machine()
      const error = yield* Effect.flip(registry.manifest(yield* ref(`${server.host}/a`)))
      assert.strictEqual(error._tag, "RegistryDenied")
      assert.lengthOf(server.seen, 3)
      const plain = yield* registryWithTokens({ accepts: () => false, challenge: () => "Basic" })
      const directory = yield* temporary
      const known = yield* machine({ variables: authFile(directory, { auths: { [plain.host]: { auth: login } } }) })
      const refused = yield* Effect.flip(known.manifest(yield* ref(`${plain.host}/a`)))
      assert.include(refused.message, "does not accept the login")
      assert.lengthOf(plain.seen, 2)
    })
  )

  it.scoped("a refresh token is sent as a form, never in an address", () =>
    Effect.gen(function* () {
      const server = yield* registryWithTokens({
        token: (query) => [query.get("refresh_token") === "r3fresh" ? 200 : 401, '{"access_token":"t0k"}']
      })
      const directory = yield* temporary
      const auths = { [server.host]: { identitytoken: "r3fresh", auth: login } }
      const registry = yield* machine({ variables: authFile(directory, { auths }) })
      yield* registry.manifest(yield* ref(`${server.host}/a`))
      const asked = server.seen.find(({ path }) => path.startsWith("/token"))
      assert.strictEqual(asked?.method, "POST")
      assert.notInclude(asked?.path, "r3fresh")
      assert.include(asked?.body, "grant_type=refresh_token")
    })
  )
})

describe("logins", () => {
  const needsLogin = () =>
    registryWithTokens({ accepts: (header) => header === `Basic ${login}`, challenge: () => 'Basic realm="r"' })

  it.scoped("files of docker and of containers are read in their order, and keys are hosts, URLs and namespaces", () =>
    Effect.gen(function* () {
      const server = yield* needsLogin()
      const reference = yield* ref(`${server.host}/team/app`)
      const bad = Buffer.from("x:y").toString("base64")
      for (const key of [server.host, `https://${server.host}`, `http://${server.host}/v2/`, `${server.host}/team`]) {
        const directory = yield* temporary
        const other = key.endsWith("/team") ? server.host : "other.example"
        const auths = { [other]: { auth: bad }, [key]: { auth: login } }
        yield* (yield* machine({ variables: authFile(directory, { auths }) })).manifest(reference)
      }
      const content = JSON.stringify({ auths: { [server.host]: { auth: login } } })
      for (const name of ["run/containers/auth.json", ".config/containers/auth.json", ".docker/config.json"]) {
        const home = yield* temporary
        fs.mkdirSync(path.dirname(path.join(home, name)), { recursive: true })
        fs.writeFileSync(path.join(home, name), content)
        yield* (yield* machine({ variables: { HOME: home, XDG_RUNTIME_DIR: `${home}/run` } })).manifest(reference)
      }
    })
  )

  it.scoped("T-113 a missing or broken file is no login: what is public comes, and what is not says which file", () =>
    Effect.gen(function* () {
      const server = yield* needsLogin()
      const open = yield* registryWithTokens({ accepts: () => true })
      const directory = yield* temporary
      for (const text of ["{", "[]", '{"auths":3}', '{"auths":{"h":{"auth":"s3cret-in-file","username":5}}}', ""]) {
        const registry = yield* machine({ variables: authFile(directory, text) })
        yield* registry.manifest(yield* ref(`${open.host}/a`))
        const error = yield* Effect.flip(registry.manifest(yield* ref(`${server.host}/a`)))
        assert.strictEqual(error._tag, "RegistryDenied")
        assert.include(error.message, "auth.json")
        assert.notInclude(JSON.stringify(error), "s3cret")
      }
      const missing = yield* machine({ variables: { REGISTRY_AUTH_FILE: "/no/such/file" } })
      const error = yield* Effect.flip(missing.manifest(yield* ref(`${server.host}/a`)))
      assert.include(error.message, "name and a password")
      for (const auth of ["!!!", "", Buffer.from("nocolon").toString("base64")]) {
        const registry = yield* machine({ variables: authFile(directory, { auths: { [server.host]: { auth } } }) })
        assert.strictEqual(
          (yield* Effect.flip(registry.manifest(yield* ref(`${server.host}/a`))))._tag,
          "RegistryDenied"
        )
      }
    })
  )

  const helper = (directory: string, script: string) => {
    fs.writeFileSync(path.join(directory, "docker-credential-test"), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    return { PATH: `${directory}:/usr/bin:/bin` }
  }

  it.scoped("a helper is asked for the registry's login, and for Docker Hub's under its old name", () =>
    Effect.gen(function* () {
      const server = yield* needsLogin()
      const directory = yield* temporary
      const asked = path.join(directory, "asked")
      const variables = helper(
        directory,
        `[ "$1" = get ] && cat > ${asked}; echo '{"ServerURL":"x","Username":"ann","Secret":"s3cret"}'`
      )
      for (const content of [
        { credHelpers: { [server.host]: "test" } },
        { credsStore: "test", auths: { [server.host]: {} } }
      ]) {
        const registry = yield* machine({ variables: { ...variables, ...authFile(directory, content) } })
        yield* registry.manifest(yield* ref(`${server.host}/a`))
        assert.strictEqual(fs.readFileSync(asked, "utf8").trim(), server.host)
      }
      const hub = yield* machine({
        variables: { ...variables, ...authFile(directory, { credsStore: "test" }) },
        settings: { mirrors: { "docker.io": [`http://${server.host}`] } }
      })
      // As a mirror it is asked for by its own name.
      yield* hub.manifest(yield* ref("alpine"))
      assert.strictEqual(fs.readFileSync(asked, "utf8").trim(), server.host)
    })
  )

  it.scopedLive(
    "T-113 a helper that fails, is not there, or talks nonsense is named, and nothing that it said is told or logged",
    () =>
      Effect.gen(function* () {
        const server = yield* needsLogin()
        const directory = yield* temporary
        const logged: Array<string> = []
        const logger = Logger.make(({ message }) => void logged.push(String(message)))
        const outcome = (script: string, name = "test") =>
          Effect.gen(function* () {
            const content = { credHelpers: { [server.host]: name } }
            const variables = { ...helper(directory, script), ...authFile(directory, content) }
            const registry = yield* machine({ variables })
            return yield* Effect.flip(registry.manifest(yield* ref(`${server.host}/a`)))
          }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
        for (const script of [
          "echo s3cret; echo s3cret >&2; exit 1",
          "echo s3cret",
          `echo '{"Username":3,"Secret":"s3cret"}'`,
          "kill -9 $$"
        ]) {
          const error = yield* outcome(script)
          assert.strictEqual(error._tag, "RegistryDenied")
          assert.include(error.message, "docker-credential-test")
          assert.notInclude(JSON.stringify(error) + error.message, "s3cret")
        }
        const quiet = yield* outcome("echo 'credentials not found in native keychain'; exit 1")
        assert.notInclude(quiet.message, "docker-credential-test")
        assert.include((yield* outcome("exit 0", "absent")).message, "not installed")
        assert.include((yield* outcome("exit 0", "../test")).message, "no helper's name")
        assert.notInclude(logged.join(), "s3cret")
      })
  )

  it.scoped("T-113 a helper that hangs is ended after ten seconds, with what it has started", () =>
    Effect.gen(function* () {
      const server = yield* needsLogin()
      const directory = yield* temporary
      const variables = {
        ...helper(directory, `echo $$ > ${directory}/pid; sleep 600 & wait`),
        ...authFile(directory, { credsStore: "test" })
      }
      const registry = yield* machine({ variables })
      const begun = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const error = yield* Effect.flip(hurried(registry.manifest(yield* ref(`${server.host}/a`)), 20))
      assert.include(error.message, "did not answer within 10 seconds")
      assert.isAtLeast((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - begun, 10_000)
      assert.isFalse(fs.existsSync(`/proc/${fs.readFileSync(`${directory}/pid`, "utf8").trim()}`))
    })
  )

  it.scoped("T-97 a login goes to no other place: not with a redirect, and not on the way back", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const tls = certificate(directory, "a", "DNS:r.test,DNS:storage.test")
      const blob = someBytes(100)
      const storage = yield* serve(
        ({ headers, path }, response) => {
          if (path === "/back")
            return response.writeHead(302, { location: `https://r.test:${server.port}/final` }).end()
          response.end(headers.authorization === undefined ? blob : "")
        },
        { tls }
      )
      const server = yield* serve(
        ({ headers, path }, response) => {
          if (path === "/final") return response.end(headers.authorization === undefined ? blob : "")
          if (headers.authorization !== `Basic ${login}`) {
            return response.writeHead(401, { "www-authenticate": "Basic" }).end()
          }
          const target = path.includes("/back/") ? "back" : "blob?signature=x"
          response.writeHead(307, { location: `https://storage.test:${storage.port}/${target}` }).end()
        },
        { tls }
      )
      const host = `r.test:${server.port}`
      const auths = { [host]: { auth: login }, [`storage.test:${storage.port}`]: { auth: login } }
      const variables = { SSL_CERT_FILE: tls.ca, ...authFile(directory, { auths }) }
      const registry = yield* machine({ variables, lookup: testNames })
      for (const name of ["a", "back/a"]) {
        assert.isTrue(blob.equals(yield* registry.download(yield* ref(`${host}/${name}`), described(blob))))
      }
      assert.deepStrictEqual(
        storage.seen.map(({ headers }) => headers.authorization),
        [undefined, undefined]
      )
    })
  )
})
