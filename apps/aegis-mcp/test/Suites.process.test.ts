/**
 * Clients and suites that others wrote: the MCP conformance suite, through a bridge to HTTP, and the command line of the MCP Inspector.
 */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { setupModule } from "../../../test/setup/program.ts"
import { buildAgent } from "./Agent.ts"
import { type HttpBridge, httpBridge } from "./HttpBridge.ts"

interface Suites {
  readonly node: string
  readonly conformance: string
  readonly inspector: string
}
interface CacheModule {
  readonly cacheDirectory: (env: NodeJS.ProcessEnv, home: string) => string
  readonly makeCache: (root: string) => object
}
interface ToolsModule {
  readonly ensureMcpSuites: (root: string, cache: object) => Promise<Suites>
}

describe("suites of others", () => {
  const { aegis, clean, connect, directory, newHome, program } = buildAgent()
  const home = newHome()
  let suites: Suites
  let bridge: HttpBridge

  const node = (...args: ReadonlyArray<string>) =>
    new Promise<{ readonly code: unknown; readonly stdout: string; readonly all: string }>((resolve) => {
      const env = { PATH: `${path.dirname(suites.node)}:${process.env["PATH"]}`, HOME: directory, AEGIS_HOME: home }
      const cwd = mkdtempSync(path.join(directory, "suite-"))
      execFile(suites.node, [...args], { cwd, env, maxBuffer: 1e8 }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : error.code, stdout, all: stdout + stderr })
      )
    })

  beforeAll(async () => {
    const { cacheDirectory, makeCache } = await setupModule<CacheModule>("cache.mjs")
    const { ensureMcpSuites } = await setupModule<ToolsModule>("testtools.mjs")
    const root = path.resolve(import.meta.dirname, "../../..")
    suites = await ensureMcpSuites(root, makeCache(cacheDirectory(process.env, homedir())))
    assert.strictEqual((await aegis(["up"], { home })).code, 0)
    bridge = await httpBridge(program, { PATH: process.env["PATH"] ?? "", AEGIS_HOME: home })
  }, 600_000)
  afterAll(async () => {
    await bridge?.close()
    await aegis(["down"], { home })
    clean()
  }, 60_000)

  it("S-189 the conformance suite's scenarios for servers pass, but for those that do not apply", async () => {
    const reasons = readFileSync(path.join(import.meta.dirname, "expected-failures.yml"), "utf8")
    const left = [...reasons.matchAll(/^ {2}- (\S+)$/gm)].map(([, name]) => name)
    const listed = await node(suites.conformance, "list", "--server")
    const all = [...listed.stdout.matchAll(/^ {2}- (\S+) /gm)].map(([, name]) => name)
    const applying = ["server-initialize", "ping", "tools-list"]
    assert.sameMembers(all, [...applying, ...left], "each scenario is run, or has a reason why not")
    for (const scenario of applying) {
      const asked = ["--url", bridge.url, "--scenario", scenario, "--output-dir", "results"]
      const { all, code } = await node(suites.conformance, "server", ...asked)
      assert.strictEqual(code, 0, all.slice(-6000))
      assert.match(all, /Passed: [1-9]/)
    }
  }, 300_000)

  it("S-189 the Inspector lists the tools, and calls them", async () => {
    const inspect = async (...args: ReadonlyArray<string>): Promise<unknown> => {
      const { all, code, stdout } = await node(suites.inspector, program, "--method", ...args)
      assert.strictEqual(code, 0, all)
      return JSON.parse(stdout)
    }
    const client = await connect(home)
    const { tools } = await client.listTools()
    await client.close()
    const listed = (await inspect("tools/list")) as { readonly tools: ReadonlyArray<{ readonly name: string }> }
    assert.deepStrictEqual(
      listed.tools.map(({ name }) => name),
      tools.map(({ name }) => name)
    )
    const args = ["--tool-arg", 'command=["print","hello"]', "memory_mb=64"]
    const ran = await inspect("tools/call", "--tool-name", "run", ...args)
    assert.deepNestedInclude(ran as object, {
      "structuredContent.exit_code": 0,
      "structuredContent.stdout.text": "hello"
    })
    const refused = await inspect("tools/call", "--tool-name", "instance_info", "--tool-arg", "target=nobody")
    assert.match(JSON.stringify(refused), /"isError":true/)
  }, 300_000)
})
