import { assert, describe, it } from "@effect/vitest"
import { setupModule } from "./program.ts"

interface ToolProblem {
  readonly name: string
  readonly found: string | undefined
  readonly needed: string
  readonly remedy: string
}
interface Requirement {
  readonly packages: ReadonlyArray<string>
}

const { missingMessage, missingPackages, requiredPackages, toolProblem } = await setupModule<{
  requiredPackages: (options: { forTests: boolean }) => ReadonlyArray<Requirement>
  missingPackages: (answer: string, wanted: ReadonlyArray<Requirement>) => ReadonlyArray<string>
  toolProblem: (name: "Go" | "Cargo", answer: string | undefined) => ToolProblem | undefined
  missingMessage: (missing: {
    packages: ReadonlyArray<string>
    tools: ReadonlyArray<ToolProblem>
    debian: boolean
    root: boolean
  }) => string
}>("packages.mjs")

describe("the machine's packages", () => {
  it("the tests need more than the build", () => {
    const names = (forTests: boolean) => requiredPackages({ forTests }).flatMap(({ packages }) => packages)
    assert.include(names(false), "mmdebstrap")
    assert.notInclude(names(false), "skopeo")
    assert.include(names(true), "skopeo")
    assert.include(names(true), "mmdebstrap")
  })

  it("are missing unless dpkg says installed, and an alternative will do", () => {
    const wanted = [{ packages: ["a"] }, { packages: ["b"] }, { packages: ["c", "c2"] }, { packages: ["d"] }]
    const answer = "a\tinstalled\nb\tconfig-files\nc2\tinstalled\n"
    assert.deepStrictEqual(missingPackages(answer, wanted), ["b", "d"])
  })

  it("Go and Cargo are judged by their version", () => {
    assert.isUndefined(toolProblem("Go", "go version go1.26.8 linux/amd64"))
    assert.isUndefined(toolProblem("Go", "go version go2.0 linux/amd64"))
    assert.isUndefined(toolProblem("Go", "go version go1.24rc1 linux/amd64"))
    assert.strictEqual(toolProblem("Go", "go version go1.19.8 linux/amd64")?.found, "1.19")
    assert.isUndefined(toolProblem("Cargo", "cargo 1.95.0 (f2d3ce0bd 2026-03-21)"))
    assert.strictEqual(toolProblem("Cargo", "cargo 1.63.0")?.found, "1.63")
    const absent = toolProblem("Cargo", undefined)
    assert.isDefined(absent)
    assert.isUndefined(absent.found)
  })

  it("end, where they may not be installed, in one list and the exact command", () => {
    const go = toolProblem("Go", "go version go1.19.8 linux/amd64")
    const message = missingMessage({
      packages: ["mmdebstrap", "uidmap"],
      tools: go === undefined ? [] : [go],
      debian: true,
      root: false
    })
    assert.deepStrictEqual(message.split("\n"), [
      "this machine lacks what the build needs:",
      "  - Go 1.24 or newer, found 1.19",
      "  - the Debian package mmdebstrap",
      "  - the Debian package uidmap",
      "install it with:",
      `  ${go?.remedy}`,
      "  sudo apt-get update && sudo apt-get install -y --no-install-recommends mmdebstrap uidmap"
    ])
    const asRoot = missingMessage({ packages: ["uidmap"], tools: [], debian: true, root: true })
    assert.include(asRoot, "\n  apt-get update && apt-get install -y --no-install-recommends uidmap")
    assert.notInclude(asRoot, "sudo")
  })
})
