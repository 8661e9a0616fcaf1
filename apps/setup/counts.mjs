/** How many tests passed, failed and were skipped, and which failed, read from what the test runners report. */
import * as path from "node:path"

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */
/** @typedef {{ counts: Counts, failures: ReadonlyArray<string> }} Results Each failure is a test's name, or that and the first lines of why. */

/** Lines of a failure's message that stand in the list at the end; the whole of it is where the test ran. */
const LINES_OF_A_FAILURE = 20

/** @param {ReadonlyArray<Counts>} all */
export const total = (all) =>
  all.reduce(
    (sum, counts) => ({
      passed: sum.passed + counts.passed,
      failed: sum.failed + counts.failed,
      skipped: sum.skipped + counts.skipped
    }),
    { passed: 0, failed: 0, skipped: 0 }
  )

/**
 * "12 passed, 0 failed, 1 skipped".
 *
 * @param {Counts} counts
 */
export const summary = ({ failed, passed, skipped }) => `${passed} passed, ${failed} failed, ${skipped} skipped`

/**
 * @typedef {object} VitestReport What vitest's JSON reporter writes, as far as it is used here.
 * @property {ReadonlyArray<VitestFile>} testResults
 */

/**
 * @typedef {object} VitestFile
 * @property {string} status
 * @property {string} [name] The file's path.
 * @property {string} [message] Why the file as a whole failed.
 * @property {ReadonlyArray<{ status: string, fullName?: string, failureMessages?: ReadonlyArray<string> | null }>} assertionResults
 */

/**
 * A file that fails before any of its tests does counts as one failed test.
 *
 * @param {VitestReport} report
 * @returns {Results}
 */
export const vitestResults = ({ testResults }) => {
  const files = testResults.map(({ assertionResults, message = "", name = "", status }) => {
    const of = (/** @type {string} */ wanted) => assertionResults.filter((test) => test.status === wanted)
    const passed = of("passed").length
    const failed = of("failed").map((test) =>
      beginning([`${path.basename(name)}: ${test.fullName ?? ""}`, ...(test.failureMessages ?? [])])
    )
    const broken = status === "failed" && failed.length === 0 ? [beginning([path.basename(name), message])] : []
    const failures = [...failed, ...broken]
    const skipped = assertionResults.length - passed - failed.length
    return { counts: { passed, failed: failures.length, skipped }, failures }
  })
  return { counts: total(files.map(({ counts }) => counts)), failures: files.flatMap(({ failures }) => failures) }
}

/** @param {ReadonlyArray<string>} texts */
const beginning = (texts) => texts.join("\n").trimEnd().split("\n").slice(0, LINES_OF_A_FAILURE).join("\n    ")

/**
 * The counts and failures of `go test -json` (cmd/test2json), and a report for people: a line per package, and everything that failed
 * tests and packages printed. Tests that only hold subtests are not counted; a package that fails without a failing test is.
 *
 * @param {string} json
 */
export const goResults = (json) => {
  const events = json.split("\n").map(parseEvent)
  /** @type {Map<string, { package: string, test: string, action: string }>} */
  const ends = new Map()
  /** @type {Map<string, string>} */
  const outputs = new Map()
  /** @type {Array<{ package: string, action: string, elapsed: number }>} */
  const packages = []
  for (const event of events) {
    const key = `${event.Package ?? event.ImportPath ?? ""}\0${event.Test ?? ""}`
    if (event.Output !== undefined) outputs.set(key, `${outputs.get(key) ?? ""}${event.Output}`)
    if (event.Action !== "pass" && event.Action !== "fail" && event.Action !== "skip") continue
    if (event.Test === undefined) {
      packages.push({ package: event.Package ?? "", action: event.Action, elapsed: event.Elapsed ?? 0 })
    } else ends.set(key, { package: event.Package ?? "", test: event.Test, action: event.Action })
  }
  const tests = [...ends.values()]
  const parents = new Set(
    tests.flatMap((end) => {
      const parts = end.test.split("/")
      return parts.slice(1).map((_, index) => `${end.package}\0${parts.slice(0, index + 1).join("/")}`)
    })
  )
  const leaves = tests.filter((end) => !parents.has(`${end.package}\0${end.test}`))
  const of = (/** @type {string} */ action) => leaves.filter((end) => end.action === action).length
  const failedTests = tests.filter((end) => end.action === "fail")
  const broken = packages.filter(
    (end) => end.action === "fail" && !leaves.some((test) => test.package === end.package && test.action === "fail")
  )
  const printed = [
    ...failedTests.map((end) => outputs.get(`${end.package}\0${end.test}`)),
    ...packages.filter((end) => end.action === "fail").map((end) => outputs.get(`${end.package}\0`)),
    // The compiler's words carry the package's import path, and a suffix that names the test binary.
    ...[...outputs].filter(([key]) => key.includes(" [") || key === "\0").map(([, text]) => text)
  ]
  const lines = packages.map((end) => `${end.action.padEnd(4)} ${end.package} ${end.elapsed.toFixed(1)} s\n`)
  return {
    counts: { passed: of("pass"), failed: of("fail") + broken.length, skipped: of("skip") },
    failures: [
      ...failedTests.map((end) =>
        beginning([`${end.package} ${end.test}`, outputs.get(`${end.package}\0${end.test}`) ?? ""])
      ),
      ...broken.map((end) => beginning([end.package, outputs.get(`${end.package}\0`) ?? ""]))
    ],
    report: `${printed.filter((text) => text !== undefined).join("")}${lines.join("")}`
  }
}

/**
 * @param {string} line
 * @returns {{ Action?: string, Package?: string, ImportPath?: string, Test?: string, Output?: string, Elapsed?: number }}
 */
const parseEvent = (line) => {
  if (!line.startsWith("{")) return line === "" ? {} : { Output: `${line}\n` }
  try {
    return JSON.parse(line)
  } catch {
    // Not test2json's: something wrote to stdout behind its back.
    return { Output: `${line}\n` }
  }
}
