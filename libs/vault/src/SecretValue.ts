/**
 * What a secret's value may be: text that a program can be given as a variable, byte for byte.
 */
import { InvalidArgument, maxSecretBytes, type NewSecret } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

/** Refuses what execve(2) cannot carry, and what would not come out as it went in (T-119). No message repeats the value. */
export const checkValue = ({ name, value }: NewSecret): Effect.Effect<void, InvalidArgument> => {
  const reason = problemOf(Redacted.value(value))
  return reason === undefined
    ? Effect.void
    : new InvalidArgument({
        argument: `secret ${name}`,
        reason,
        remedy: "give it as text; what is not text can be stored in base64"
      })
}

const problemOf = (value: string): string | undefined => {
  if (value === "") return "the value is empty"
  if (value.includes("\0")) return "the value holds a NUL byte, which no variable can"
  if (/\p{Surrogate}/u.test(value)) return "the value is not text: it holds half a surrogate pair"
  const bytes = Buffer.byteLength(value)
  return bytes > maxSecretBytes ? `the value has ${bytes} bytes; at most ${maxSecretBytes} are possible` : undefined
}
