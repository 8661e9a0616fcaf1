import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { Digest, ImageReference, ImageReferenceText, parseImageReference } from "../src/ImageReference.ts"

const hex = "0123456789abcdef".repeat(4)
const digest = `sha256:${hex}`

const read = (text: string) => Effect.runSync(parseImageReference(text))
const refusal = (text: string) => Effect.runSync(Effect.flip(parseImageReference(text)))

describe("ImageReference", () => {
  it.each([
    ["alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["alpine:3.21", "docker.io/library/alpine:3.21", "alpine:3.21"],
    ["library/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["bitnami/redis:7", "docker.io/bitnami/redis:7", "bitnami/redis:7"],
    ["docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["Docker.IO/alpine:X", "docker.io/library/alpine:X", "alpine:X"],
    ["localhost/a", "localhost/a:latest", "localhost/a:latest"],
    ["localhost:5000/a/b:v1.0_x-y", "localhost:5000/a/b:v1.0_x-y", "localhost:5000/a/b:v1.0_x-y"],
    ["127.0.0.1:5000/a", "127.0.0.1:5000/a:latest", "127.0.0.1:5000/a:latest"],
    ["[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"],
    ["ghcr.io/o/n/deep", "ghcr.io/o/n/deep:latest", "ghcr.io/o/n/deep:latest"],
    [`alpine@${digest}`, `docker.io/library/alpine@${digest}`, `alpine@${digest}`],
    [`alpine:3@${digest}`, `docker.io/library/alpine:3@${digest}`, `alpine:3@${digest}`],
    ["a--b__c.d_e", "docker.io/library/a--b__c.d_e:latest", "a--b__c.d_e:latest"],
    ["myhost/a", "docker.io/myhost/a:latest", "myhost/a:latest"],
    ["docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"],
    ["docker.io/localhost/a", "docker.io/localhost/a:latest", "docker.io/localhost/a:latest"]
  ])("T-10 %s is %s, and written %s", (text, canonical, familiar) => {
    const reference = read(text)
    assert.deepStrictEqual([reference.canonical, reference.familiar], [canonical, familiar])
    assert.deepStrictEqual(read(canonical), reference)
    assert.deepStrictEqual(read(familiar), reference)
  })

  it.each([
    "",
    " ",
    "alpine ",
    "Alpine",
    "ghcr.io/Owner/x",
    "a//b",
    "/a",
    "a/",
    "../etc/passwd",
    "a/../b",
    "docker.io/",
    "a:",
    "a:-x",
    "a:.x",
    "a:x y",
    `a:${"t".repeat(129)}`,
    "a@",
    "a@sha256:abc",
    "host.example:0/a",
    "host.example:65536/a",
    "host.example:/a",
    "-host.example/a",
    "host..example/a",
    "user@host.example/a",
    "https://ghcr.io/a",
    "a?b",
    "a#b",
    "a%2fb",
    "a\nb",
    "a\0",
    "é",
    "a___b",
    "a_",
    "[::zz]:5000/a",
    "999.1.1.1/a",
    hex,
    "x".repeat(256),
    "x".repeat(10_000),
    `alpine@${digest}\n`,
    `alpine@${digest}@${digest}`
  ])("T-10 %j is refused, and the refusal says which and why", (text) => {
    const error = refusal(text)
    assert.strictEqual(error._tag, "ImageRefInvalid")
    assert.include(error.message, JSON.stringify(text.slice(0, 300)))
    assert.isNotEmpty(error.reason)
  })

  it("a tag of 128 characters and a name of 255 are the longest", () => {
    read(`a:${"t".repeat(128)}`)
    const longest = "x".repeat(255 - "docker.io/library/".length)
    assert.strictEqual(read(longest).repository.length, 255 - "docker.io/".length)
    refusal(`${longest}x`)
  })

  const word = FastCheck.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,8}){0,2}$/)
  const host = FastCheck.constantFrom("docker.io", "ghcr.io", "localhost", "127.0.0.1:5000", "r.example:443", "[::1]:1")
  const reference = FastCheck.tuple(
    host,
    FastCheck.array(word, { minLength: 1, maxLength: 4 }),
    FastCheck.option(FastCheck.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/), { nil: undefined }),
    FastCheck.option(FastCheck.stringMatching(/^[0-9a-f]{64}$/), { nil: undefined })
  ).map(([registry, parts, tag, hash]) => {
    const bare = registry === "docker.io" && parts.length === 1
    return new ImageReference({
      registry,
      repository: bare ? `library/${parts[0]}` : parts.join("/"),
      ...(tag === undefined && hash !== undefined ? {} : { tag: tag ?? "latest" }),
      ...(hash === undefined ? {} : { digest: Digest.make(`sha256:${hash}`) })
    })
  })

  it("every reference is read back from both of its forms", () => {
    FastCheck.assert(
      FastCheck.property(reference, (one) => {
        assert.deepStrictEqual(read(one.canonical), one)
        assert.deepStrictEqual(read(one.familiar), one)
        assert.strictEqual(Schema.encodeSync(ImageReferenceText)(one), one.canonical)
        assert.deepStrictEqual(Schema.decodeSync(ImageReferenceText)(one.canonical), one)
      })
    )
  })

  it("T-10 of any text comes a reference that is safe in a URL, or a refusal; never a crash", () => {
    const text = FastCheck.oneof(
      FastCheck.string({ unit: "binary" }),
      FastCheck.stringMatching(/^[a-zA-Z0-9.:/@_[\]-]{0,40}$/)
    )
    FastCheck.assert(
      FastCheck.property(text, (given) => {
        const result = Effect.runSync(Effect.either(parseImageReference(given)))
        if (Either.isLeft(result)) return
        const { canonical, registry, repository } = result.right
        const url = new URL(`https://${registry}/v2/${repository}/manifests/x`)
        assert.strictEqual(url.pathname, `/v2/${repository}/manifests/x`)
        assert.strictEqual(url.username + url.search + url.hash, "")
        assert.deepStrictEqual(read(canonical), result.right)
      }),
      { numRuns: 2000 }
    )
  })
})

describe("Digest", () => {
  it.each([
    "../../../etc/passwd",
    `sha256:../../../etc/passwd`,
    `sha256:${hex.slice(1)}`,
    `sha256:${hex}0`,
    `sha256:${hex.toUpperCase()}`,
    `SHA256:${hex}`,
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    `${digest}\n`,
    `\n${digest}`,
    `${digest}?x=1`,
    `${digest}/..`,
    `${digest}\0`,
    `sha256-${hex}`,
    `sha256:`,
    hex,
    "",
    42,
    null,
    [digest],
    `sha256: ${hex.slice(1)}`
  ])("T-56 the malformed digest %j is none", (value) => {
    assert.isTrue(Either.isLeft(Schema.decodeUnknownEither(Digest)(value)))
  })
  it("T-57 sha512 is not supported, and so never part of a path", () => {
    assert.isTrue(Either.isLeft(Schema.decodeUnknownEither(Digest)(`sha512:${hex}${hex}`)))
  })
})
