import { assert, describe, it } from "@effect/vitest"
import { setupModule } from "./program.ts"

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

interface Results {
  readonly counts: Counts
  readonly failures: ReadonlyArray<string>
}

const { goResults, summary, total, vitestResults } = await setupModule<{
  total: (all: ReadonlyArray<Counts>) => Counts
  summary: (counts: Counts) => string
  vitestResults: (report: unknown) => Results
  goResults: (json: string) => Results & { report: string }
}>("counts.mjs")

const lines = (...events: ReadonlyArray<object>) => events.map((event) => JSON.stringify(event)).join("\n")

describe("the last line of npm test", () => {
  it("is the sums of all stages", () => {
    const sums = total([
      { passed: 1, failed: 0, skipped: 0 },
      { passed: 40, failed: 2, skipped: 3 }
    ])
    assert.strictEqual(summary(sums), "41 passed, 2 failed, 3 skipped")
    assert.strictEqual(summary(total([])), "0 passed, 0 failed, 0 skipped")
  })
})

describe("vitest's report", () => {
  it("counts tests, and a file that breaks before any test as one failed", () => {
    const tests = (...statuses: ReadonlyArray<string>) => statuses.map((status) => ({ status }))
    const report = {
      testResults: [
        { status: "passed", assertionResults: tests("passed", "passed", "skipped", "todo", "pending") },
        { status: "failed", assertionResults: tests("passed", "failed") },
        { status: "failed", assertionResults: [] }
      ]
    }
    assert.deepStrictEqual(vitestResults(report).counts, { passed: 3, failed: 2, skipped: 3 })
  })

  it("names what failed, with the beginning of why", () => {
    const trace = Array.from({ length: 100 }, (_, line) => `at line ${line}`).join("\n")
    const { failures } = vitestResults({
      testResults: [
        {
          name: "/r/test/A.test.ts",
          status: "failed",
          assertionResults: [
            { status: "passed", fullName: "a works", failureMessages: [] },
            { status: "failed", fullName: "a breaks", failureMessages: [`expected 1 to be 2\n${trace}`] }
          ]
        },
        { name: "/r/test/B.test.ts", status: "failed", message: "no such module", assertionResults: [] }
      ]
    })
    const [first = "", second] = failures
    assert.isTrue(first.startsWith("A.test.ts: a breaks\n    expected 1 to be 2\n"), first)
    assert.isBelow(first.split("\n").length, 30)
    assert.strictEqual(second, "B.test.ts\n    no such module")
  })
})

describe("go test's report", () => {
  it("counts subtests in place of the tests that hold them", () => {
    const { counts, report } = goResults(
      lines(
        { Action: "run", Package: "p", Test: "TestA" },
        { Action: "pass", Package: "p", Test: "TestA/one" },
        { Action: "skip", Package: "p", Test: "TestA/two" },
        { Action: "pass", Package: "p", Test: "TestA" },
        { Action: "pass", Package: "p", Test: "TestB" },
        { Action: "pass", Package: "q", Test: "TestA" },
        { Action: "output", Package: "p", Output: "ok p\n" },
        { Action: "pass", Package: "p", Elapsed: 1.25 },
        { Action: "skip", Package: "without-tests", Elapsed: 0 }
      )
    )
    assert.deepStrictEqual(counts, { passed: 3, failed: 0, skipped: 1 })
    assert.include(report, "pass p 1.3 s")
  })

  it("counts a failed test once and shows what it printed", () => {
    const { counts, failures, report } = goResults(
      lines(
        { Action: "output", Package: "p", Test: "TestA/one", Output: "    a_test.go:3: no\n" },
        { Action: "fail", Package: "p", Test: "TestA/one" },
        { Action: "fail", Package: "p", Test: "TestA" },
        { Action: "output", Package: "p", Test: "TestB", Output: "quiet\n" },
        { Action: "pass", Package: "p", Test: "TestB" },
        { Action: "fail", Package: "p", Elapsed: 0.1 }
      )
    )
    assert.deepStrictEqual(counts, { passed: 1, failed: 1, skipped: 0 })
    assert.include(report, "a_test.go:3: no")
    assert.include(failures.join("\n"), "p TestA/one\n        a_test.go:3: no")
    assert.notInclude(report, "quiet")
  })

  it("counts a package that does not compile as one failed test and shows the compiler's words", () => {
    const { counts, report } = goResults(
      lines(
        { ImportPath: "p [p.test]", Action: "build-output", Output: "./a_test.go:3: undefined: x\n" },
        { ImportPath: "p [p.test]", Action: "build-fail" },
        { Action: "output", Package: "p", Output: "FAIL\tp [build failed]\n" },
        { Action: "fail", Package: "p", Elapsed: 0, FailedBuild: "p [p.test]" }
      )
    )
    assert.deepStrictEqual(counts, { passed: 0, failed: 1, skipped: 0 })
    assert.include(report, "undefined: x")
  })

  it("keeps lines that are no events", () => {
    const { counts, report } = goResults(`no module\n{"Action":\n`)
    assert.deepStrictEqual(counts, { passed: 0, failed: 0, skipped: 0 })
    assert.include(report, "no module")
  })
})
