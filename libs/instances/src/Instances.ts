/**
 * The lifecycle of instances: what ties disk, workspace, VM and guest together. Every instance is owned by the daemon; a
 * client's going away ends what it asked to be ephemeral, and nothing else.
 */
import {
  type Instance,
  type InstanceId,
  type InstanceSpec,
  HandleTaken,
  NotFound,
  type RunEvent,
  type StartError,
  StateConflict
} from "@aegis/domain"
import { BaseRootfs } from "@aegis/images"
import { BackendChoice } from "@aegis/vm"
import { Workspaces } from "@aegis/workspaces"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as InstanceIds from "./InstanceIds.ts"
import * as LiveInstance from "./LiveInstance.ts"
import { checkResources } from "./Resources.ts"

export class Instances extends Context.Tag("@aegis/instances/Instances")<
  Instances,
  {
    /** Records an instance and begins its start. Succeeds at once, in state `starting`. */
    readonly create: (spec: InstanceSpec) => Effect.Effect<Instance, StartError>
    /**
     * Creates an instance, follows it to its end and removes it. The stream fails with what the start failed with. Whoever
     * stops reading removes the instance as well: nothing of it is left when the stream's scope has closed.
     */
    readonly run: (spec: InstanceSpec) => Stream.Stream<RunEvent, StartError>
    /** Writes to the primary's standard input, waiting while it is full; `end` closes it. */
    readonly writeStdin: (
      id: InstanceId,
      bytes: Uint8Array,
      end: boolean
    ) => Effect.Effect<void, NotFound | StateConflict>
    /** All there are, oldest first. */
    readonly list: Effect.Effect<ReadonlyArray<Instance>>
    /** By handle or id. */
    readonly get: (target: string) => Effect.Effect<Instance, NotFound>
    /** What it says from its first event on; events that were read before are not kept. */
    readonly follow: (target: string) => Stream.Stream<RunEvent, StartError | NotFound>
    /** Ends its VM, gracefully if the guest lets us, and removes every trace. Succeeds when nothing is left. */
    readonly remove: (target: string) => Effect.Effect<void, NotFound>
  }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  // These three and no more: the whole context would bring the scope of whoever builds this layer.
  const context = Context.pick(
    BaseRootfs,
    BackendChoice,
    Workspaces
  )(yield* Effect.context<BaseRootfs | BackendChoice | Workspaces>())
  const nextId = yield* InstanceIds.make
  const bootSlots = yield* LiveInstance.bootSlots
  const live = new Map<InstanceId, LiveInstance.LiveInstance>()

  const find = (target: string) =>
    Effect.suspend(() => {
      const found = [...live.values()].find(
        ({ instance }) => instance().id === target || instance().handle === target.toLowerCase()
      )
      return found === undefined ? Effect.fail(new NotFound({ target })) : Effect.succeed(found)
    })

  const begin = Effect.fn("Instances.create")(function* (spec: InstanceSpec) {
    yield* checkResources(spec)
    const id = yield* nextId
    const createdAt = yield* DateTime.now
    const begun = yield* LiveInstance.make({ id, spec, createdAt })
    // From the look at the handles to the entry in the map nothing yields: two creates with one name cannot both pass (T-35).
    const taken = [...live.values()].find(
      ({ instance }) => spec.handle !== undefined && instance().handle === spec.handle
    )
    if (taken !== undefined) return yield* new HandleTaken({ handle: spec.handle ?? "", state: taken.instance().state })
    live.set(id, begun)
    yield* begun.start(bootSlots).pipe(Effect.provide(context))
    return begun
  })

  const end = (instance: LiveInstance.LiveInstance) =>
    instance.end.pipe(
      Effect.zipRight(Effect.sync(() => live.delete(instance.instance().id))),
      Effect.asVoid,
      Effect.withSpan("Instances.remove")
    )

  yield* Effect.addFinalizer(() => Effect.forEach([...live.values()], end, { concurrency: "unbounded", discard: true }))

  return Instances.of({
    create: (spec) => Effect.map(begin(spec), ({ instance }) => instance()),
    run: (spec) =>
      Stream.unwrapScoped(
        Effect.acquireRelease(begin(spec), (begun) => Effect.zipRight(begun.unfollow, end(begun))).pipe(
          Effect.map((begun) => begun.events)
        )
      ),
    writeStdin: (id, bytes, last) => Effect.flatMap(find(id), (found) => found.writeStdin(bytes, last)),
    list: Effect.sync(() => [...live.values()].map(({ instance }) => instance())),
    get: (target) => Effect.map(find(target), ({ instance }) => instance()),
    follow: (target) => Stream.unwrap(Effect.map(find(target), (found) => found.events)),
    remove: (target) => Effect.flatMap(find(target), end)
  })
})
