import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import { createSecretKey, randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { decrypt, encrypt, seal, unseal } from "../src/Seal.ts"

interface Vector {
  readonly source: string
  readonly key: string
  readonly iv: string
  readonly aad: string
  readonly ct: string
  readonly tag: string
  readonly pt: string | null
}

const vectors: ReadonlyArray<Vector> = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "testdata/nist-aes-256-gcm.json"), "utf8")
).vectors

const hex = (text: string) => Buffer.from(text, "hex")
const key = createSecretKey(randomBytes(32))
const identity = { name: "API_KEY", version: 3, createdAt: 1_795_515_600_000 }

describe("seal", () => {
  it("S-172 AES-256-GCM as NIST's vectors have it; what must be refused is refused", () => {
    assert.isAbove(vectors.filter(({ pt }) => pt === null).length, 5)
    for (const { aad, ct, iv, pt, source, tag, ...vector } of vectors) {
      const secret = createSecretKey(hex(vector.key))
      const sealed = Buffer.concat([hex(ct), hex(tag)])
      if (pt === null) {
        assert.throws(() => decrypt(secret, hex(iv), hex(aad), sealed), /authenticate/)
        continue
      }
      assert.strictEqual(decrypt(secret, hex(iv), hex(aad), sealed).toString("hex"), pt, source)
      if (source.includes("Encrypt")) {
        assert.strictEqual(encrypt(secret, hex(iv), hex(aad), hex(pt)).toString("hex"), sealed.toString("hex"), source)
      }
    }
  })

  it("T-119 values come out byte for byte as they went in", () => {
    for (const value of ["x", "a\nb\r\n", "ä\u{1f511}", "=", " ", "x".repeat(65_536)]) {
      assert.deepStrictEqual(unseal(key, identity, seal(key, identity, value)), Either.right(value))
    }
  })

  it("T-120 cut to any length, each bit flipped, another's nonce: refused, without the value", () => {
    const sealed = seal(key, identity, "sk-test123")
    const other = seal(key, identity, "sk-test123")
    const refused = (bytes: Uint8Array) => {
      const found = unseal(key, identity, bytes)
      assert.isTrue(Either.isLeft(found))
      assert.notInclude(JSON.stringify(found), "sk-test")
    }
    for (let length = 0; length < sealed.length; length++) refused(sealed.subarray(0, length))
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const flipped = Buffer.from(sealed)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      refused(flipped)
    }
    refused(Buffer.concat([other.subarray(0, 12), sealed.subarray(12)]))
    refused(Buffer.concat([sealed, Buffer.alloc(1)]))
  })

  it("T-121 a value belongs to its name, its version, its time and its key", () => {
    const sealed = seal(key, identity, "sk-test123")
    for (const wrong of [
      { ...identity, name: "API_KEY2" },
      { ...identity, version: 2 },
      { ...identity, createdAt: identity.createdAt + 1 }
    ]) {
      assert.isTrue(Either.isLeft(unseal(key, wrong, sealed)))
    }
    assert.isTrue(Either.isLeft(unseal(createSecretKey(randomBytes(32)), identity, sealed)))
  })

  it("T-123 no nonce comes twice in 200 000 values", () => {
    const seen = new Set<string>()
    for (let round = 0; round < 200_000; round++) {
      seen.add(Buffer.from(seal(key, identity, "x").subarray(0, 12)).toString("latin1"))
    }
    assert.strictEqual(seen.size, 200_000)
  }, 60_000)
})
