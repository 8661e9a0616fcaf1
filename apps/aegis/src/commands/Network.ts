/**
 * `aegis network`: what guests' networks let through, and what they made of what came.
 */
import { Aegis } from "@aegis/client"
import { SpokenPort } from "@aegis/contract"
import { RestNetwork, restNetwork } from "@aegis/contract/shapes"
import { type NetworkPolicy, networkPolicyText, NetworkTarget, refusedFlowText } from "@aegis/domain"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ExitWith, UsageError } from "../Errors.ts"
import { escapeLine } from "../Escape.ts"
import { flagValue } from "../FlagValue.ts"
import { flowDocuments, flowLines } from "../FlowText.ts"
import { jsonDocument, jsonLine } from "../JsonText.ts"
import { type NetworkFlags, networkFlags, networkLogFlag, networkPolicy } from "../NetworkFlags.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument } from "../Verbatim.ts"

const json = Options.boolean("json")
const target = textArgument("HANDLE_OR_ID")

const print = (text: string) => Effect.flatMap(Stdio, (stdio) => stdio.print(text))

const set = Command.make("set", { target, ...networkFlags, ...networkLogFlag, json }, ({ json, target, ...flags }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const policy = yield* networkPolicy(flags)
    yield* aegis.networkSet(yield* readTarget(target), policy)
    yield* print(
      json
        ? jsonDocument(Schema.encodeSync(RestNetwork)(restNetwork(policy)))
        : `Network of ${escapeLine(target)}: ${networkPolicyText(policy)}\n`
    )
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

/** `HOST:PORT`, with brackets around an IPv6 address. */
const destination = (text: string): Effect.Effect<NetworkTarget, UsageError> =>
  Effect.gen(function* () {
    const [, bracketed, plain, digits] =
      /^(?:\[([0-9A-Fa-f:.]{1,64})\]|([^:[\]]{1,253})):([0-9]{1,5})$/.exec(text) ?? []
    const remedy = "HOST:PORT, such as example.com:443, 10.0.0.5:5432 or [2001:db8::1]:80"
    if (digits === undefined) return yield* new UsageError({ message: `invalid HOST:PORT: ${text}`, remedy })
    const port = yield* flagValue(SpokenPort, "HOST:PORT", digits, remedy)
    return new NetworkTarget({ host: bracketed ?? plain ?? "", port })
  })

const isGiven = ({ allow, allowHost, deny, network }: NetworkFlags) =>
  Option.isSome(network) || allow.length + deny.length + allowHost.length > 0

/** What a candidate would have changed of what has been written down: `would be refused: tcp 1.2.3.4:80 (…), 3 times`. */
const replay = (target: string, candidate: NetworkPolicy | undefined, json: boolean) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const found = yield* aegis.networkReplay(yield* readTarget(target), candidate)
    const { changed, judged, more, unnamed } = found
    const lines = [
      ...changed.map(
        (flow) => `would be ${flow.verdict === "allow" ? "allowed" : "refused"}: ${refusedFlowText(flow)}`
      ),
      ...(more === 0 ? [] : [`and ${more} other destinations`]),
      `${judged} recorded ${judged === 1 ? "flow was" : "flows were"} judged${unnamed === 0 ? "" : `, ${unnamed} could not be: they were too many to be named`}`
    ]
    yield* print(
      json ? jsonDocument({ judged, unnamed, changed, more }) : lines.map((line) => `${escapeLine(line)}\n`).join("")
    )
    if (changed.some(({ verdict }) => verdict === "refuse")) return yield* new ExitWith({ code: 1 })
  })

const check = Command.make(
  "check",
  {
    target,
    destination: Args.optional(textArgument("HOST:PORT")),
    replay: Options.boolean("replay"),
    ...networkFlags,
    json
  },
  ({ destination: given, json, replay: replays, target, ...flags }) =>
    Effect.gen(function* () {
      const aegis = yield* Aegis
      const candidate = isGiven(flags) ? yield* networkPolicy(flags) : undefined
      if (replays === Option.isSome(given)) {
        return yield* new UsageError({
          message: replays ? "--replay is about all that was recorded, and takes no HOST:PORT" : "HOST:PORT is missing",
          remedy: "aegis network check web example.com:443, or aegis network check web --replay --network none"
        })
      }
      if (Option.isNone(given)) return yield* replay(target, candidate, json)
      const to = given.value
      const answer = yield* aegis.networkCheck(yield* readTarget(target), yield* destination(to), candidate)
      const lines = [
        `${answer.verdict === "allow" ? "allowed" : "refused"}: ${answer.why}`,
        ...answer.addresses.map(
          ({ address, verdict, why }) => `  ${address}: ${verdict === "allow" ? "allowed" : "refused"}: ${why}`
        )
      ]
      yield* print(
        json
          ? jsonDocument({ verdict: answer.verdict, why: answer.why, addresses: answer.addresses })
          : lines.map((line) => `${escapeLine(line)}\n`).join("")
      )
      if (answer.verdict === "refuse") return yield* new ExitWith({ code: 1 })
    }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const log = Command.make(
  "log",
  { target, follow: Options.boolean("follow", { aliases: ["f"] }), json },
  ({ follow, json, target }) =>
    Effect.gen(function* () {
      const aegis = yield* Aegis
      const name = yield* readTarget(target)
      yield* Stream.runForEach(aegis.events({ target: name, follow }), ({ at, data }) => {
        const found = json ? flowDocuments(data) : flowLines(data)
        const time = DateTime.formatIso(at)
        return print(
          found
            .map((one) =>
              typeof one === "string" ? `${escapeLine(`${time} ${one}`)}\n` : jsonLine({ at: time, ...one })
            )
            .join("")
        )
      })
    }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

export const network = Command.make("network").pipe(Command.withSubcommands([set, check, log]))
