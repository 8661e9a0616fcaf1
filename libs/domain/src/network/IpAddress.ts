/**
 * IP addresses and ranges, read strictly: one text for one address (RFC 4291, RFC 5952), none of the notations that C's inet_aton
 * takes besides, such as 127.1 or 0x7f000001.
 */
import * as Option from "effect/Option"

/** An address as a number of 32 or 128 bits. */
export interface IpAddress {
  readonly family: 4 | 6
  readonly value: bigint
}

/** All addresses whose first `prefix` bits are those of `base`; the others of `base` are 0. */
export interface IpRange {
  readonly base: IpAddress
  readonly prefix: number
}

const widthOf = (family: 4 | 6) => (family === 4 ? 32 : 128)

const readIpv4 = (text: string): bigint | undefined => {
  const parts = text.split(".")
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined
  }
  return parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n)
}

/** The 16-bit groups of a text such as `2001:db8` or `1:2:127.0.0.1`; none for an empty one. */
const readGroups = (text: string): ReadonlyArray<bigint> | undefined => {
  if (text === "") return []
  const words = text.split(":")
  const groups: Array<bigint> = []
  for (const [index, word] of words.entries()) {
    if (index === words.length - 1 && word.includes(".")) {
      const v4 = readIpv4(word)
      if (v4 === undefined) return undefined
      groups.push(v4 >> 16n, v4 & 0xffffn)
    } else if (/^[0-9a-fA-F]{1,4}$/.test(word)) groups.push(BigInt(`0x${word}`))
    else return undefined
  }
  return groups
}

const readIpv6 = (text: string): bigint | undefined => {
  const halves = text.split("::")
  if (halves.length > 2) return undefined
  const [head, tail] = [readGroups(halves[0] ?? ""), readGroups(halves[1] ?? "")]
  if (head === undefined || tail === undefined) return undefined
  // An IPv4 address is only ever the last part.
  if (halves.length === 2 && (halves[0] ?? "").includes(".")) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...Array.from({ length: missing }, () => 0n), ...tail]
  return groups.reduce((sum, group) => (sum << 16n) | group, 0n)
}

/** The address that a text is; none for any other text. */
export const readIpAddress = (text: string): Option.Option<IpAddress> => {
  const family = text.includes(":") ? 6 : 4
  const value = family === 6 ? readIpv6(text) : readIpv4(text)
  return value === undefined ? Option.none() : Option.some({ family, value })
}

/** RFC 5952's form: lower case, the longest run of zero groups left out. */
export const writeIpAddress = ({ family, value }: IpAddress): string => {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => `${(value >> shift) & 0xffn}`).join(".")
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16))
  const runs = [...groups.join(":").matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].map(([run]) => run)
  const longest = runs.reduce(
    (best, run) => (run.replace(/^:/, "").length > best.replace(/^:/, "").length ? run : best),
    ""
  )
  return longest === "" ? groups.join(":") : groups.join(":").replace(longest, "::").replace(":::", "::")
}

/** The range that `ADDRESS/BITS`, or an address alone, means. None where bits behind the prefix are set: it would mean something else. */
export const readIpRange = (text: string): Option.Option<IpRange> => {
  const [address = "", bits, ...rest] = text.split("/")
  if (rest.length > 0 || (bits !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(bits))) return Option.none()
  return Option.flatMap(readIpAddress(address), (base) => {
    const width = widthOf(base.family)
    const prefix = bits === undefined ? width : Number(bits)
    if (prefix > width || base.value % (1n << BigInt(width - prefix)) !== 0n) return Option.none()
    return Option.some({ base, prefix })
  })
}

/** Always with its prefix. */
export const writeIpRange = ({ base, prefix }: IpRange): string => `${writeIpAddress(base)}/${prefix}`

export const isInRange = ({ base, prefix }: IpRange, { family, value }: IpAddress): boolean =>
  family === base.family && (value ^ base.value) >> BigInt(widthOf(family) - prefix) === 0n

const embedded = ["::ffff:0:0/96", "64:ff9b::/96"].flatMap((text) => Option.toArray(readIpRange(text)))

/** The IPv4 address that a v4-mapped or NAT64 one (RFC 6052) leads to; any other as it is. */
export const effectiveAddress = (address: IpAddress): IpAddress =>
  embedded.some((range) => isInRange(range, address)) ? { family: 4, value: address.value & 0xffffffffn } : address
