import { Process } from "@aegis/host"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schedule from "effect/Schedule"
import { execFile } from "node:child_process"
import { createSign, randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { decodeConfig } from "../../src/registry/ImageConfig.ts"
import { hostPlatform } from "../../src/registry/Platform.ts"
import { resolveManifest } from "../../src/registry/Resolve.ts"
import { certificate, machine, ref, serve, shaOf, temporary } from "./scripted.ts"

const execute = promisify(execFile)

/** What a program prints; the token server of a test goes on in the meantime. */
const run = (command: string, ...words: ReadonlyArray<string>) =>
  Effect.promise(async () => (await execute(command, [...words])).stdout)

const rootless = process.getuid?.() === 0 ? [] : ["--rootless"]

/** Debian's docker-registry on a port of its own choice. */
const dockerRegistry = (auth: string) =>
  Effect.gen(function* () {
    const directory = yield* temporary
    const config = path.join(directory, "config.yml")
    const text = `version: 0.1
storage:
  filesystem:
    rootdirectory: ${directory}/data
http:
  addr: 127.0.0.1:0
${auth}`
    fs.writeFileSync(config, text)
    const server = yield* Process.spawn({
      command: "docker-registry",
      args: ["serve", config],
      stdin: "ignore",
      stdout: "ignore",
      stderr: "tail"
    })
    const listening = /listening on (127\.0\.0\.1:[0-9]+)/
    const log = yield* Effect.repeat(server.stderrTail, {
      until: (text) => listening.test(text),
      schedule: Schedule.spaced("5 millis")
    }).pipe(Effect.zipRight(server.stderrTail), Effect.timeout("10 seconds"))
    const host = listening.exec(log)?.[1] ?? ""
    return { host, directory }
  })

/** An OCI layout with one image of two layers, made by umoci. */
const someImage = Effect.gen(function* () {
  const directory = yield* temporary
  const layout = path.join(directory, "image")
  const content = path.join(directory, "content")
  fs.writeFileSync(content, Buffer.alloc(2_000_000, "some text "))
  yield* run("umoci", "init", "--layout", layout)
  yield* run("umoci", "new", "--image", `${layout}:1`)
  yield* run("umoci", "config", "--image", `${layout}:1`, "--architecture", hostPlatform().architecture)
  for (const name of ["/first", "/second"]) {
    yield* run("umoci", "insert", ...rootless, "--image", `${layout}:1`, content, name)
  }
  return layout
})

const push = (layout: string, target: string, ...words: ReadonlyArray<string>) => {
  const copy = ["--insecure-policy", "copy", "--dest-tls-verify=false", ...words]
  return run("skopeo", ...copy, `oci:${layout}:1`, `docker://${target}`)
}

/** The whole of an image, as a pull sees it. */
const pull = (registry: Effect.Effect.Success<ReturnType<typeof machine>>, name: string) =>
  Effect.gen(function* () {
    const reference = yield* ref(name)
    const root = yield* registry.manifest(reference)
    const image = yield* resolveManifest(name, hostPlatform(), root, ({ digest }) =>
      registry.manifest(reference.at(digest))
    )
    const bytes = yield* registry.download(reference, image.manifest.config)
    const config = Either.getOrThrow(decodeConfig(name, bytes, image.manifest, hostPlatform()))
    for (const layer of image.manifest.layers) {
      const whole = yield* registry.download(reference, layer)
      assert.strictEqual(shaOf(whole), layer.digest)
      const rest = yield* registry.download(reference, layer, whole.subarray(0, 1000))
      assert.isTrue(whole.equals(rest))
    }
    return { root, image, config }
  })

describe("docker-registry", () => {
  it.scopedLive(
    "an image of umoci's is read from a plain registry, by tag and by digest, whole and from an offset",
    () =>
      Effect.gen(function* () {
        const { host } = yield* dockerRegistry("")
        const layout = yield* someImage
        yield* push(layout, `${host}/team/app:1`)
        const registry = yield* machine()
        const { config, image, root } = yield* pull(registry, `${host}/team/app:1`)
        assert.lengthOf(image.manifest.layers, 2)
        assert.lengthOf(config.diffIds, 2)
        const inspect = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}"]
        assert.strictEqual(root.digest, (yield* run("skopeo", ...inspect, `docker://${host}/team/app:1`)).trim())
        assert.deepStrictEqual((yield* pull(registry, `${host}/team/app@${root.digest}`)).root.digest, root.digest)
        const missing = yield* Effect.flip(registry.manifest(yield* ref(`${host}/team/app:2`)))
        assert.strictEqual(missing._tag, "ImageNotFound")
        const config0 = { ...image.manifest.config, digest: shaOf(Buffer.from("never pushed")) }
        const gone = yield* Effect.flip(registry.download(yield* ref(`${host}/team/app:1`), config0))
        assert.include(gone.message, "not its blob")
      })
  )

  it.scopedLive("schema 2 with zstd or gzip, and an index of several platforms, are read", () =>
    Effect.gen(function* () {
      const { host } = yield* dockerRegistry("")
      const layout = yield* someImage
      yield* push(layout, `${host}/a:schema2`, "--format", "v2s2")
      yield* push(layout, `${host}/a:zstd`, "--dest-compress-format", "zstd", "--dest-compress")
      const registry = yield* machine()
      const schema2 = yield* pull(registry, `${host}/a:schema2`)
      assert.include(schema2.root.mediaType, "docker.distribution.manifest.v2")
      yield* pull(registry, `${host}/a:zstd`)
      const { digest, mediaType, bytes } = schema2.root
      const { architecture } = hostPlatform()
      const entry = (platform: object) => ({ mediaType, digest, size: bytes.length, platform })
      const index = JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: [entry({ os: "windows", architecture }), entry({ os: "linux", architecture })]
      })
      yield* Effect.promise(() =>
        fetch(`http://${host}/v2/a/manifests/multi`, {
          method: "PUT",
          headers: { "content-type": "application/vnd.oci.image.index.v1+json" },
          body: index
        })
      )
      const multi = yield* pull(registry, `${host}/a:multi`)
      assert.strictEqual(multi.image.document.digest, digest)
      assert.lengthOf(multi.image.indexes, 1)
    })
  )

  it.scopedLive("a mirror of docker.io serves alpine", () =>
    Effect.gen(function* () {
      const { host } = yield* dockerRegistry("")
      yield* push(yield* someImage, `${host}/library/alpine:3.21`)
      const registry = yield* machine({ settings: { mirrors: { "docker.io": [`http://${host}`] } } })
      yield* pull(registry, "alpine:3.21")
    })
  )

  it.scopedLive("a registry with passwords is read with skopeo's login, and with no other", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const passwords = path.join(directory, "htpasswd")
      fs.writeFileSync(passwords, yield* run("htpasswd", "-Bbn", "ann", "s3cret"))
      const { host } = yield* dockerRegistry(`auth:\n  htpasswd:\n    realm: test\n    path: ${passwords}\n`)
      yield* push(yield* someImage, `${host}/a:1`, "--dest-creds", "ann:s3cret")
      const auth = path.join(directory, "auth.json")
      yield* run("skopeo", "login", "--tls-verify=false", "--authfile", auth, "-u", "ann", "-p", "s3cret", host)
      yield* pull(yield* machine({ variables: { REGISTRY_AUTH_FILE: auth } }), `${host}/a:1`)
      const nobody = yield* Effect.flip((yield* machine()).manifest(yield* ref(`${host}/a:1`)))
      assert.strictEqual(nobody._tag, "RegistryDenied")
      fs.writeFileSync(
        auth,
        JSON.stringify({ auths: { [host]: { auth: Buffer.from("ann:wrong").toString("base64") } } })
      )
      const stranger = yield* machine({ variables: { REGISTRY_AUTH_FILE: auth } })
      assert.strictEqual((yield* Effect.flip(stranger.manifest(yield* ref(`${host}/a:1`))))._tag, "RegistryDenied")
    })
  )

  it.scopedLive("a registry with a token server is read with tokens, for everybody and after a login", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { ca } = certificate(directory, "unused", "DNS:unused")
      const login = `Basic ${Buffer.from("ann:s3cret").toString("base64")}`
      const server = yield* serve(({ headers, path: url }, response) => {
        const query = new URL(url, "http://x").searchParams
        const [, name = "", actions = ""] = query.get("scope")?.split(":") ?? []
        const isKnown = headers.authorization === login
        if (!isKnown && headers.authorization !== undefined) return response.writeHead(401).end()
        const allowed = isKnown ? actions.split(",") : name.startsWith("public/") ? ["pull"] : []
        response.end(JSON.stringify({ token: signed(directory, name, allowed), expires_in: 60 }))
      })
      const { host } = yield* dockerRegistry(`auth:
  token:
    realm: http://${server.host}/token
    service: test
    issuer: tester
    rootcertbundle: ${ca}
`)
      const layout = yield* someImage
      for (const name of ["public/a", "private/a"])
        yield* push(layout, `${host}/${name}:1`, "--dest-creds", "ann:s3cret")
      const anonymous = yield* machine()
      yield* pull(anonymous, `${host}/public/a:1`)
      const error = yield* Effect.flip(anonymous.manifest(yield* ref(`${host}/private/a:1`)))
      assert.strictEqual(error._tag, "RegistryDenied")
      const auth = path.join(directory, "auth.json")
      fs.writeFileSync(auth, JSON.stringify({ auths: { [host]: { auth: login.slice("Basic ".length) } } }))
      yield* pull(yield* machine({ variables: { REGISTRY_AUTH_FILE: auth } }), `${host}/private/a:1`)
    })
  )
})

/** A token as the distribution project's specification has it, signed by the authority in `directory`. */
const signed = (directory: string, name: string, actions: ReadonlyArray<string>) => {
  const pem = fs.readFileSync(path.join(directory, "ca.pem"), "utf8")
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const now = Math.floor(Date.now() / 1000)
  const header = encode({ typ: "JWT", alg: "RS256", x5c: [pem.replace(/-----[A-Z ]+-----|\s/g, "")] })
  const claims = encode({
    iss: "tester",
    sub: "",
    aud: "test",
    exp: now + 60,
    nbf: now - 10,
    iat: now,
    jti: randomUUID(),
    access: [{ type: "repository", name, actions }]
  })
  const signature = createSign("RSA-SHA256")
    .update(`${header}.${claims}`)
    .sign(fs.readFileSync(path.join(directory, "ca.key")))
  return `${header}.${claims}.${signature.toString("base64url")}`
}
