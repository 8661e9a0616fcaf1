import { FlowsEnded, FlowsRefused, SecretDeleted } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import { flowDocuments, flowLines } from "../src/FlowText.ts"

const passed = new FlowsEnded({
  flows: [
    {
      ...{ protocol: "tcp", name: "pypi.org", address: "2a04:4e42::223", port: 443 },
      ...{ sentBytes: 1200, receivedBytes: 5_243_000, millis: 1340, count: 1 }
    },
    { protocol: "icmp", address: "8.8.8.8", sentBytes: 64, receivedBytes: 64, millis: 12, count: 3 }
  ],
  more: { count: 7, sentBytes: 70, receivedBytes: 700 }
})
const refused = new FlowsRefused({
  flows: [{ protocol: "tcp", address: "10.0.0.1", port: 80, why: "a private address", count: 2 }],
  more: 5
})

describe("the flows of a network", () => {
  it("are lines for a person, one for what is not named", () => {
    assert.deepStrictEqual(flowLines(passed), [
      "allowed tcp pypi.org [2a04:4e42::223]:443, sent 1.2 kB, received 5.2 MB in 1.3 s",
      "allowed icmp 8.8.8.8, sent 64 B, received 64 B in 12 ms at the most, 3 times",
      "allowed 7 more flows, sent 70 B, received 700 B"
    ])
    assert.deepStrictEqual(flowLines(refused), [
      "refused tcp 10.0.0.1:80 (a private address), 2 times",
      "refused 5 more"
    ])
    assert.deepStrictEqual(flowLines(new SecretDeleted({ name: "A" })), [])
  })

  it("are documents that all say what became of them", () => {
    assert.deepStrictEqual(flowDocuments(passed), [
      {
        ...{ verdict: "allow", protocol: "tcp", name: "pypi.org", address: "2a04:4e42::223", port: 443 },
        ...{ millis: 1340, count: 1, sent_bytes: 1200, received_bytes: 5_243_000 }
      },
      {
        verdict: "allow",
        protocol: "icmp",
        address: "8.8.8.8",
        millis: 12,
        count: 3,
        sent_bytes: 64,
        received_bytes: 64
      },
      { verdict: "allow", more: 7, sent_bytes: 70, received_bytes: 700 }
    ])
    assert.deepStrictEqual(flowDocuments(refused), [
      { verdict: "refuse", protocol: "tcp", address: "10.0.0.1", port: 80, why: "a private address", count: 2 },
      { verdict: "refuse", more: 5 }
    ])
    assert.deepStrictEqual(flowDocuments(new SecretDeleted({ name: "A" })), [])
  })
})
