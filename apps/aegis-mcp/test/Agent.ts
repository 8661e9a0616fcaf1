/**
 * `aegis-mcp` as it is shipped, bundled beside the CLI and the scripted daemon, and the SDK's own client of it.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { buildSync } from "esbuild"
import { chmodSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll } from "vitest"
import { buildProgram } from "../../aegis/test/scripted/Program.ts"

export interface Answer {
  readonly isError?: boolean
  readonly content: ReadonlyArray<{ readonly text: string }>
  readonly structuredContent?: Record<string, unknown>
}

export interface Refusal {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

/** Bundles all three into a directory of its own. */
export const buildAgent = () => {
  const built = buildProgram()
  const program = path.join(built.product, "aegis-mcp")
  buildSync({
    ...{ entryPoints: [path.join(import.meta.dirname, "../src/main.ts")], outfile: `${program}.cjs` },
    ...{ bundle: true, platform: "node", format: "cjs", target: "node20", logLevel: "error" },
    external: ["bufferutil", "utf-8-validate", "msgpackr-extract"]
  })
  writeFileSync(program, `#!/usr/bin/env node\nrequire("./aegis-mcp.cjs")\n`)
  chmodSync(program, 0o755)
  return { ...built, program, connect: (home: string) => connect(program, home) }
}

/** An agent with a daemon of its own, in whose home runs the instance `web`; for the tests of one file. */
export const agentWithInstance = () => {
  const { aegis, clean, connect, newHome } = buildAgent()
  const home = newHome()
  let client: Client
  const ask = asker(() => client)
  beforeAll(async () => {
    assert.strictEqual((await aegis(["up"], { home })).code, 0)
    client = await connect(home)
    await ask("instance_start", { command: ["sleep"], handle: "web" })
  }, 60_000)
  afterAll(async () => {
    await client?.close()
    await aegis(["down"], { home })
    clean()
  })
  return { home, ask, refusal: refuser(() => client), connect }
}

const connect = async (program: string, home: string) => {
  const client = new Client({ name: "test", version: "1" })
  const env = { PATH: process.env["PATH"] ?? "", AEGIS_HOME: home }
  await client.connect(new StdioClientTransport({ command: program, args: [], env, stderr: "pipe" }))
  // The client checks structured content against the schemas that it has listed.
  await client.listTools()
  return client
}

export interface CallOptions {
  readonly signal?: AbortSignal
  readonly onprogress?: (progress: { readonly message?: string | undefined }) => void
}

export const caller =
  (client: () => Client) =>
  async (name: string, args: Record<string, unknown> = {}, options: CallOptions = {}): Promise<Answer> =>
    (await client().callTool({ name, arguments: args }, undefined, options)) as unknown as Answer

/** What a call that succeeds answers with, within every answer's limit, and the same in text. */
export const asker = (client: () => Client) => {
  const call = caller(client)
  return async (name: string, args: Record<string, unknown> = {}, options: CallOptions = {}) => {
    const answer = await call(name, args, options)
    assert.isUndefined(answer.isError, JSON.stringify(answer))
    assert.deepStrictEqual(JSON.parse(answer.content[0]?.text ?? ""), answer.structuredContent)
    assert.isAtMost(Buffer.byteLength(JSON.stringify(answer.structuredContent)), 64 * 1024)
    return answer.structuredContent ?? {}
  }
}

/** What a call that fails says. */
export const refuser = (client: () => Client) => {
  const call = caller(client)
  return async (name: string, args: Record<string, unknown> = {}): Promise<Refusal> => {
    const answer = await call(name, args)
    assert.isTrue(answer.isError, JSON.stringify(answer))
    return JSON.parse(answer.content[0]?.text ?? "").error
  }
}

export const until = async (what: () => boolean | Promise<boolean>) => {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 20))
}
