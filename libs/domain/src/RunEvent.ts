/**
 * What a run tells of itself.
 */
import * as Schema from "effect/Schema"
import { EndReason } from "./EndReason.ts"
import { InstanceId } from "./Ids.ts"
import { PullProgress } from "./Image.ts"
import { Output } from "./Output.ts"

/** The instance is recorded; its VM is being made. */
export class Created extends Schema.TaggedClass<Created>()("Created", { id: InstanceId }) {}
/** Its image is being brought here; on the terminal this is the progress of the pull. */
export class Preparing extends Schema.TaggedClass<Preparing>()("Preparing", { progress: PullProgress }) {}
/** The guest runs the command. `bootMillis`: from the request's arrival in the daemon. */
export class Started extends Schema.TaggedClass<Started>()("Started", { bootMillis: Schema.Number }) {}
/** Its first exposed port answers, at this address of the host (S-065). */
export class Serving extends Schema.TaggedClass<Serving>()("Serving", { address: Schema.String }) {}
/** The last event. */
export class Ended extends Schema.TaggedClass<Ended>()("Ended", { reason: EndReason }) {}

/** What `run` tells its client, in this order: Created, Preparing*, Started, then Output* and at most one Serving, Ended. */
export const RunEvent = Schema.Union(Created, Preparing, Started, Serving, Output, Ended)
export type RunEvent = typeof RunEvent.Type
