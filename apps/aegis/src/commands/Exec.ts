/**
 * `aegis exec`: S-147 to S-158.
 */
import { Aegis } from "@aegis/client"
import { type ExecEvent, ExecId, ExecSpec, GuestPath, GuestUser } from "@aegis/domain"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Caller } from "../Caller.ts"
import { ExitWith, TargetUnresolved, UsageError } from "../Errors.ts"
import { execSession } from "../ExecSession.ts"
import { flagValue } from "../FlagValue.ts"
import { GuestCommand } from "../GuestCommand.ts"
import { programRequest } from "../ProgramRequest.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { Terminal } from "../Terminal.ts"
import { textArgument, textOption, textOptions } from "../Verbatim.ts"

const config = {
  target: Args.optional(textArgument("HANDLE_OR_ID")),
  interactive: Options.boolean("interactive", { aliases: ["i"] }),
  tty: Options.boolean("tty", { aliases: ["t"] }),
  env: textOptions("env"),
  workdir: Options.optional(textOption("workdir")),
  user: Options.optional(textOption("user")),
  detach: Options.boolean("detach", { aliases: ["d"] }),
  attach: Options.optional(textOption("attach")),
  json: Options.boolean("json")
}

export const exec = Command.make("exec", config, ({ attach, detach, json, ...given }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const { interactive } = given
    if (Option.isSome(attach)) {
      const id = yield* flagValue(ExecId, "--attach", attach.value, "the id that aegis exec --detach has printed")
      return yield* exitWith(yield* execSession({ events: aegis.attachExec(id), interactive, joined: true }))
    }
    if (json && !detach) {
      return yield* new UsageError({ message: "--json needs --detach", remedy: "leave it out, or add --detach" })
    }
    const target = yield* readTarget(Option.getOrElse(given.target, () => ""))
    const spec = yield* specOf({ ...given, detach })
    const events = Stream.catchTag(aegis.exec(target, spec), "NotFound", () => new TargetUnresolved({ target }))
    if (detach) return yield* untilSignal(leave(events, json))
    yield* exitWith(yield* execSession({ events, interactive, joined: false }))
  }).pipe(Effect.provide([Aegis.layer, Terminal.layer]))
)

const exitWith = (code: number) => (code === 0 ? Effect.void : new ExitWith({ code }))

interface ExecFlags {
  readonly interactive: boolean
  readonly tty: boolean
  readonly env: ReadonlyArray<string>
  readonly workdir: Option.Option<string>
  readonly user: Option.Option<string>
  readonly detach: boolean
}

const specOf = ({ detach, env: variables, interactive, tty, user, workdir }: ExecFlags) =>
  Effect.gen(function* () {
    const caller = yield* Caller
    const terminal = yield* Terminal
    if (tty && interactive && !detach && !terminal.isInput) {
      return yield* new UsageError({
        message: "-t passes a terminal's keys on, and standard input is none",
        remedy: "leave -t out to pass other input on"
      })
    }
    const { command, env } = yield* programRequest(yield* GuestCommand, variables)
    const directory = yield* Effect.transposeMapOption(workdir, (text) =>
      flagValue(GuestPath, "--workdir", text, "--workdir /workspace")
    )
    const term = tty && caller.env["TERM"] !== undefined ? { TERM: caller.env["TERM"] } : {}
    return new ExecSpec({
      command,
      env: { ...term, ...env },
      interactive,
      detached: detach,
      ...(Option.isSome(directory) ? { workdir: directory.value } : {}),
      ...(tty ? { tty: yield* terminal.size } : {}),
      ...(Option.isSome(user) ? { user: yield* userOf(user.value) } : {})
    })
  })

const userForm = /^([0-9]{1,10})(?::([0-9]{1,10}))?$/

/** Without a group it is the one with the user's number. */
const userOf = (text: string) => {
  const [, uid, gid = uid] = userForm.exec(text) ?? []
  return Effect.mapError(
    Schema.decodeUnknown(GuestUser)({ uid: Number(uid), gid: Number(gid) }),
    () =>
      new UsageError({
        message: `invalid --user: ${text} (numbers from 0 to 4294967294 are expected)`,
        remedy: "--user UID or --user UID:GID, such as --user 1000:1000"
      })
  )
}

/** Says its name once it runs, and lets it run. */
const leave = <E>(events: Stream.Stream<ExecEvent, E>, json: boolean) =>
  Effect.flatMap(Stdio, (stdio) =>
    Stream.runForEach(events, (event) => {
      if (event._tag !== "ExecStarted") return Effect.void
      const { execId, instanceId } = event
      return stdio.print(json ? jsonDocument({ exec_id: execId, instance_id: instanceId }) : `${execId}\n`)
    })
  )
