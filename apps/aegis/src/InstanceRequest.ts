/**
 * From the flags of `aegis run` and `aegis instance start` to what the daemon is asked for.
 */
import {
  Exposures,
  Handle,
  InstanceSpec,
  MemoryMib,
  SecretRequestText,
  VcpuCount,
  workspaceTextIn
} from "@aegis/domain"
import { SpokenDuration, SpokenExposure } from "@aegis/contract"
import * as Options from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { UsageError } from "./Errors.ts"
import { flagValue } from "./FlagValue.ts"
import { imageText } from "./LocalImage.ts"
import { type NetworkFlags, networkFlags, networkLogFlag, networkPolicy } from "./NetworkFlags.ts"
import { programRequest } from "./ProgramRequest.ts"
import { textOption, textOptions } from "./Verbatim.ts"

/** The flags that describe an instance. */
export const instanceFlags = {
  name: Options.optional(textOption("name")),
  image: Options.optional(textOption("image")),
  env: textOptions("env"),
  secret: textOptions("secret"),
  expose: textOptions("expose"),
  workspace: Options.optional(textOption("workspace")),
  ...networkFlags,
  ...networkLogFlag,
  memory: Options.optional(textOption("memory")),
  cpus: Options.optional(textOption("cpus")),
  idlePause: Options.optional(textOption("idle-pause")),
  idleStop: Options.optional(textOption("idle-stop"))
}

export interface InstanceFlags extends NetworkFlags {
  readonly name: Option.Option<string>
  readonly image: Option.Option<string>
  readonly env: ReadonlyArray<string>
  readonly secret?: ReadonlyArray<string>
  readonly expose: ReadonlyArray<string>
  readonly workspace: Option.Option<string>
  readonly memory: Option.Option<string>
  readonly cpus: Option.Option<string>
  readonly idlePause: Option.Option<string>
  readonly idleStop: Option.Option<string>
  readonly interactive?: boolean
}

/** @param cwd what a relative workspace or image is resolved against (S-075); the daemon has a directory of its own. */
export const instanceRequest = (
  flags: InstanceFlags,
  argv: ReadonlyArray<string>,
  cwd: string | undefined
): Effect.Effect<InstanceSpec, UsageError> =>
  Effect.gen(function* () {
    const { command, env } = yield* programRequest(argv, flags.env)
    const secrets = yield* Effect.forEach(flags.secret ?? [], (text) => decode(SecretRequestText, "--secret", text))
    const exposes = yield* decode(
      Schema.typeSchema(Exposures),
      "--expose",
      yield* Effect.forEach(flags.expose, (text) =>
        flagValue(SpokenExposure, "port", text, "--expose 80, 80:tcp or 8080:80")
      )
    )
    const handle = yield* whenGiven(flags.name, handleNamed)
    const image = yield* whenGiven(flags.image, (text) => imageText(text, cwd, "--image"))
    const memoryMib = yield* whenGiven(flags.memory, (text) => wholeNumber(MemoryMib, "--memory", text))
    const vcpus = yield* whenGiven(flags.cpus, (text) => wholeNumber(VcpuCount, "--cpus", text))
    const idlePauseSeconds = yield* whenGiven(flags.idlePause, (text) => idleSeconds("--idle-pause", text))
    const idleStopSeconds = yield* whenGiven(flags.idleStop, (text) => idleSeconds("--idle-stop", text))
    const network = yield* networkPolicy(flags)
    const workspace = yield* whenGiven(flags.workspace, (text) => decode(workspaceTextIn(cwd), "--workspace", text))
    return new InstanceSpec({
      command,
      env,
      secrets,
      exposes,
      network,
      interactive: flags.interactive ?? false,
      ...(handle === undefined ? {} : { handle }),
      ...(image === undefined ? {} : { image }),
      ...(memoryMib === undefined ? {} : { memoryMib }),
      ...(vcpus === undefined ? {} : { vcpus }),
      ...(idlePauseSeconds === undefined ? {} : { idlePauseSeconds }),
      ...(idleStopSeconds === undefined ? {} : { idleStopSeconds }),
      ...(workspace === undefined ? {} : { workspace })
    })
  })

/** The handle that `--name` gives. */
export const handleNamed = (name: string): Effect.Effect<Handle, UsageError> => decode(Handle, "--name", name)

const whenGiven = <A>(
  flag: Option.Option<string>,
  read: (text: string) => Effect.Effect<A, UsageError>
): Effect.Effect<A | undefined, UsageError> =>
  Option.match(flag, { onNone: () => Effect.succeed(undefined), onSome: read })

const decode = <A, I>(schema: Schema.Schema<A, I>, what: string, value: unknown): Effect.Effect<A, UsageError> =>
  flagValue(schema, what, value, "aegis help run, or aegis help instance start")

/** What is no number is answered like 0, which is out of every range: the refusal names the range (D-19). */
const wholeNumber = <A>(schema: Schema.Schema<A, number>, flag: string, text: string): Effect.Effect<A, UsageError> =>
  decode(schema, flag, /^[0-9]{1,9}$/.test(text) ? Number(text) : 0).pipe(
    Effect.mapError(
      (error) => new UsageError({ message: error.message.replace(": ", `: ${text}: `), remedy: error.remedy })
    )
  )

/** `0` alone means never. */
const idleSeconds = (flag: string, text: string): Effect.Effect<number, UsageError> =>
  Effect.map(
    flagValue(SpokenDuration, flag, text === "0" ? "0s" : text, `${flag} 90s, or ${flag} 0 for never`),
    Duration.toSeconds
  )
