/**
 * One value under one key: AES-256-GCM (NIST SP 800-38D) with a random nonce, bound to what it is the value of.
 */
import * as Either from "effect/Either"
import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from "node:crypto"

const cipher = "aes-256-gcm"
const nonceBytes = 12
const tagBytes = 16

/** What a sealed value is of. None of it is secret, and none of it can be exchanged. */
export interface Identity {
  readonly name: string
  readonly version: number
  /** In milliseconds since 1970. */
  readonly createdAt: number
}

/** Nonce, ciphertext and tag, one after the other. */
export const seal = (key: KeyObject, identity: Identity, value: string): Uint8Array => {
  const plaintext = Buffer.from(value, "utf8")
  try {
    const nonce = randomBytes(nonceBytes)
    return Buffer.concat([nonce, encrypt(key, nonce, additionalData(identity), plaintext)])
  } finally {
    plaintext.fill(0)
  }
}

/** The value; or why it is none: the bytes, what they are the value of, or the key are not those it was sealed with. */
export const unseal = (key: KeyObject, identity: Identity, sealed: Uint8Array): Either.Either<string, string> => {
  if (sealed.length < nonceBytes + tagBytes) return Either.left(`it has only ${sealed.length} bytes`)
  const nonce = sealed.subarray(0, nonceBytes)
  return Either.try({
    try: () => {
      const plaintext = decrypt(key, nonce, additionalData(identity), sealed.subarray(nonceBytes))
      try {
        return plaintext.toString("utf8")
      } finally {
        plaintext.fill(0)
      }
    },
    catch: () => "it was changed, or belongs to another name or key"
  })
}

/** Ciphertext and tag. A nonce is never used twice with one key. */
export const encrypt = (key: KeyObject, nonce: Uint8Array, additional: Uint8Array, plaintext: Uint8Array): Buffer => {
  const encryption = createCipheriv(cipher, key, nonce, { authTagLength: tagBytes }).setAAD(additional)
  return Buffer.concat([encryption.update(plaintext), encryption.final(), encryption.getAuthTag()])
}

/** Throws for anything that `encrypt` has not made from the same key, nonce and additional data. */
export const decrypt = (key: KeyObject, nonce: Uint8Array, additional: Uint8Array, sealed: Uint8Array): Buffer => {
  const end = sealed.length - tagBytes
  const decryption = createDecipheriv(cipher, key, nonce, { authTagLength: tagBytes })
    .setAAD(additional)
    .setAuthTag(sealed.subarray(end))
  const pieces = [decryption.update(sealed.subarray(0, end)), Buffer.alloc(0)]
  try {
    pieces[1] = decryption.final()
    return Buffer.concat(pieces)
  } finally {
    for (const piece of pieces) piece.fill(0)
  }
}

/** The first word changes with the format. JSON keeps the fields apart whatever is in them. */
const additionalData = ({ createdAt, name, version }: Identity) =>
  Buffer.from(JSON.stringify(["aegis secret 1", name, version, createdAt]), "utf8")
