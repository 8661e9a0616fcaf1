/** The commands of the setup program. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { bench } from "./bench.mjs"
import { cacheDirectory, makeCache } from "./cache.mjs"
import { endOnSignals, interrupted, SetupError } from "./children.mjs"
import { demo } from "./demo.mjs"
import { packClient } from "./client.mjs"
import { buildProduct } from "./product.mjs"
import { elapsed, makeProgress } from "./progress.mjs"
import { runTests } from "./tests.mjs"
import { ensureFsx, ensureMcpSuites, ensureSchemathesis } from "./testtools.mjs"

const USAGE = `Usage: node apps/setup/main.mjs <command>

Commands:
  build            Make dist/: the programs, libkrun, the guest's files
  demo             Build, then run a command in a guest
  test [PATTERN]   Build, then check and test everything; PATTERN chooses among the TypeScript tests
  bench [PATTERN]  Build, then run the benchmarks
  pack [DIR]       Make the npm package @aegis/client in DIR (default: dist/npm)
  clean [--cache]  Delete dist/; with --cache also what earlier builds have kept

Environment:
  AEGIS_BUILD_CACHE  Where finished parts are kept (default: ~/.cache/aegis-build)
`

const root = fileURLToPath(new URL("../../", import.meta.url))

/**
 * Runs the command that the arguments name, and ends the process with its exit code.
 *
 * @param {ReadonlyArray<string>} argv
 */
export const main = async (argv) => {
  endOnSignals()
  // Debian keeps e2fsck, modprobe and others where a plain user's PATH does not lead.
  process.env["PATH"] = `${process.env["PATH"] ?? "/usr/bin:/bin"}:/usr/local/sbin:/usr/sbin:/sbin`
  try {
    process.exitCode = await dispatch(argv)
  } catch (cause) {
    // What fails once a signal came, fails because of it; its handler says so and ends the process.
    if (interrupted()) return
    process.exitCode = 1
    if (cause instanceof SetupError) {
      process.stderr.write(`error: ${cause.message}\n${cause.remedy === undefined ? "" : `  try: ${cause.remedy}\n`}`)
    } else process.stderr.write(`error: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`)
  }
}

/**
 * @param {ReadonlyArray<string>} argv
 * @returns {Promise<number>} The exit code.
 */
const dispatch = async ([command, ...args]) => {
  const cacheRoot = cacheDirectory(process.env, os.homedir())
  const progress = makeProgress({ stream: process.stderr, logDirectory: path.join(cacheRoot, "logs") })
  const build = async (/** @type {{ forTests: boolean }} */ options) => {
    const started = performance.now()
    await buildProduct({ root, cache: makeCache(cacheRoot), progress }, options)
    progress.note(`dist/ is up to date, after ${elapsed(performance.now() - started)}`)
  }
  switch (command) {
    case "build":
      await build({ forTests: false })
      return 0
    case "demo":
      await build({ forTests: false })
      await demo(root, progress)
      return 0
    case "test":
      await build({ forTests: true })
      await progress.step("suites of others, for the tests", async () => {
        await ensureSchemathesis(root, makeCache(cacheRoot))
        await ensureMcpSuites(root, makeCache(cacheRoot))
        await ensureFsx(makeCache(cacheRoot))
      })
      return runTests(root, args)
    case "bench":
      await build({ forTests: true })
      return bench(root, args)
    case "pack":
      process.stdout.write(`${await packClient(root, path.resolve(args[0] ?? path.join(root, "dist/npm")))}\n`)
      return 0
    case "clean":
      fs.rmSync(path.join(root, "dist"), { recursive: true, force: true })
      if (args.includes("--cache")) fs.rmSync(cacheRoot, { recursive: true, force: true })
      return 0
    default:
      process.stderr.write(command === undefined ? USAGE : `error: unknown command: ${command}\n\n${USAGE}`)
      return 2
  }
}
