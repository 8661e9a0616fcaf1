/**
 * Which file a loaded library is, after the loader's search and all links.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"

/** The file that is mapped at an address of this process (proc_pid_maps(5)); none where the system does not tell. */
export const fileAt = (address: bigint): Effect.Effect<Option.Option<string>> =>
  Effect.try(() => fs.readFileSync("/proc/self/maps", "utf8")).pipe(
    Effect.map((maps) => Option.fromNullable(maps.split("\n").map(mapped).find(covers(address))?.path)),
    Effect.orElseSucceed(() => Option.none())
  )

interface Mapped {
  readonly from: bigint
  readonly to: bigint
  readonly path: string
}

const mapped = (line: string): Mapped | undefined => {
  const [, from, to, path] = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ +(\/.*)$/.exec(line) ?? []
  return from === undefined || to === undefined || path === undefined
    ? undefined
    : { from: BigInt(`0x${from}`), to: BigInt(`0x${to}`), path }
}

const covers = (address: bigint) => (entry: Mapped | undefined) =>
  entry !== undefined && entry.from <= address && address < entry.to

/** `1.19.7` of `libkrun.so.1.19.7`; a file name with no more than the ABI's number tells none. */
export const versionInName = (path: string): string | undefined => /\.(\d+\.\d+(?:\.\d+)*)(?:\.dylib)?$/.exec(path)?.[1]
