/**
 * What a guest's network refused.
 */
import * as Schema from "effect/Schema"

/** The most flows of one kind that one report names. */
export const maxNamedFlows = 64

/** A flow that was refused; or, with the protocol `dns`, a name that was not looked up, or an address that was taken out of its answer. */
export const RefusedFlow = Schema.Struct({
  protocol: Schema.Literal("tcp", "udp", "icmp", "dns"),
  address: Schema.optional(Schema.String.pipe(Schema.maxLength(64))),
  port: Schema.optional(Schema.Int),
  /** The name for which the guest was given the address, or that it asked for. */
  name: Schema.optional(Schema.String.pipe(Schema.maxLength(1024))),
  why: Schema.String.pipe(Schema.maxLength(1024)),
  /** No policy would have let it pass. */
  always: Schema.optional(Schema.Boolean),
  /** How often, since the report before. */
  count: Schema.Int
})
export type RefusedFlow = typeof RefusedFlow.Type

/** Where a flow was to go: `example.com 93.184.216.34:443`, with as much of it as is known. */
export const flowPlace = ({ address, name, port }: Pick<RefusedFlow, "address" | "name" | "port">): string => {
  const where = address === undefined ? "" : address.includes(":") && port !== undefined ? `[${address}]` : address
  const parts = [name, `${where}${port === undefined ? "" : `:${port}`}`]
  return parts.filter((part) => part !== undefined && part !== "").join(" ")
}

/** `tcp 10.0.0.1:80 (a private address)`. */
export const refusedFlowText = (flow: RefusedFlow): string =>
  `${flow.protocol} ${flowPlace(flow)} (${flow.why})${flow.count === 1 ? "" : `, ${flow.count} times`}`
