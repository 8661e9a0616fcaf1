import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { isIPv4, isIPv6 } from "node:net"
import {
  effectiveAddress,
  type IpAddress,
  isInRange,
  readIpAddress,
  readIpRange,
  writeIpAddress
} from "../../src/network/IpAddress.ts"

const written = (text: string) => Option.getOrUndefined(Option.map(readIpAddress(text), writeIpAddress))

const addresses: FastCheck.Arbitrary<IpAddress> = FastCheck.oneof(
  FastCheck.record({ family: FastCheck.constant(4 as const), value: FastCheck.bigInt(0n, 2n ** 32n - 1n) }),
  FastCheck.record({ family: FastCheck.constant(6 as const), value: FastCheck.bigInt(0n, 2n ** 128n - 1n) })
)

describe("IpAddress", () => {
  it.each([
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::ffff:127.0.0.1", "::ffff:7f00:1"],
    ["64:ff9b::10.0.0.1", "64:ff9b::a00:1"],
    ["1:0:0:0:0:0:0:0", "1::"]
  ])("%s is %s", (text, form) => {
    assert.strictEqual(written(text), form)
    assert.strictEqual(written(form), form)
  })

  it.each([
    ...["", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.01", "127.0.0.256", "1.2.3.4.5"],
    ...["127.0.0.1.", " 127.0.0.1", "１.2.3.4", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::12345"],
    ...["1.2.3.4::", "fe80::1%eth0", "[::1]", "::ffff:127.1", "1:2:3:4:5:6:7::8:9"]
  ])("%j is no address", (text) => {
    assert.isTrue(Option.isNone(readIpAddress(text)))
  })

  it("what is written is read again, and Node takes it for an address as well", () => {
    FastCheck.assert(
      FastCheck.property(addresses, (address) => {
        const text = writeIpAddress(address)
        assert.deepStrictEqual(readIpAddress(text), Option.some(address))
        assert.isTrue(address.family === 4 ? isIPv4(text) : isIPv6(text))
      }),
      { numRuns: 500 }
    )
  })

  it("what Node does not take for an address is none", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.stringMatching(/^[0-9a-f.:x]{0,20}$/), (text) => {
        if (Option.isSome(readIpAddress(text))) assert.isTrue(isIPv4(text) || isIPv6(text), text)
      }),
      { numRuns: 2000 }
    )
  })

  it("a range holds its first and its last address, and none beside them", () => {
    FastCheck.assert(
      FastCheck.property(addresses, FastCheck.nat(128), ({ family, value }, bits) => {
        const width = family === 4 ? 32 : 128
        const prefix = Math.min(bits, width)
        const size = 1n << BigInt(width - prefix)
        const first = value - (value % size)
        const range = { base: { family, value: first }, prefix }
        assert.isTrue(isInRange(range, { family, value: first + size - 1n }) && isInRange(range, { family, value }))
        assert.isFalse(isInRange(range, { family, value: first + size }) && prefix > 0)
        assert.isFalse(first > 0n && isInRange(range, { family, value: first - 1n }))
      })
    )
  })

  it("a range whose host bits are set is none", () => {
    for (const text of ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "::1/64", "::/129", "10.0.0.0/8/8"]) {
      assert.isTrue(Option.isNone(readIpRange(text)), text)
    }
  })

  it("a mapped or translated address counts as the IPv4 address in it", () => {
    for (const text of ["::ffff:10.1.2.3", "64:ff9b::a01:203"]) {
      assert.strictEqual(writeIpAddress(effectiveAddress(Option.getOrThrow(readIpAddress(text)))), "10.1.2.3")
    }
  })
})
