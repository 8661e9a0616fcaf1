/**
 * Which secrets a guest gets, and under which names.
 */
import { InvalidArgument, type NamedSecret, type SecretName, type SecretRequest, SecretUnknown } from "@aegis/domain"
import * as Effect from "effect/Effect"

export interface Selected {
  readonly name: SecretName
  readonly variable: string
}

/**
 * Each variable once. What is named wins over `*`, and `taken` — what the caller sets itself — wins over both (S-078); a name that
 * there is no secret for is refused even then (S-077).
 */
export const select = (
  requests: ReadonlyArray<SecretRequest>,
  existing: ReadonlyArray<SecretName>,
  taken: ReadonlySet<string>
): Effect.Effect<ReadonlyArray<Selected>, SecretUnknown | InvalidArgument> =>
  Effect.gen(function* () {
    const all = requests.some(({ _tag }) => _tag === "All") ? existing : []
    const named = requests.filter((request): request is NamedSecret => request._tag === "Named")
    const asked = new Map<string, SecretName>()
    for (const { name, variable } of named) {
      if (!existing.includes(name)) return yield* new SecretUnknown({ name })
      const other = asked.get(variable) ?? name
      if (other !== name) {
        return yield* new InvalidArgument({
          argument: "--secret",
          reason: `both ${other} and ${name} are to be ${variable}`,
          remedy: `give one of them another name: --secret ${name}=OTHER_NAME`
        })
      }
      asked.set(variable, name)
    }
    const chosen = new Map<string, SecretName>([...all.map((name) => [name, name] as const), ...asked])
    return Array.from(chosen, ([variable, name]) => ({ name, variable })).filter(({ variable }) => !taken.has(variable))
  })
