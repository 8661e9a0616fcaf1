import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { writeIpAddress } from "../../src/network/IpAddress.ts"
import {
  CompiledPolicy,
  compilePolicy,
  decideFlow,
  decideHostPort,
  decideName,
  isGuestLoopback,
  NetworkVerdict
} from "../../src/network/NetworkDecision.ts"
import { isUnreachable, NetworkPolicy, NetworkProfile, NetworkRuleText } from "../../src/network/NetworkPolicy.ts"

const readRule = Schema.decodeEither(NetworkRuleText)
const writeRule = Schema.encodeSync(NetworkRuleText)

const PolicyText = Schema.Struct({
  profile: NetworkProfile,
  allow: Schema.Array(NetworkRuleText),
  deny: Schema.Array(NetworkRuleText),
  hostPorts: Schema.Array(Schema.Int)
})

/** The table that `native-bridge/aegis-net/policy_test.go` reads, too. */
const Table = Schema.parseJson(
  Schema.Struct({
    policies: Schema.Record({
      key: Schema.String,
      value: Schema.Struct({ spec: PolicyText, compiled: CompiledPolicy })
    }),
    flows: Schema.Array(
      Schema.Struct({
        policy: Schema.String,
        address: Schema.String,
        port: Schema.Int,
        names: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
        own: Schema.optionalWith(Schema.Boolean, { default: () => false }),
        verdict: NetworkVerdict,
        why: Schema.String
      })
    ),
    names: Schema.Array(Schema.Struct({ policy: Schema.String, name: Schema.String, verdict: NetworkVerdict })),
    hostPorts: Schema.Array(Schema.Struct({ policy: Schema.String, port: Schema.Int, verdict: NetworkVerdict }))
  })
)

const file = new URL("../../../../native-bridge/aegis-net/testdata/policy.json", import.meta.url)
const table = Schema.decodeSync(Table)(readFileSync(file, "utf8"))

const policy = (name: string) => {
  const found = table.policies[name]
  assert.isDefined(found, name)
  return found.compiled
}

const publicOnly = compilePolicy(new NetworkPolicy({}))
const flow = (address: string) => ({ address, port: 80, names: [], own: false })

describe("NetworkPolicy", () => {
  it.each([
    ["example.com", "example.com"],
    ["Example.COM.:443", "example.com:443"],
    ["*.example.com", "*.example.com"],
    ["_dns.example.com:53", "_dns.example.com:53"],
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["10.0.0.1:22", "10.0.0.1:22"],
    ["10.0.0.1/32", "10.0.0.1"],
    ["2001:DB8::1", "2001:db8::1"],
    ["[2001:db8::1]:443", "[2001:db8::1]:443"],
    ["[2001:db8::]/32:443", undefined],
    ["[2001:db8::/32]:443", "[2001:db8::/32]:443"]
  ])("the rule %s is written %s", (text, form) => {
    const rule = readRule(text)
    assert.strictEqual(Either.isRight(rule) ? writeRule(rule.right) : undefined, form)
    if (form !== undefined) assert.deepStrictEqual(readRule(form), rule)
  })

  it.each([
    ...[
      "",
      ":80",
      "127.1",
      "0x7f000001",
      "2130706433",
      "0177.0.0.1",
      "10.0.0.1/8",
      "a b",
      "-a.com",
      "a..b",
      "*",
      "*.*.a"
    ],
    ...[
      "example.com:0",
      "example.com:65536",
      "example.com:080",
      "example.com:http",
      "http://example.com",
      "[10.0.0.1]"
    ],
    ...["[example.com]", "::1:80:", "é.com", "a.0x1", `${"a".repeat(64)}.com`]
  ])("%j is no rule", (text) => {
    assert.isTrue(Either.isLeft(readRule(text)), JSON.stringify(readRule(text)))
  })

  it("the table's lists are what the policies become", () => {
    for (const { compiled, spec } of Object.values(table.policies)) {
      assert.deepStrictEqual(compilePolicy(new NetworkPolicy(spec)), compiled)
    }
  })

  it.each(table.flows)("$policy: $address port $port $names own=$own is $verdict", (one) => {
    assert.deepInclude(decideFlow(policy(one.policy), one), { verdict: one.verdict, why: one.why })
  })

  it.each(table.names)("$policy: the name $name is $verdict", ({ name, policy: of, verdict }) => {
    assert.strictEqual(decideName(policy(of), name).verdict, verdict)
  })

  it.each(table.hostPorts)("$policy: the host's port $port is $verdict", ({ policy: of, port, verdict }) => {
    assert.strictEqual(decideHostPort(policy(of), port).verdict, verdict)
  })

  it("what a guest's kernel keeps to itself is known in every notation", () => {
    const own = ["127.0.0.1", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f01:203"]
    assert.deepStrictEqual(
      own.map(isGuestLoopback),
      own.map(() => true)
    )
    // NAT64 is an address of somebody else to a guest.
    const others = ["126.255.255.255", "128.0.0.1", "::2", "::", "::ffff:128.0.0.1", "64:ff9b::7f00:1", "localhost"]
    assert.deepStrictEqual(
      others.map(isGuestLoopback),
      others.map(() => false)
    )
  })

  it("the profile public lets no private IPv4 address pass, however it is dressed", () => {
    const inside = FastCheck.oneof(
      FastCheck.bigInt(0x0a000000n, 0x0affffffn),
      FastCheck.bigInt(0x7f000000n, 0x7fffffffn),
      FastCheck.bigInt(0xc0a80000n, 0xc0a8ffffn),
      FastCheck.bigInt(0xa9fe0000n, 0xa9feffffn),
      FastCheck.bigInt(0x64400000n, 0x647fffffn)
    )
    FastCheck.assert(
      FastCheck.property(inside, (value) => {
        const dresses = [
          writeIpAddress({ family: 4, value }),
          ...[0xffff00000000n, 0x64ff9bn << 96n, 0n].map((prefix) =>
            writeIpAddress({ family: 6, value: prefix | value })
          ),
          writeIpAddress({ family: 6, value: (0x2002n << 112n) | (value << 80n) }),
          writeIpAddress({ family: 6, value: (0x20010000n << 96n) | (value ^ 0xffffffffn) })
        ]
        for (const text of dresses) assert.strictEqual(decideFlow(publicOnly, flow(text)).verdict, "refuse", text)
      })
    )
  })

  it("a rule that refuses wins over one that allows", () => {
    const rules = [{ _tag: "Range", range: "203.0.113.0/24" }] as const
    const both = compilePolicy(Schema.decodeSync(NetworkPolicy)({ profile: "all", allow: rules, deny: rules }))
    assert.deepInclude(decideFlow(both, flow("203.0.113.1")), { verdict: "refuse", why: "--deny 203.0.113.0/24" })
  })

  it("none alone is no network; with anything allowed it is one", () => {
    const none = { profile: "none" } as const
    assert.isTrue(isUnreachable(Schema.decodeSync(NetworkPolicy)(none)))
    assert.isFalse(isUnreachable(Schema.decodeSync(NetworkPolicy)({ ...none, hostPorts: [80] })))
    assert.isFalse(isUnreachable(Schema.decodeSync(NetworkPolicy)({})))
  })
})
