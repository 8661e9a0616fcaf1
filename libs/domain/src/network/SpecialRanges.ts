/**
 * Addresses that are not the public internet (the IANA registries of special-purpose addresses, RFC 6890, and the metadata services
 * of clouds). The most telling range comes first.
 */
export const specialRanges: ReadonlyArray<readonly [range: string, what: string]> = [
  ["169.254.169.254/32", "a cloud's metadata service"],
  ["168.63.129.16/32", "a cloud's metadata service"],
  ["100.100.100.200/32", "a cloud's metadata service"],
  ["fd00:ec2::254/128", "a cloud's metadata service"],
  ["fd20:ce::254/128", "a cloud's metadata service"],
  ["127.0.0.0/8", "a loopback address"],
  ["10.0.0.0/8", "a private address"],
  ["172.16.0.0/12", "a private address"],
  ["192.168.0.0/16", "a private address"],
  ["100.64.0.0/10", "an address shared behind a provider's NAT"],
  ["169.254.0.0/16", "a link-local address"],
  ["224.0.0.0/4", "a multicast address"],
  ["0.0.0.0/8", "no address of a host"],
  ["192.0.0.0/24", "reserved for protocols"],
  ["192.88.99.0/24", "a relay into IPv6"],
  ["198.18.0.0/15", "reserved for benchmarks"],
  ["240.0.0.0/4", "a reserved address"],
  ["::1/128", "a loopback address"],
  ["fc00::/7", "a private address"],
  ["fe80::/10", "a link-local address"],
  ["fec0::/10", "a private address"],
  ["ff00::/8", "a multicast address"],
  ["2002::/16", "a tunnel into IPv4 (6to4)"],
  ["2001::/32", "a tunnel into IPv4 (Teredo)"],
  ["2001::/23", "reserved for protocols"],
  // What is left of all that is not 2000::/3, the only part of IPv6 that is given out.
  ["::/3", "no public address"],
  ["4000::/2", "no public address"],
  ["8000::/1", "no public address"]
]
