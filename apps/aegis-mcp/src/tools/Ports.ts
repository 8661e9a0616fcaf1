/**
 * The tools for ports of guests that this machine can reach, and for what keeps an instance from idling.
 */
import { Aegis } from "@aegis/client"
import { KeepaliveReason, KeepaliveRequest, KeepaliveSeconds, PortNumber } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Tool, tool } from "../Tool.ts"
import { ExposedPort, exposure } from "../SpecInput.ts"
import { Shown, shownAlone, Target } from "./Instances.ts"

export const portTools: ReadonlyArray<Tool> = [
  tool({
    name: "instance_expose",
    title: "Expose a port of an instance",
    description:
      "Lets a port of this machine's loopback lead to a port of the guest, at once and whenever it runs; connections wake an instance that idles. `endpoints` of the answer say which port of this machine it is, and whether it serves http through the router or bytes. A port that is exposed in the same way already is no failure.",
    effects: { idempotent: true },
    input: Schema.Struct({ ...Target.fields, ...ExposedPort.fields }),
    output: Shown,
    handle: ({ target, ...asked }) =>
      Effect.flatMap(Aegis, (aegis) => Effect.flatMap(aegis.expose(target, exposure(asked)), shownAlone))
  }),
  tool({
    name: "instance_unexpose",
    title: "Take a port of an instance back",
    description: "No port of this machine leads to that port of the guest any more; its connections are reset.",
    effects: { destructive: true },
    input: Schema.Struct({
      ...Target.fields,
      port: PortNumber.annotations({ description: "The guest's port, as in `expose_ports` of instance_info." })
    }),
    output: Shown,
    handle: ({ port, target }) =>
      Effect.flatMap(Aegis, (aegis) => Effect.flatMap(aegis.unexpose(target, port), shownAlone))
  }),
  tool({
    name: "instance_keepalive",
    title: "Keep an instance from idling",
    description:
      "Keeps an instance from being paused or stopped for idling, from now on for so many seconds, in the place of what was asked for before; 0 ends that.",
    effects: { idempotent: true },
    input: Schema.Struct({
      ...Target.fields,
      seconds: KeepaliveSeconds.annotations({ description: "For how long, at most 86400 (a day); 0 ends it." }),
      reason: Schema.optional(
        KeepaliveReason.annotations({ description: "Why, in a few words; the journal shows it." })
      )
    }),
    output: Shown,
    handle: ({ reason, seconds, target }) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const request = new KeepaliveRequest({ seconds, ...(reason === undefined ? {} : { reason }) })
        return yield* shownAlone(yield* aegis.keepAlive(target, request))
      })
  })
]
