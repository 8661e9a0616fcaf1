/** `npm test`: every check and test of the project in one run, which ends with one line that sums them up. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { exitCode, onInterrupt } from "./children.mjs"
import { goResults, summary, total, vitestResults } from "./counts.mjs"
import { elapsed } from "./progress.mjs"

/** @typedef {import("./counts.mjs").Results} Results */
/**
 * @typedef {object} Stage
 * @property {string} title
 * @property {() => Promise<Results>} run
 * @property {"beside" | "alone"} [when] `beside`: those after it begin at once, until one that is `alone`. Else one follows another.
 */

const GO_MODULES = ["guest-harness", "native-bridge/mkroot", "native-bridge/tsc", "native-bridge/aegis-net"]
const MINUTE = 60_000
/** Against a run that hangs: all of it is meant to end within half an hour on a quiet machine, and within the hour on a busy one. */
const VITEST_LIMITS_MS = { unit: 22 * MINUTE, "vm-early": 15 * MINUTE, vm: 25 * MINUTE, testbed: 30 * MINUTE }

/**
 * A guest waits for its devices and its host as often as it computes: two files of them share two processors. The emulated host of the testbed
 * has one processor, and all that needs no guest, or takes no times, has the other meanwhile.
 */
const VITEST_WORKERS = {
  unit: ["--maxWorkers=1", "--minWorkers=1"],
  "vm-early": ["--maxWorkers=1", "--minWorkers=1"],
  vm: ["--maxWorkers=2", "--minWorkers=1"],
  testbed: ["--no-file-parallelism"]
}
/** @type {Results} */
const none = { counts: { passed: 0, failed: 0, skipped: 0 }, failures: [] }

/** A stage that is one test. @returns {Results} */
const one = (/** @type {boolean} */ passed, /** @type {ReadonlyArray<string>} */ failures = []) => ({
  counts: { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 },
  failures
})

/**
 * Runs all stages, also those after a failed one, tells at the end once more what failed, prints the sums as the last line and
 * returns the exit code.
 *
 * @param {string} root
 * @param {ReadonlyArray<string>} patterns Passed to vitest.
 */
export const runTests = async (root, patterns) => {
  const say = (/** @type {string} */ text) => void process.stdout.write(`${text}\n`)
  /** @param {Stage} stage */
  const carryOut = async ({ run, title }) => {
    say(`\n== ${title}`)
    const started = performance.now()
    const result = await run().catch((cause) => {
      const message = cause instanceof Error ? cause.message : String(cause)
      say(message)
      return one(false, [message])
    })
    say(`== ${title}: ${summary(result.counts)} in ${elapsed(performance.now() - started)}`)
    return { title, ...result }
  }
  /** @type {Array<Promise<Results & { title: string }>>} */
  const begun = []
  for (const stage of stages(root, patterns)) {
    if (stage.when === "alone") await Promise.all(begun)
    const going = carryOut(stage)
    begun.push(going)
    if (stage.when !== "beside") await going
  }
  const results = await Promise.all(begun)
  const sums = total(results.map(({ counts }) => counts))
  say("")
  for (const { counts, failures, title } of results.filter((result) => result.counts.failed > 0)) {
    for (const failure of failures) say(`FAILED ${failure}\n`)
    say(`FAILED ${title}: ${summary(counts)}`)
  }
  say(summary(sums))
  return sums.failed > 0 || sums.passed === 0 ? 1 : 0
}

/**
 * @param {string} root
 * @param {ReadonlyArray<string>} patterns
 * @returns {ReadonlyArray<Stage>}
 */
const stages = (root, patterns) => {
  const script = (/** @type {string} */ file) => path.join(root, "node_modules", file)
  /** One test: passed if each of the commands exits with 0. */
  const check = async (/** @type {ReadonlyArray<ReadonlyArray<string>>} */ commands, cwd = root) => {
    let ok = true
    for (const [command = "false", ...args] of commands) {
      ok = (await exitCode(command, args, { cwd, inherit: true, timeoutMs: 5 * MINUTE })) === 0 && ok
    }
    return one(ok)
  }
  const node = (/** @type {string} */ file, /** @type {ReadonlyArray<string>} */ ...args) => [
    process.execPath,
    script(file),
    ...args
  ]
  return [
    { title: "vitest testbed", when: "beside", run: () => vitest(root, "testbed", patterns) },
    { title: "lint", run: () => check([node("oxlint/bin/oxlint", "--deny-warnings")]) },
    {
      title: "types",
      run: () =>
        check([
          node("typescript/bin/tsc", "-p", "tsconfig.json"),
          node("typescript/bin/tsc", "-p", "apps/setup/tsconfig.json")
        ])
    },
    {
      title: "format",
      run: () => check([node("prettier/bin/prettier.cjs", "--check", "--log-level=warn", "**/*.{ts,mjs,cjs,json}")])
    },
    {
      title: "go vet",
      run: async () => {
        const all = []
        for (const module of GO_MODULES) all.push(await check([["go", "vet", "./..."]], path.join(root, module)))
        return one(all.every(({ counts }) => counts.failed === 0))
      }
    },
    ...GO_MODULES.map((module) => ({ title: `go test ${module}`, run: () => goTest(path.join(root, module)) })),
    { title: "vitest unit", run: () => vitest(root, "unit", patterns) },
    { title: "vitest vm-early", run: () => vitest(root, "vm-early", patterns) },
    { title: "vitest vm", when: "alone", run: () => vitest(root, "vm", patterns) }
  ]
}

/** @param {string} directory */
const goTest = async (directory) => {
  let json = ""
  const code = await exitCode("go", ["test", "-race", "-json", "./..."], {
    cwd: directory,
    inherit: true,
    timeoutMs: 8 * MINUTE,
    onStdout: (chunk) => {
      json += chunk.toString("utf8")
    }
  })
  const { report, ...results } = goResults(json)
  process.stdout.write(report)
  // It can fail before there is any package to tell about.
  return orBroken(results, code)
}

/**
 * What tests leave in the folder for temporary files is in one of the run's own, which goes with it. Its name is short, since paths of
 * sockets are, and other users may pass through it, as tests with two users need it.
 *
 * @template A
 * @param {(directory: string) => Promise<A>} use
 */
const inScratch = async (use) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "aegis-"))
  const remove = () => fs.rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  const forget = onInterrupt(remove)
  try {
    fs.chmodSync(directory, 0o711)
    return await use(directory)
  } finally {
    remove()
    forget()
  }
}

/**
 * @param {string} root
 * @param {keyof typeof VITEST_LIMITS_MS} project One of vitest.config.ts.
 * @param {ReadonlyArray<string>} patterns
 */
const vitest = async (root, project, patterns) => {
  const file = path.join(root, `.cache/tests/vitest-${project}.json`)
  fs.rmSync(file, { force: true })
  const args = [
    `--project=${project}`,
    // Where a file takes minutes, each test is shown when it ends.
    `--reporter=${project === "unit" ? "default" : "verbose"}`,
    "--reporter=json",
    `--outputFile.json=${file}`,
    // A pattern need not have tests in both projects.
    "--passWithNoTests",
    ...VITEST_WORKERS[project],
    ...patterns
  ]
  const vitestProgram = path.join(root, "node_modules/vitest/vitest.mjs")
  const code = await inScratch((TMPDIR) =>
    exitCode(process.execPath, [vitestProgram, "run", ...args], {
      cwd: root,
      env: { TMPDIR },
      inherit: true,
      timeoutMs: VITEST_LIMITS_MS[project]
    })
  )
  const results = fs.existsSync(file) ? vitestResults(JSON.parse(fs.readFileSync(file, "utf8"))) : none
  // An error outside of any test fails the run and none of its tests.
  return orBroken(results, code)
}

/**
 * A run that failed although none of its tests did counts as one failed test.
 *
 * @param {Results} results
 * @param {number} code The runner's exit code.
 * @returns {Results}
 */
const orBroken = (results, code) =>
  code !== 0 && results.counts.failed === 0
    ? { counts: { ...results.counts, failed: 1 }, failures: [`the run as a whole: exit code ${code}`] }
    : results
