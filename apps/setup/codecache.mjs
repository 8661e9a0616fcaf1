/**
 * The programs' V8 code caches, made by really running each of them, so that functions compiled on their first call are in it
 * too. Only `aegis --help` has to work for that: everything else here makes starts faster, and a build does not fail over it.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { exitCode, onInterrupt, SetupError } from "./children.mjs"

/**
 * Writes lib/*.cjs.cache.
 *
 * @param {string} directory Laid out like dist.
 * @param {string} warm The program warm.cjs.
 * @param {import("./progress.mjs").StepLog} log
 */
export const makeCodeCaches = async (directory, warm, log) => {
  // Short, because a Unix socket will stand in it.
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "aegis-warm-"))
  const forget = onInterrupt(() => fs.rmSync(home, { recursive: true, force: true }))
  const run = (/** @type {string} */ program, /** @type {ReadonlyArray<string>} */ args, options = {}) => {
    const out = path.join(directory, "lib", `${program}.cjs.cache`)
    log.say(`code cache: ${[program, ...args].join(" ")}`)
    return exitCode(process.execPath, [warm, out, path.join(directory, program), ...args], {
      cwd: home,
      env: { ...withoutOurs(), AEGIS_HOME: home, HOME: home },
      onOutput: log.write,
      timeoutMs: 30_000,
      ...options
    })
  }
  try {
    const code = await run("aegis", ["--help"])
    if (code !== 0) throw new SetupError(`aegis --help of the new build exits with ${code}`, "see the log above")
    await lenient(log, async () => {
      await run("aegis-vmm", [])
    })
    // It ends with its standard input, which is empty here.
    await lenient(log, async () => {
      await run("aegis-mcp", [])
    })
    await lenient(log, () => withDaemon(run, home))
  } finally {
    fs.rmSync(home, { recursive: true, force: true })
    forget()
  }
}

/**
 * The daemon serves, and the CLI, one run building on the cache of the one before, asks it things. No guest boots here: the
 * folder holds no kernel.
 *
 * @param {(program: string, args: ReadonlyArray<string>, options?: import("./children.mjs").RunOptions) => Promise<number>} run
 * @param {string} home
 */
const withDaemon = async (run, home) => {
  let pid = 0
  let ended = false
  const daemon = run("aegisd", [], {
    onStart: (started) => {
      pid = started
    }
  }).finally(() => {
    ended = true
  })
  // It is awaited below; until then a failure must not count as unhandled.
  daemon.catch(() => undefined)
  const socket = path.join(home, "aegisd.sock")
  for (let tries = 0; tries < 200 && !ended && !fs.existsSync(socket); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  if (fs.existsSync(socket)) {
    for (const args of [
      ["status", "--json"],
      ["run", "--", "true"],
      ["exec", "nobody", "--", "true"],
      ["logs", "nobody"],
      ["instance", "list"]
    ]) {
      await run("aegis", args).catch(() => undefined)
    }
  }
  if (!ended) process.kill(pid, "SIGTERM")
  await daemon
}

/**
 * @param {import("./progress.mjs").StepLog} log
 * @param {() => Promise<void>} work
 */
const lenient = async (log, work) => {
  try {
    await work()
  } catch (cause) {
    log.say(`no code cache of it: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

/** Settings of the person who builds have no place in a build. */
const withoutOurs = () =>
  Object.fromEntries(
    Object.keys(process.env)
      .filter((name) => name.startsWith("AEGIS_"))
      .map((name) => [name, undefined])
  )
