/**
 * Paired timings: A and B in turn, so that a machine whose speed drifts treats both alike; medians and their ratio.
 */
import { spawn } from "node:child_process"

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

/** The least value that this part of all reaches: 0.99 is the 99th percentile. */
export const quantile = (values: ReadonlyArray<number>, part: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * part)] ?? NaN

/** Milliseconds that one run of `work` takes. */
export const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

/** One uncounted run of each, then `runs` pairs. */
export const paired = async (runs: number, a: () => Promise<number>, b: () => Promise<number>) => {
  await a()
  await b()
  const as: Array<number> = []
  const bs: Array<number> = []
  for (let i = 0; i < runs; i++) {
    as.push(await a())
    bs.push(await b())
  }
  return { a: median(as), b: median(bs), ratio: median(as.map((value, i) => value / (bs[i] ?? NaN))) }
}

/** Runs a program to its end, its output dropped; fails when it does. */
export const program = (
  command: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"] })
    child.once("error", reject)
    child.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args.join(" ")}: exit ${code}`))
    )
  })

/** One line of the report: what, the figures, the ratio and what was promised. */
export const report = (what: string, figures: string, promise: string) =>
  console.log(`${what}\n    ${figures}\n    promised: ${promise}`)

export const ms = (value: number) => `${value.toFixed(value < 100 ? 1 : 0)} ms`
