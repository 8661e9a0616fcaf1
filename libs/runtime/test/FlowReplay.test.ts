import {
  AddressRange,
  ByGuest,
  type EventData,
  EventHash,
  FlowsEnded,
  FlowsRefused,
  InstanceCreated,
  InstanceSpec,
  JournalEvent,
  NetworkChanged,
  NetworkPolicy
} from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { replay } from "../src/FlowReplay.ts"

const hash = EventHash.make("0".repeat(64))
const events = (...all: ReadonlyArray<EventData>) =>
  Stream.fromIterable(
    all.map(
      (data, index) =>
        new JournalEvent({
          ...{ seq: index + 1, at: DateTime.unsafeMake(index), cause: new ByGuest(), data },
          ...{ previousHash: hash, hash }
        })
    )
  )

const created = (network: NetworkPolicy) =>
  new InstanceCreated({ spec: new InstanceSpec({ command: ["true"], network }) })
const ended = { protocol: "tcp", sentBytes: 1, receivedBytes: 2, millis: 3, count: 1 } as const
const refused = { protocol: "tcp", why: "a private address", count: 1 } as const

describe("replay", () => {
  it.effect("judges what was told by the candidate, or by the policy that the instance has now", () =>
    Effect.gen(function* () {
      const history = events(
        created(new NetworkPolicy({ log: true })),
        new FlowsEnded({ flows: [{ ...ended, address: "203.0.113.1", port: 80 }] }),
        new FlowsRefused({ flows: [{ ...refused, address: "10.0.0.1", port: 80 }], more: 2 }),
        new NetworkChanged({ policy: new NetworkPolicy({ profile: "all" }) }),
        new FlowsEnded({
          flows: [{ ...ended, address: "203.0.113.1", port: 80, count: 4 }],
          more: { count: 7, sentBytes: 1, receivedBytes: 1 }
        })
      )
      const byOwn = yield* replay(history, undefined)
      assert.deepInclude(byOwn, { judged: 6, unnamed: 9, more: 0 })
      assert.deepStrictEqual(byOwn.changed, [
        { protocol: "tcp", address: "10.0.0.1", port: 80, count: 1, verdict: "allow", why: "the profile all" }
      ])
      const byCandidate = yield* replay(history, new NetworkPolicy({ profile: "none" }))
      assert.deepStrictEqual(byCandidate.changed, [
        { protocol: "tcp", address: "203.0.113.1", port: 80, count: 5, verdict: "refuse", why: "the profile none" }
      ])
    })
  )

  it.effect("a guest that has been everywhere makes no endless answer, and what would be refused is named first", () =>
    Effect.gen(function* () {
      const hosts = Array.from({ length: 12_000 }, (_, index) => `203.0.${index >> 8}.${index & 255}`)
      const flows = hosts.map((address) => ({ ...ended, address, port: 80 }))
      const once = { ...refused, address: "10.0.0.1", port: 80 }
      const history = events(new FlowsRefused({ flows: [once], more: 0 }), new FlowsEnded({ flows }))
      const candidate = new NetworkPolicy({ profile: "none", allow: [new AddressRange({ range: "10.0.0.0/8" })] })
      const found = yield* replay(history, candidate)
      assert.deepInclude(found, { judged: 10_000, unnamed: 2001, more: 10_000 - 256 })
      assert.isTrue(found.changed.length === 256 && found.changed.every(({ verdict }) => verdict === "refuse"))
    })
  )
})
