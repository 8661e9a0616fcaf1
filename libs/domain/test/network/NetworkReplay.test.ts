import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { compilePolicy, decideFlow } from "../../src/network/NetworkDecision.ts"
import { NetworkPolicy, NetworkProfile, NetworkRuleText } from "../../src/network/NetworkPolicy.ts"
import { type RecordedFlow, replayFlows } from "../../src/network/NetworkReplay.ts"

const rule = Schema.decodeSync(NetworkRuleText)
const policy = (profile: NetworkProfile, allow: ReadonlyArray<string> = [], deny: ReadonlyArray<string> = []) =>
  new NetworkPolicy({ profile, allow: allow.map((text) => rule(text)), deny: deny.map((text) => rule(text)) })
const nobody = () => false

const allowed = (address: string, port: number, name?: string): RecordedFlow => ({
  ...{ verdict: "allow", protocol: "tcp", address, port, count: 1 },
  ...(name === undefined ? {} : { name })
})
const refused = (flow: Partial<RecordedFlow>): RecordedFlow => ({
  ...{ verdict: "refuse", protocol: "tcp", why: "then", count: 1, ...flow }
})

const changes = (candidate: NetworkPolicy, ...flows: ReadonlyArray<RecordedFlow>) =>
  replayFlows(compilePolicy(candidate), flows, nobody).map(
    ({ address, name, port, verdict, why }) => `${verdict} ${[name, address, port].join(" ").trim()}: ${why}`
  )

describe("replayFlows", () => {
  it("names what passed and would be refused, and what was refused and would pass", () => {
    const flows = [
      allowed("151.101.0.223", 443, "pypi.org"),
      { ...allowed("203.0.113.9", 80), count: 7 },
      refused({ address: "10.0.0.5", port: 5432 }),
      refused({ protocol: "dns", name: "evil.example" })
    ]
    assert.deepStrictEqual(changes(policy("none", ["pypi.org:443", "10.0.0.0/8"]), ...flows), [
      "refuse 203.0.113.9 80: the profile none",
      "allow 10.0.0.5 5432: --allow 10.0.0.0/8"
    ])
    assert.deepStrictEqual(changes(policy("all"), ...flows.slice(2)), [
      "allow 10.0.0.5 5432: the profile all",
      "allow evil.example: the profile all"
    ])
    assert.deepStrictEqual(
      replayFlows(compilePolicy(policy("none")), flows, nobody).map(({ count }) => count),
      [1, 7]
    )
  })

  it("the host's loopback is judged by its ports, and what no policy lets through stays refused", () => {
    const toHost = allowed("192.168.127.254", 8080, "host.aegis.internal")
    assert.deepStrictEqual(changes(policy("public"), toHost), [
      "refuse host.aegis.internal 192.168.127.254 8080: a port of the host that was not allowed"
    ])
    assert.deepStrictEqual(changes(new NetworkPolicy({ hostPorts: [8080] }), toHost), [])
    assert.deepStrictEqual(changes(policy("all"), refused({ address: "192.168.127.9", port: 80, always: true })), [])
  })

  it("an address that was taken out of an answer would have been given out where any port of it may be reached", () => {
    const taken = refused({ protocol: "dns", address: "10.0.0.5", name: "db.example" })
    assert.deepStrictEqual(changes(policy("public", ["10.0.0.5:5432"]), taken), [
      "allow db.example 10.0.0.5: --allow 10.0.0.5/32:5432"
    ])
    assert.deepStrictEqual(changes(policy("all", [], ["10.0.0.5:22"]), taken), [
      "allow db.example 10.0.0.5: the profile all"
    ])
    assert.deepStrictEqual(changes(policy("all", [], ["10.0.0.5"]), taken), [])
  })

  it("an address of the host itself is told by who knows", () => {
    const flow = allowed("203.0.113.1", 80)
    const own = (address: string) => address === "203.0.113.1"
    assert.deepStrictEqual(changes(policy("public"), flow), [])
    assert.strictEqual(
      replayFlows(compilePolicy(policy("public")), [flow], own)[0]?.why,
      "an address of the host itself"
    )
  })

  const hosts = FastCheck.constantFrom("10.0.0.0/8", "203.0.113.7", "203.0.113.0/24", "a.example", "*.example", "b.org")
  const rules = FastCheck.array(
    FastCheck.tuple(hosts, FastCheck.constantFrom("", ":80", ":443")).map((parts) => parts.join("")),
    { maxLength: 4 }
  )
  const policies = FastCheck.tuple(FastCheck.constantFrom(...NetworkProfile.literals), rules, rules).map((parts) =>
    policy(...parts)
  )
  const places = FastCheck.record({
    address: FastCheck.constantFrom(
      "10.1.2.3",
      "203.0.113.7",
      "203.0.113.8",
      "8.8.8.8",
      "::ffff:10.0.0.1",
      "2606:4700::1"
    ),
    port: FastCheck.constantFrom(80, 443, 5432),
    name: FastCheck.constantFrom(undefined, "a.example", "x.a.example", "b.org")
  })

  it("the policy under which flows were recorded changes none of them; another changes just those on which the two differ", () => {
    FastCheck.assert(
      FastCheck.property(policies, policies, FastCheck.array(places), (before, candidate, all) => {
        const verdictOf = (by: NetworkPolicy, { address, name, port }: (typeof all)[number]) =>
          decideFlow(compilePolicy(by), { address, port, names: name === undefined ? [] : [name], own: false }).verdict
        const flows = all.map((place, index): RecordedFlow => {
          const flow = allowed(place.address, place.port, place.name)
          return { ...flow, verdict: verdictOf(before, place), count: index }
        })
        assert.deepStrictEqual(replayFlows(compilePolicy(before), flows, nobody), [])
        const changed = replayFlows(compilePolicy(candidate), flows, nobody)
        const differing = all.flatMap((place, index) =>
          verdictOf(before, place) === verdictOf(candidate, place) ? [] : [index]
        )
        assert.deepStrictEqual(
          changed.map(({ count }) => count),
          differing
        )
        // And back again: what the candidate changed, the first policy changes to what it was.
        const replayed = changed.map(({ verdict }, at): RecordedFlow | undefined => {
          const flow = flows[differing[at] ?? -1]
          return flow === undefined ? undefined : { ...flow, verdict }
        })
        const back = replayed.flatMap((flow) => (flow === undefined ? [] : [flow]))
        assert.strictEqual(replayFlows(compilePolicy(before), back, nobody).length, changed.length)
      }),
      { numRuns: 300 }
    )
  })
})
