import { causeOfCall, commandLineHeaders, mcpToolHeaders, programHeaders } from "@aegis/contract"
import { ByCli, ByMcp, ByProgram, ProgramName } from "@aegis/domain"
import * as Headers from "@effect/platform/Headers"
import { assert, describe, it } from "@effect/vitest"

describe("who makes a call", () => {
  const cause = (headers: Headers.Headers) => causeOfCall("instance stop", { headers })
  const said = (who: string) => cause(Headers.fromInput({ "aegis-caller": who }))

  it("is the command line, a tool or a program, whichever says so", () => {
    assert.deepStrictEqual(cause(commandLineHeaders), new ByCli({ command: "instance stop" }))
    assert.deepStrictEqual(cause(mcpToolHeaders("instance_stop")), new ByMcp({ tool: "instance_stop" }))
    for (const name of ["worker", "@scope/tool", "my app 2.0", "x".repeat(64)]) {
      assert.deepStrictEqual(cause(programHeaders(ProgramName.make(name))), new ByProgram({ name }))
    }
  })

  it("is a program without a name where nothing is said, or something odd", () => {
    assert.deepStrictEqual(cause(Headers.empty), new ByProgram({}))
    for (const tool of ["", "Exec", "exec\n", "a b", "1", "x".repeat(65)]) {
      assert.deepStrictEqual(said(`mcp/${tool}`), new ByProgram({}))
    }
    for (const name of ["", " a", "a\u001b[2J", "a\nb", "a ", "ż", "x".repeat(65), "-a"]) {
      assert.deepStrictEqual(said(`program/${name}`), new ByProgram({}))
    }
    for (const who of ["CLI", "cli ", "program", "worker"]) assert.deepStrictEqual(said(who), new ByProgram({}))
  })
})
