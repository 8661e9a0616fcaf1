/**
 * The tools for what guests' networks let through.
 */
import { Aegis } from "@aegis/client"
import { NetworkAnswer, NetworkTarget } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { networkFields, networkPolicy } from "../SpecInput.ts"
import { type Tool, tool } from "../Tool.ts"
import { Shown, shownAlone, Target } from "./Instances.ts"

export const networkTools: ReadonlyArray<Tool> = [
  tool({
    name: "network_set",
    title: "Change what an instance's network reaches",
    description:
      "Says anew what an instance's network reaches, all of it: what is not given is as in a new instance. It holds at once, and ends connections that it does not let through.",
    effects: { destructive: true, idempotent: true, openWorld: true },
    input: Schema.Struct({ ...Target.fields, ...networkFields }),
    output: Shown,
    handle: ({ target, ...asked }) =>
      Effect.flatMap(Aegis, (aegis) => Effect.flatMap(aegis.networkSet(target, networkPolicy(asked)), shownAlone))
  }),
  tool({
    name: "network_check",
    title: "Ask whether an instance may reach a host",
    description:
      "Tells whether an instance's network would let a connection to a host and port through, and by which rule; for a name also of each address that it has. Nothing is connected to.",
    effects: { readOnly: true, idempotent: true },
    input: Schema.Struct({
      ...Target.fields,
      host: NetworkTarget.fields.host.annotations({ description: "A name or an address." }),
      port: NetworkTarget.fields.port.annotations({ description: "The port there." })
    }),
    output: Schema.Struct({ ...NetworkAnswer.fields }),
    handle: ({ host, port, target }) =>
      Effect.flatMap(Aegis, (aegis) => aegis.networkCheck(target, new NetworkTarget({ host, port }), undefined))
  })
]
