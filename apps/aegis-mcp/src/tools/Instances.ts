/**
 * The tools that start, show and end instances.
 */
import { Aegis } from "@aegis/client"
import { restInstance, RestInstance } from "@aegis/contract/shapes"
import { type Instance, InstanceId, InstanceState, InstanceTarget } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { clipJson, page } from "../OutputLimit.ts"
import { instanceSpec, SpecInput } from "../SpecInput.ts"
import { type Tool, tool } from "../Tool.ts"

export const Target = Schema.Struct({
  target: InstanceTarget.annotations({ description: "An instance's handle or id, as instance_list shows it." })
})

/** As REST and `--json` show it; what is too long for a model is cut. */
const shown = (instance: Instance): Effect.Effect<RestInstance> =>
  Effect.orDie(
    Effect.flatMap(Schema.encode(RestInstance)(restInstance(instance)), (encoded) =>
      Schema.decodeUnknown(RestInstance)(clipJson(encoded))
    )
  )

export const shownAlone = (instance: Instance) => Effect.map(shown(instance), (instance) => ({ instance }))

export const Shown = Schema.Struct({ instance: RestInstance })

const Started = Schema.Struct({
  instance: RestInstance,
  restarted: Schema.Boolean.annotations({
    description: "Whether a stopped instance of that handle was started again, from its own configuration."
  })
})

const Listed = Schema.Struct({
  instances: Schema.Array(RestInstance),
  next: Schema.optional(InstanceId.annotations({ description: "There are more: call again with this as `after`." }))
})

export const instanceTools: ReadonlyArray<Tool> = [
  tool({
    name: "instance_start",
    title: "Start an instance",
    description:
      "Starts a command in a microVM of its own that stays until it is deleted, and answers at once, while it is still booting: instance_info shows its state, logs its output. Where `handle` is that of a stopped instance, that one is started again from its own configuration.",
    // With a directory of the host to write to, the command can remove what is in it.
    effects: { destructive: true, openWorld: true },
    input: SpecInput,
    output: Started,
    handle: (input) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const { instance, restarted } = yield* aegis.start(instanceSpec(input))
        return { instance: yield* shown(instance), restarted }
      })
  }),
  tool({
    name: "instance_list",
    title: "List instances",
    description: "Lists the instances, oldest first, with their states.",
    effects: { readOnly: true, idempotent: true },
    input: Schema.Struct({
      states: Schema.optional(
        Schema.Array(InstanceState).annotations({ description: "Only those in one of these states." })
      ),
      after: Schema.optional(
        InstanceId.annotations({ description: "Go on behind this one: `next` of the call before." })
      )
    }),
    output: Listed,
    handle: ({ after, states }) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const all = yield* states === undefined ? aegis.list : aegis.listIn(states)
        const from = all.findIndex(({ id }) => id === after) + 1
        const { items, more } = yield* page(Stream.mapEffect(Stream.fromIterable(all.slice(from)), shown))
        return { instances: items, next: more ? items.at(-1)?.id : undefined }
      })
  }),
  tool({
    name: "instance_info",
    title: "Show an instance",
    description: "Shows one instance: its state, its command, what it may take of the host, and how it ended.",
    effects: { readOnly: true, idempotent: true },
    input: Target,
    output: Shown,
    handle: ({ target }) => Effect.flatMap(Aegis, (aegis) => Effect.flatMap(aegis.get(target), shownAlone))
  }),
  tool({
    name: "instance_stop",
    title: "Stop an instance",
    description:
      "Ends an instance's command and its VM and keeps its record, its log and its workspace; instance_start with its handle starts it again.",
    effects: { destructive: true, idempotent: true },
    input: Schema.Struct({
      ...Target.fields,
      grace_seconds: Schema.optional(
        Schema.Number.pipe(Schema.between(0, 3600)).annotations({
          description: "How long the command may take to end after SIGTERM; 5 where it is not given."
        })
      )
    }),
    output: Shown,
    handle: ({ grace_seconds, target }) =>
      Effect.flatMap(Aegis, (aegis) =>
        Effect.flatMap(
          aegis.stop(target, grace_seconds === undefined ? undefined : `${grace_seconds} seconds`),
          shownAlone
        )
      )
  }),
  tool({
    name: "instance_delete",
    title: "Delete an instance",
    description:
      "Ends an instance's VM if there is one and removes the instance with its log and its temporary workspace, for good. Named workspaces and directories of the host stay.",
    effects: { destructive: true },
    input: Target,
    output: Schema.Struct({ deleted: Schema.String }),
    handle: ({ target }) => Effect.flatMap(Aegis, (aegis) => Effect.as(aegis.remove(target), { deleted: target }))
  }),
  tool({
    name: "instance_pause",
    title: "Pause an instance",
    description: "Stops the clock of a running instance: it keeps its memory and takes no processor time.",
    effects: {},
    input: Target,
    output: Shown,
    handle: ({ target }) => Effect.flatMap(Aegis, (aegis) => Effect.flatMap(aegis.pause(target), shownAlone))
  }),
  tool({
    name: "instance_resume",
    title: "Resume an instance",
    description: "Lets a paused instance go on where it was.",
    effects: {},
    input: Target,
    output: Shown,
    handle: ({ target }) => Effect.flatMap(Aegis, (aegis) => Effect.flatMap(aegis.resume(target), shownAlone))
  })
]
