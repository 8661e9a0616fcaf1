/**
 * What the scripted daemon's guests are, and how they act out their commands: `exit 3`, `print TEXT`, `cat`, `flood BYTES`,
 * `sleep`, `die`, …
 */
import {
  BootFailed,
  ChannelLost,
  CommandNotStarted,
  Ended,
  type EndReason,
  Exited,
  type Instance,
  InstanceChanged,
  type InstanceSpec,
  NotFound,
  NotStarted,
  Output,
  type RunEvent,
  Signaled,
  type StartError,
  Stopped,
  VmDied
} from "@aegis/domain"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"

export interface Guest {
  readonly spec: InstanceSpec
  readonly instance: Instance
  readonly input: Mailbox.Mailbox<Uint8Array>
  readonly deleted: Deferred.Deferred<void>
}

const guests = new Map<string, Guest>()
const changes = Effect.runSync(PubSub.unbounded<InstanceChanged>())

export const allGuests = (): ReadonlyArray<Guest> => [...guests.values()]

export const put = (guest: Guest): Effect.Effect<void> =>
  Effect.suspend(() => {
    guests.set(guest.instance.id, guest)
    return PubSub.publish(changes, new InstanceChanged({ id: guest.instance.id, instance: guest.instance }))
  })

export const drop = ({ instance: { id } }: Guest): Effect.Effect<void> =>
  Effect.suspend(() => (guests.delete(id) ? PubSub.publish(changes, new InstanceChanged({ id })) : Effect.void))

export const find = (target: string): Effect.Effect<Guest, NotFound> =>
  Effect.suspend(() => {
    const guest = guests.get(target) ?? allGuests().find(({ instance }) => instance.handle === target.toLowerCase())
    return guest === undefined ? new NotFound({ target }) : Effect.succeed(guest)
  })

/** All as they are, then every change. */
export const watch: Stream.Stream<InstanceChanged> = Stream.unwrapScoped(
  Effect.map(PubSub.subscribe(changes), (coming) =>
    Stream.concat(
      Stream.fromIterable(allGuests().map(({ instance }) => new InstanceChanged({ id: instance.id, instance }))),
      Stream.fromQueue(coming)
    )
  )
)

const text = (words: string, stream: "stdout" | "stderr" = "stdout") =>
  new Output({ stream, bytes: new TextEncoder().encode(words) })

/** How it ends, for an instance that nobody follows. */
export const playedEnd = (guest: Guest): Effect.Effect<EndReason> =>
  play(guest).pipe(
    Stream.runFold(new Stopped() as EndReason, (reason, event) => (event._tag === "Ended" ? event.reason : reason)),
    Effect.catchAll((error) => Effect.succeed(new NotStarted({ code: error._tag, message: error.message })))
  )

/** What the guest does and how it ends. */
export const play = (guest: Guest): Stream.Stream<RunEvent, StartError> => {
  const [program, word = "", ...more] = guest.spec.command
  const end = (reason: EndReason, ...before: ReadonlyArray<RunEvent>) =>
    Stream.make(...before, new Ended({ reason }) as RunEvent)
  switch (program) {
    case "print":
      return end(new Exited({ code: 0 }), text(word), ...(more[0] === undefined ? [] : [text(more[0], "stderr")]))
    case "bytes":
      return end(new Exited({ code: 0 }), new Output({ stream: "stdout", bytes: Buffer.from(word, "hex") }))
    case "exit":
      return end(new Exited({ code: Number(word) }))
    case "signal":
      return end(new Signaled({ signal: Number(word), outOfMemory: more[0] === "oom" }))
    case "die":
      return end(new VmDied({ cause: "ended by SIGKILL", consoleTail: "booting\r\nkernel panic \u001b[2J\r\n" }))
    case "channel":
      return end(new ChannelLost({ reason: "bad frame" }))
    case "absent":
      return Stream.fail(new CommandNotStarted({ program: word, cause: "not-found", reason: "no such file" }))
    case "broken":
      return Stream.fail(new BootFailed({ stage: "mount", reason: "r", consoleTail: "c", remedy: "do" }))
    case "env":
      return end(new Exited({ code: 0 }), text(JSON.stringify(guest.spec)))
    case "cat":
      return Mailbox.toStream(guest.input).pipe(
        Stream.map((bytes): RunEvent => new Output({ stream: "stdout", bytes })),
        Stream.concat(end(new Exited({ code: 0 })))
      )
    case "flood": {
      const chunk = new Uint8Array(64 * 1024).map((_, index) => (index * 7) % 251)
      return Stream.range(1, Number(word) / chunk.length).pipe(
        Stream.map((): RunEvent => new Output({ stream: "stdout", bytes: chunk })),
        Stream.rechunk(16),
        Stream.concat(end(new Exited({ code: 0 })))
      )
    }
    case "yes":
      return Stream.repeatValue<RunEvent>(text("y\n"))
    case "stubborn":
      return Stream.concat(Stream.make<[RunEvent]>(text("sleeping\n")), Stream.never)
    case "sleep":
      // Says its last words after it was told to end, as a guest that gets SIGTERM may.
      return Stream.make<[RunEvent]>(text("sleeping\n")).pipe(
        Stream.concat(Stream.fromEffect(Effect.as(Deferred.await(guest.deleted), text("bye\n") as RunEvent))),
        Stream.concat(end(new Stopped()))
      )
    default:
      return Stream.fail(new CommandNotStarted({ program, cause: "failed", reason: "not in the script" }))
  }
}
