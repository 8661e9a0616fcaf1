/**
 * What is asked for in plain objects, checked here as the daemon would check it.
 */
import {
  ExecSpec,
  Exposure,
  InstanceSpec,
  InvalidArgument,
  KeepaliveRequest,
  NewSecret,
  PortNumber,
  SecretName,
  SecretRequestText,
  type WorkspaceRequest
} from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

type Spec = typeof InstanceSpec.Encoded

/** An instance that is wanted. Only `command` must be given: a program and its arguments, which no shell reads. */
export interface InstanceRequest extends Omit<Spec, "ephemeral" | "secrets" | "workspace"> {
  /** `KEY`, `KEY=VARIABLE`, or `*` for all. */
  readonly secrets?: ReadonlyArray<string>
  /** A name for one that is kept, or the absolute path of a directory of the host; absent: an empty one that goes with the instance. */
  readonly workspace?: string | { readonly at: string; readonly readOnly: boolean }
}

/** A command that is wanted in an instance. */
export type ExecRequest = Omit<typeof ExecSpec.Encoded, "detached">

/** For how many seconds an instance is not to idle, and why. */
export type KeepaliveLease = typeof KeepaliveRequest.Encoded

/** A port of a guest that is to be exposed. */
export type PortRequest = typeof Exposure.Encoded

/** A secret and its value, which is sent to the daemon and kept nowhere here. */
export type SecretValue = typeof NewSecret.Encoded

const reading = <A, I>(argument: string, schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknown(schema, { errors: "all", onExcessProperty: "error" })
  return (given: unknown): Effect.Effect<A, InvalidArgument> =>
    Effect.mapError(
      decode(given),
      (error) =>
        new InvalidArgument({
          argument,
          reason: ParseResult.ArrayFormatter.formatErrorSync(error)
            .map(({ message, path }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
            .join("; "),
          remedy: "see the type of what this call takes"
        })
    )
}

const readSpec = reading("instance", InstanceSpec)
const readSecrets = reading("secrets", Schema.Array(SecretRequestText))

export const instanceSpec = ({
  secrets = [],
  workspace,
  ...given
}: InstanceRequest): Effect.Effect<InstanceSpec, InvalidArgument> =>
  Effect.gen(function* () {
    const named = yield* readSecrets(secrets)
    const place = workspace === undefined ? {} : { workspace: workspaceOf(workspace) }
    const spec = yield* readSpec({ ...given, ...place })
    return new InstanceSpec({ ...spec, secrets: named })
  })

/** A path where it begins with `/`, else a name. */
const workspaceOf = (
  given: string | { readonly at: string; readonly readOnly: boolean }
): typeof WorkspaceRequest.Encoded => {
  const { at, readOnly } = typeof given === "string" ? { at: given, readOnly: false } : given
  return at.startsWith("/") ? { _tag: "HostPath", path: at, readOnly } : { _tag: "Named", name: at, readOnly }
}

export const execSpec: (given: ExecRequest) => Effect.Effect<ExecSpec, InvalidArgument> = reading("exec", ExecSpec)

export const keepaliveRequest: (given: KeepaliveLease) => Effect.Effect<KeepaliveRequest, InvalidArgument> = reading(
  "keepalive",
  KeepaliveRequest
)

export const exposure: (given: PortRequest) => Effect.Effect<Exposure, InvalidArgument> = reading("port", Exposure)
export const guestPort: (given: number) => Effect.Effect<number, InvalidArgument> = reading("port", PortNumber)

const readName = reading("secret", SecretName)

/** Only the name is read by a Schema that says what it was given: no message holds a value. */
export const newSecret = ({ name, value }: SecretValue): Effect.Effect<NewSecret, InvalidArgument> =>
  Effect.map(readName(name), (checked) => new NewSecret({ name: checked, value: Redacted.make(value) }))
