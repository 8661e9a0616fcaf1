/**
 * Logins that other tools keep: `docker login`, `skopeo login`, `podman login` and their credential helpers
 * (containers-auth.json(5), docker's config.json).
 */
import { AtomicFile, Process } from "@aegis/host"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** A name and a password, or a refresh token in the place of both. */
export type Credential =
  | { readonly _tag: "Password"; readonly username: string; readonly password: Redacted.Redacted<string> }
  | { readonly _tag: "RefreshToken"; readonly token: Redacted.Redacted<string> }

export interface FoundCredential {
  readonly credential: Option.Option<Credential>
  /** Why one may have been missed: files and helpers that cannot be used. Holds nothing of what they said. */
  readonly faults: ReadonlyArray<string>
}

export interface Credentials {
  /** The login for a repository of a registry. Never fails: without one, public images can still be had. */
  readonly find: (registry: string, repository: string) => Effect.Effect<FoundCredential>
}

const Secret = Schema.Redacted(Schema.String)

const AuthFile = Schema.Struct({
  auths: Schema.optional(
    Schema.Record({
      key: Schema.String,
      value: Schema.Struct({
        auth: Schema.optional(Secret),
        username: Schema.optional(Schema.String),
        password: Schema.optional(Secret),
        identitytoken: Schema.optional(Secret)
      })
    })
  ),
  credHelpers: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
  credsStore: Schema.optional(Schema.String)
})
type AuthFile = typeof AuthFile.Type

const HelperAnswer = Schema.parseJson(Schema.Struct({ Username: Schema.String, Secret }))

class HelperFailed extends Data.TaggedError("HelperFailed")<{ readonly reason: string }> {}

const helperLimit = "10 seconds"

/** What helpers may need of our environment to reach the user's keys. */
const helperVariables = [
  "PATH",
  "DBUS_SESSION_BUS_ADDRESS",
  "GNUPGHOME",
  "PASSWORD_STORE_DIR",
  "AWS_PROFILE",
  "AWS_REGION"
]

const variable = (name: string) => Effect.option(Config.nonEmptyString(name))

/** Reads the variables now, and the files and helpers whenever a login is looked for. */
export const makeCredentials: Effect.Effect<Credentials> = Effect.gen(function* () {
  const chosen = yield* variable("REGISTRY_AUTH_FILE")
  const home = yield* variable("HOME")
  const runtime = yield* variable("XDG_RUNTIME_DIR")
  const docker = yield* variable("DOCKER_CONFIG")
  const files = Option.match(chosen, {
    onSome: (file) => [file],
    onNone: () => [
      ...Option.toArray(Option.map(runtime, (directory) => `${directory}/containers/auth.json`)),
      ...Option.toArray(Option.map(home, (directory) => `${directory}/.config/containers/auth.json`)),
      ...Option.toArray(Option.orElse(docker, () => Option.map(home, (directory) => `${directory}/.docker`))).map(
        (directory) => `${directory}/config.json`
      )
    ]
  })
  const pairs = yield* Effect.forEach(helperVariables, (name) =>
    Effect.map(variable(name), (value) => ({ name, value }))
  )
  const environment = Object.fromEntries(
    pairs.flatMap(({ name, value }) => (Option.isSome(value) ? [[name, value.value] as const] : []))
  )

  const find: Credentials["find"] = Effect.fn("Credentials.find")(function* (registry, repository) {
    const faults: Array<string> = []
    for (const file of files) {
      const read = yield* Effect.either(AtomicFile.readJson(file, AuthFile))
      if (read._tag === "Left") {
        // The schema's own message would quote the file.
        if (read.left.code !== "ENOENT") faults.push(`${file} cannot be used (${read.left.code || "it is malformed"})`)
        continue
      }
      const stored = storedIn(read.right, registry, repository)
      if (Option.isSome(stored)) return { credential: stored, faults }
      const helper = helperFor(read.right, registry)
      if (helper === undefined) continue
      const answer = yield* Effect.either(askHelper(helper, registry, environment))
      if (answer._tag === "Left") faults.push(`docker-credential-${helper} ${answer.left.reason}`)
      else if (Option.isSome(answer.right)) return { credential: answer.right, faults }
    }
    return { credential: Option.none(), faults }
  })
  return { find }
})

/** Keys are hosts, hosts with a path (containers), or URLs (docker). Docker Hub has several names. */
const keyName = (key: string): string => {
  const bare = key.replace(/^https?:\/\//, "").replace(/\/+$/, "")
  const name = bare.replace(/\/v[12]$/, "").toLowerCase()
  return name.replace(/^(?:index|registry-1)\.docker\.io(?=\/|$)/, "docker.io")
}

const storedIn = (file: AuthFile, registry: string, repository: string): Option.Option<Credential> => {
  const entries = Object.entries(file.auths ?? {})
  const parts = `${registry}/${repository}`.split("/")
  // The longest that fits: `host/a/b`, `host/a`, `host`.
  for (let length = parts.length; length > 0; length--) {
    const wanted = parts.slice(0, length).join("/")
    for (const [key, { auth, identitytoken, password, username }] of entries) {
      if (keyName(key) !== wanted) continue
      if (identitytoken !== undefined) return Option.some({ _tag: "RefreshToken", token: identitytoken })
      if (username !== undefined && password !== undefined) return Option.some({ _tag: "Password", username, password })
      const text = auth === undefined ? "" : Buffer.from(Redacted.value(auth), "base64").toString("utf8")
      const colon = text.indexOf(":")
      if (colon > 0) {
        const secret = Redacted.make(text.slice(colon + 1).replace(/\0+$/, ""))
        return Option.some({ _tag: "Password", username: text.slice(0, colon), password: secret })
      }
    }
  }
  return Option.none()
}

const helperFor = (file: AuthFile, registry: string): string | undefined => {
  const own = Object.entries(file.credHelpers ?? {}).find(([key]) => keyName(key) === registry)?.[1]
  return own ?? file.credsStore
}

/** Speaks the protocol of docker-credential-helpers: the server's name in, JSON out. What it says is kept nowhere. */
const askHelper = (
  helper: string,
  registry: string,
  environment: Readonly<Record<string, string>>
): Effect.Effect<Option.Option<Credential>, HelperFailed> =>
  Effect.gen(function* () {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(helper))
      return yield* new HelperFailed({ reason: "is no helper's name" })
    const process = yield* Effect.mapError(
      Process.spawn({
        command: `docker-credential-${helper}`,
        args: ["get"],
        env: environment,
        stdin: "pipe",
        stdout: "tail",
        stderr: "ignore",
        detached: true
      }),
      (error) => new HelperFailed({ reason: error.cause === "not-found" ? "is not installed" : "cannot be started" })
    )
    const server = registry === "docker.io" ? "https://index.docker.io/v1/" : registry
    Option.map(process.stdin, (stdin) => stdin.end(`${server}\n`))
    const { code } = yield* process.exit
    const text = yield* process.stdoutTail
    // Every helper says that it has none with these words, on stdout, and fails.
    if (/credentials not found/i.test(text)) return Option.none()
    if (code !== 0) return yield* new HelperFailed({ reason: `failed (${code ?? "killed"})` })
    const { Secret: secret, Username: username } = yield* Effect.mapError(
      Schema.decode(HelperAnswer)(text),
      () => new HelperFailed({ reason: "answered what is not understood" })
    )
    return Option.some<Credential>(
      username === "<token>"
        ? { _tag: "RefreshToken", token: secret }
        : { _tag: "Password", username, password: secret }
    )
  }).pipe(
    Effect.scoped,
    Effect.timeoutFail({
      duration: helperLimit,
      onTimeout: () => new HelperFailed({ reason: `did not answer within ${helperLimit}` })
    })
  )
