import { Digest } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { decodeConfig } from "../../src/registry/ImageConfig.ts"
import { decodeManifest, type ImageIndex, type ImageManifest, limits } from "../../src/registry/Manifest.ts"
import { fitness, selectPlatform } from "../../src/registry/Platform.ts"
import { digestOf, type FetchedDocument, resolveManifest } from "../../src/registry/Resolve.ts"

const oci = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar"
}
const docker = {
  manifest: "application/vnd.docker.distribution.manifest.v2+json",
  list: "application/vnd.docker.distribution.manifest.list.v2+json",
  config: "application/vnd.docker.container.image.v1+json",
  layer: "application/vnd.docker.image.rootfs.diff.tar.gzip"
}

const sha = (text: string) => digestOf(Buffer.from(text))
const digest = sha("x")
const amd64 = { os: "linux", architecture: "amd64", variant: undefined }
const arm64 = { os: "linux", architecture: "arm64", variant: "v8" }

const blob = (mediaType: string, more: object = {}) => ({ mediaType, digest, size: 10, ...more })
const manifest = (more: object = {}) => ({
  schemaVersion: 2,
  mediaType: oci.manifest,
  config: blob(oci.config),
  layers: [blob(`${oci.layer}+gzip`)],
  ...more
})
const index = (manifests: unknown, more: object = {}) => ({
  schemaVersion: 2,
  mediaType: oci.index,
  manifests,
  ...more
})
const entry = (platform: unknown, more: object = {}) => ({ ...blob(oci.manifest), platform, ...more })

const bytesOf = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value))
const read = (value: unknown, mediaType?: string) => decodeManifest("ref", { mediaType, bytes: bytesOf(value) })
const refusal = (value: unknown, mediaType?: string) => {
  const result = read(value, mediaType)
  assert.isTrue(Either.isLeft(result), `${JSON.stringify(value).slice(0, 200)} was accepted`)
  return Either.getOrThrow(Either.flip(result))
}
const accepted = (value: unknown, mediaType?: string) => Either.getOrThrow(read(value, mediaType))
const theManifest = (value: unknown): ImageManifest => {
  const found = accepted(value)
  if (found._tag !== "Manifest") throw new Error("an index")
  return found
}
const theIndex = (value: unknown): ImageIndex => {
  const found = accepted(value)
  if (found._tag !== "Index") throw new Error("a manifest")
  return found
}

describe("manifests", () => {
  it("OCI and schema 2 manifests give configuration and layers, and how each is packed", () => {
    const layers = [oci.layer, `${oci.layer}+gzip`, `${oci.layer}+zstd`, docker.layer].map((type) => blob(type))
    assert.deepStrictEqual(
      theManifest(manifest({ layers })).layers.map(({ compression }) => compression),
      ["none", "gzip", "zstd", "gzip"]
    )
    const old = manifest({ mediaType: docker.manifest, config: blob(docker.config), layers: [blob(docker.layer)] })
    assert.strictEqual(accepted(old, docker.manifest)._tag, "Manifest")
    assert.strictEqual(accepted(index([entry(amd64)], { mediaType: docker.list }), docker.list)._tag, "Index")
    assert.strictEqual(accepted(manifest({ mediaType: undefined }))._tag, "Manifest")
    assert.strictEqual(accepted(manifest(), `${oci.manifest}; charset=utf-8`)._tag, "Manifest")
    assert.strictEqual(accepted(manifest(), "application/json")._tag, "Manifest")
  })

  it.each([
    ["<html></html>", "HTML"],
    ["", "empty"],
    ["null", "object"],
    ["[]", "object"],
    ["42", "object"],
    ["\uFEFF{}", "JSON"],
    ["\0\0\0", "JSON"],
    ['{"schemaVersion":2', "JSON"],
    ["{}{}", "JSON"]
  ])("T-49 %j is refused", (text, why) => {
    const error = refusal(text)
    assert.deepInclude(error, { _tag: "ImageInvalid", reference: "ref" })
    assert.include(error.message, why)
  })
  it("T-49 bytes that are no UTF-8 are refused, and so is a document of 65 levels or 2 million", () => {
    const raw = (bytes: Uint8Array) => decodeManifest("ref", { mediaType: undefined, bytes })
    assert.isTrue(Either.isLeft(raw(Buffer.from([0x7b, 0xff, 0x7d]))))
    for (const depth of [65, 2_000_000]) {
      assert.include(refusal(`{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`).message, "nests")
    }
    assert.strictEqual(accepted(manifest({ annotations: { a: `"${"[".repeat(100)}\\` } }))._tag, "Manifest")
  })

  it("T-50 schema 1 is refused, by its number and by its type", () => {
    assert.include(refusal({ schemaVersion: 1, fsLayers: [] }).message, "schema 1")
    const type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    assert.include(refusal(manifest({ mediaType: type })).message, "schema 1")
    assert.include(refusal(manifest({ mediaType: undefined }), type).message, "schema 1")
  })

  it("T-51 a document that is two things, or is called two things, is refused", () => {
    assert.include(refusal({ ...manifest(), manifests: [] }).message, "at once")
    assert.include(refusal({ ...index([]), layers: [] }).message, "at once")
    assert.include(refusal(manifest(), oci.index).message, "calls")
    assert.include(refusal(manifest({ mediaType: docker.manifest }), oci.manifest).message, "calls")
    refusal(manifest({ mediaType: oci.index }))
    refusal(index([], { mediaType: oci.manifest }))
    refusal(manifest({ mediaType: undefined }), oci.index)
    refusal(index([], { mediaType: undefined }), oci.manifest)
    refusal(manifest({ mediaType: 1 }))
  })

  it("T-54 an image without layers is refused", () => {
    assert.include(refusal(manifest({ layers: [] })).message, "no layers")
  })
  it.each([
    { layers: null },
    { layers: {} },
    { config: null },
    { config: undefined },
    { layers: [null] },
    { config: [] }
  ])("T-55 a manifest with %j is refused", (more) => void refusal(manifest(more)))
  it.each([
    "../../../etc/passwd",
    "sha256:../../x",
    `${digest}0`,
    digest.toUpperCase(),
    "md5:00",
    `${digest}\n`,
    1,
    null
  ])("T-56 a malformed digest is refused before any path is built: %j", (bad) => {
    refusal(manifest({ config: { ...blob(oci.config), digest: bad } }))
    refusal(manifest({ layers: [{ ...blob(oci.layer), digest: bad }] }))
    refusal(index([{ ...entry(amd64), digest: bad }]))
  })
  it("T-57 a sha512 digest is refused", () => {
    refusal(manifest({ layers: [{ ...blob(oci.layer), digest: `sha512:${"0".repeat(128)}` }] }))
  })
  it.each(["-1", "1.5", '"10"', "null", "9007199254740993", "1e308", "[]", "true"])(
    "T-58 the size %s is refused",
    (size) => {
      const text = (value: object) => JSON.stringify(value).replace('"size":10', `"size":${size}`)
      refusal(text(manifest()))
      refusal(text(manifest({ config: blob(oci.config, { size: 1 }) })))
      refusal(text(index([entry(amd64)])))
    }
  )
  it("T-60 foreign layers are refused with the reason", () => {
    for (const type of [
      "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
      "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    ]) {
      assert.include(refusal(manifest({ layers: [blob(type)] })).message, "foreign")
    }
    const layers = [blob(docker.layer, { urls: ["http://169.254.169.254/x"] })]
    assert.include(refusal(manifest({ layers })).message, "URLs")
    assert.strictEqual(accepted(manifest({ layers: [blob(docker.layer, { urls: [] })] }))._tag, "Manifest")
  })
  it.each([`${oci.layer}+gzip+encrypted`, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "constructor", ""])(
    "T-61 a layer of the type %j is refused",
    (type) => assert.include(refusal(manifest({ layers: [blob(type)] })).message, "unknown type")
  )
  it.each([
    "application/vnd.wasm.config.v0+json",
    "application/vnd.cncf.helm.config.v1+json",
    "application/vnd.oci.empty.v1+json"
  ])("T-61 a configuration of the type %j is refused", (type) =>
    assert.include(refusal(manifest({ config: blob(type) })).message, "artifact")
  )
  it("T-62 500 layers are read, the same one 127 times too; 513 are too many, and so is a layer of 11 GB", () => {
    const some = (count: number, more = {}) =>
      manifest({ layers: Array.from({ length: count }, () => blob(oci.layer, more)) })
    assert.lengthOf(theManifest(some(500)).layers, 500)
    assert.lengthOf(theManifest(some(127)).layers, 127)
    assert.deepInclude(refusal(some(513)), { _tag: "ImageTooLarge", what: "the number of layers" })
    assert.strictEqual(refusal(some(1, { size: 11 * 1024 ** 3 }))._tag, "ImageTooLarge")
    assert.strictEqual(refusal(manifest({ config: blob(oci.config, { size: 9_000_000 }) }))._tag, "ImageTooLarge")
  })
  it("T-63 a document over 4 MiB is refused", () => {
    const size = limits.documentBytes
    assert.strictEqual(refusal(manifest({ annotations: { a: "x".repeat(size) } }))._tag, "ImageTooLarge")
  })
  it("T-64 prototype keys are nothing, of duplicate keys the last counts", () => {
    const text = JSON.stringify(manifest())
    const polluted = `{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},${text.slice(1)}`
    assert.strictEqual(accepted(polluted)._tag, "Manifest")
    assert.notProperty({}, "polluted")
    refusal(`{"__proto__":${text}}`)
    assert.include(refusal(`${text.slice(0, -1)},"layers":[]}`).message, "no layers")
  })
})

describe("platforms", () => {
  const pick = (wanted: typeof amd64 | typeof arm64, ...platforms: ReadonlyArray<unknown>) =>
    selectPlatform(
      "ref",
      wanted,
      theIndex(index(platforms.map((platform, at) => entry(platform, { digest: sha(String(at)) }))))
    )
  const picked = (wanted: typeof amd64 | typeof arm64, ...platforms: ReadonlyArray<unknown>) => {
    const { digest } = Either.getOrThrow(pick(wanted, ...platforms))
    return platforms.findIndex((_, at) => sha(String(at)) === digest)
  }
  const on = (architecture: string, variant?: string, os = "linux") => ({ os, architecture, variant })

  it("T-65 an index without this platform is refused with the platforms that it has", () => {
    const attestation = on("unknown", undefined, "unknown")
    const error = Either.getOrThrow(
      Either.flip(pick(amd64, on("s390x"), on("amd64", undefined, "windows"), on("arm", "v7"), attestation))
    )
    assert.strictEqual(error._tag, "PlatformNotFound")
    assert.deepStrictEqual(error.available, ["linux/s390x", "windows/amd64", "linux/arm/v7"])
    assert.include(error.message, "linux/amd64")
    for (const none of [[], [attestation]]) {
      assert.include(Either.getOrThrow(Either.flip(pick(amd64, ...none))).message, "none at all")
    }
    const evil = Either.getOrThrow(Either.flip(pick(amd64, on("x\u001b[2J\n"))))
    assert.notMatch(evil.message, /[\u0000-\u001f]/)
  })

  it("T-67 no platform is nobody's unless alone; variants: none is v8 on arm64 and v1 on amd64; of equals the first", () => {
    assert.strictEqual(picked(amd64, null, on("amd64")), 1)
    assert.strictEqual(picked(amd64, null), 0)
    assert.isTrue(Either.isLeft(pick(amd64, null, null)))
    assert.strictEqual(picked(arm64, on("arm64", "v8"), on("arm64")), 0)
    assert.strictEqual(picked(arm64, on("arm64"), on("arm64", "v8")), 0)
    assert.strictEqual(picked(arm64, on("arm64", "v9"), on("arm64", "v8")), 1)
    assert.isTrue(Either.isLeft(pick(arm64, on("arm64", "v9"))))
    assert.isTrue(Either.isLeft(pick(arm64, on("arm", "v7"))))
    assert.strictEqual(picked(amd64, on("amd64", "v3"), on("amd64", "v1")), 1)
    assert.isTrue(Either.isLeft(pick(amd64, on("amd64", "v2"))))
    assert.strictEqual(picked(amd64, on("x86_64"), on("amd64")), 0)
    assert.strictEqual(picked(arm64, on("aarch64")), 0)
    assert.strictEqual(fitness(amd64, on("amd64", "constructor")), 0)
  })

  it("T-68 an index of 10 000 entries is refused, one of 4000 is searched", () => {
    const many = (count: number) => index(Array.from({ length: count }, () => entry(on("s390x"))))
    assert.strictEqual(refusal(many(10_000))._tag, "ImageTooLarge")
    const found = theIndex(index([...Array.from({ length: 4000 }, () => entry(on("s390x"))), entry(on("amd64"))]))
    assert.isTrue(Either.isRight(selectPlatform("ref", amd64, found)))
  })

  const store = (...values: ReadonlyArray<unknown>) => {
    const documents = new Map<string, FetchedDocument>()
    for (const value of values) {
      const bytes = bytesOf(value)
      documents.set(digestOf(bytes), { mediaType: undefined, digest: digestOf(bytes), bytes })
    }
    return {
      of: (value: unknown): FetchedDocument => {
        const bytes = bytesOf(value)
        return { mediaType: undefined, digest: digestOf(bytes), bytes }
      },
      fetch: ({ digest }: { digest: Digest }) => Effect.fromNullable(documents.get(digest)).pipe(Effect.orDie)
    }
  }
  const to = (value: unknown, mediaType = oci.manifest) =>
    entry(amd64, { digest: digestOf(bytesOf(value)), size: bytesOf(value).length, mediaType })

  it.effect("T-66 an index in an index is followed, a third is refused, and so is a cycle", () =>
    Effect.gen(function* () {
      const [a, b, c] = [manifest(), index([to(manifest())]), index([to(index([to(manifest())]), oci.index)])]
      const deep = index([to(c, oci.index)])
      const { fetch, of } = store(a, b, c)
      const resolved = yield* resolveManifest("ref", amd64, of(c), fetch)
      assert.strictEqual(resolved.document.digest, of(a).digest)
      assert.deepStrictEqual(
        resolved.indexes.map(({ digest }) => digest),
        [of(c).digest, of(b).digest]
      )
      assert.include((yield* Effect.flip(resolveManifest("ref", amd64, of(deep), fetch))).message, "nested too deep")
      const self = of(index([entry(amd64, { mediaType: oci.index, size: 0 })]))
      const cycle = () => Effect.succeed(self)
      const sized = of(index([entry(amd64, { mediaType: oci.index, size: self.bytes.length })]))
      assert.strictEqual((yield* Effect.flip(resolveManifest("ref", amd64, sized, cycle)))._tag, "ImageInvalid")
    })
  )

  it.effect("T-51 T-59 an entry that is not of the type or the size that its index says is refused", () =>
    Effect.gen(function* () {
      const inner = index([to(manifest())])
      const { fetch, of } = store(manifest(), inner)
      const wrong = [
        index([to(manifest(), oci.index)]),
        index([to(inner)]),
        index([to(manifest({}), docker.manifest)]),
        index([{ ...to(manifest()), size: 5 }]),
        index([{ ...to(manifest()), size: 5_000_000 }])
      ]
      for (const one of wrong) {
        assert.strictEqual((yield* Effect.flip(resolveManifest("ref", amd64, of(one), fetch)))._tag, "ImageInvalid")
      }
    })
  )
})

describe("configurations", () => {
  const config = (more: object = {}) => ({
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: [digest] },
    ...more
  })
  const readConfig = (value: unknown) => decodeConfig("ref", bytesOf(value), theManifest(manifest()), amd64)
  const configRefusal = (value: unknown) => Either.getOrThrow(Either.flip(readConfig(value)))

  it("T-69 as many diff_ids as layers, each a digest", () => {
    assert.deepStrictEqual(Either.getOrThrow(readConfig(config())).diffIds, [digest])
    for (const diff_ids of [[], [digest, digest]]) {
      assert.include(configRefusal(config({ rootfs: { type: "layers", diff_ids } })).message, "diff_ids")
    }
    for (const rootfs of [
      null,
      { type: "layers" },
      { type: "x", diff_ids: [digest] },
      { type: "layers", diff_ids: ["x"] }
    ]) {
      assert.strictEqual(configRefusal(config({ rootfs }))._tag, "ImageInvalid")
    }
  })
  it("T-70 a configuration for another machine than its index said is refused", () => {
    for (const more of [{ os: "windows" }, { architecture: "arm64" }, { variant: "v4" }, { os: 1 }]) {
      assert.deepInclude(configRefusal(config(more)), { _tag: "ImageInvalid", what: "config" })
    }
  })
  it.each([["NOEQUALS"], ["A=\0"], ["A=\n"], [1], "A=b", null])("T-71 Env %j is of no consequence", (Env) => {
    assert.isTrue(Either.isRight(readConfig(config({ config: { Env } }))))
  })
  it.each([
    { Cmd: "sh -c x" },
    { WorkingDir: "../../.." },
    { User: "0:0:0" },
    { ExposedPorts: ["80"] },
    { Volumes: 3 },
    null,
    []
  ])("T-72 %j in a configuration is of no consequence", (inner) => {
    assert.isTrue(Either.isRight(readConfig(config({ config: inner, created: 3, history: "no" }))))
  })
  it("T-49 a configuration that is no JSON object is refused as one", () => {
    for (const text of ["", "null", "[]", "<x>"]) assert.strictEqual(configRefusal(text)._tag, "ImageInvalid")
  })
})
