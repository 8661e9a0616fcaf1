/**
 * Commands in the scripted daemon's guests, beside their primary ones. They know the words of `Guests.ts`, and `spec`, which prints what
 * was asked for. `execs` in the home says which began, and which were ended by their readers.
 */
import {
  type ExecError,
  ExecEnded,
  ExecId,
  ExecLost,
  ExecNotFound,
  ExecStarted,
  type ExecEvent,
  type ExecSpec,
  Exited,
  InstanceSpec,
  Output,
  StateConflict
} from "@aegis/domain"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import { appendFileSync } from "node:fs"
import { find, play } from "./Guests.ts"

const inputs = new Map<ExecId, Mailbox.Mailbox<Uint8Array>>()
let next = 0

const tell = (words: string) => appendFileSync(`${process.env["AEGIS_HOME"]}/execs`, `${words}\n`)

export const exec = (target: string, spec: ExecSpec): Stream.Stream<ExecEvent, ExecError> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const { instance } = yield* find(target)
      if (instance.state === "stopped") {
        return yield* new StateConflict({ target, state: "stopped", remedy: `aegis instance start --name ${target}` })
      }
      const id = ExecId.make(`exec-${String(next++).padStart(16, "0")}`)
      const input = yield* Mailbox.make<Uint8Array>()
      const [word] = spec.command
      yield* Effect.addFinalizer((exit) =>
        Effect.sync(() => {
          inputs.delete(id)
          if (Exit.isInterrupted(exit)) tell(`${word} was ended`)
        })
      )
      inputs.set(id, input)
      tell(`${word} began`)
      const started = new ExecStarted({
        ...{ instanceId: instance.id, execId: id, tty: false, interactive: spec.interactive }
      })
      if (word === "spec") {
        const bytes = new TextEncoder().encode(JSON.stringify(spec))
        const output = new Output({ stream: "stdout", bytes })
        return Stream.make<Array<ExecEvent>>(started, output, new ExecEnded({ reason: new Exited({ code: 0 }) }))
      }
      const asked = new InstanceSpec({ command: spec.command })
      const events = play({ spec: asked, instance, input, deleted: yield* Deferred.make<void>() })
      return Stream.concat(
        Stream.make<[ExecEvent]>(started),
        Stream.mapEffect(events, (event): Effect.Effect<ExecEvent, ExecLost> => {
          if (event._tag === "Output") return Effect.succeed(event)
          if (event._tag !== "Ended" || (event.reason._tag !== "Exited" && event.reason._tag !== "Signaled")) {
            return new ExecLost({ target, reason: "the machine died: ended by SIGKILL" })
          }
          return Effect.succeed(new ExecEnded({ reason: event.reason }))
        })
      )
    })
  )

export const writeExec = (id: ExecId, bytes: Uint8Array, end: boolean) =>
  Effect.gen(function* () {
    const input = inputs.get(id)
    if (input === undefined) return yield* new ExecNotFound({ execId: id })
    if (bytes.length > 0) yield* input.offer(bytes)
    if (end) yield* input.end
  })
