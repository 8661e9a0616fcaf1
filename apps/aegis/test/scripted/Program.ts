/**
 * The CLI as it is shipped, bundled beside the scripted daemon, as a process that tests start.
 */
import { buildSync } from "esbuild"
import { type ChildProcess, spawn } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"

export interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface Start {
  readonly home: string
  readonly env?: Record<string, string>
  readonly input?: Buffer
  readonly cwd?: string
  readonly program?: string
}

/** Bundles both into a directory of its own. */
export const buildProgram = () => {
  const directory = mkdtempSync(path.join(tmpdir(), "aegis-cli-"))
  const product = path.join(directory, "dist")
  const program = path.join(product, "aegis")
  const bundle = (entry: string, name: string) =>
    buildSync({
      ...{ entryPoints: [path.join(import.meta.dirname, entry)], outfile: path.join(product, `${name}.cjs`) },
      ...{ bundle: true, platform: "node", format: "cjs", target: "node20", logLevel: "error" },
      external: ["bufferutil", "utf-8-validate", "msgpackr-extract"]
    })
  bundle("../../src/main.ts", "aegis")
  bundle("aegisd.ts", "aegisd")
  for (const name of ["aegis", "aegisd"]) {
    writeFileSync(path.join(product, name), `#!/usr/bin/env node\nrequire("./${name}.cjs")\n`)
    chmodSync(path.join(product, name), 0o755)
  }

  const start = (argv: ReadonlyArray<string>, options: Start) => {
    const child = spawn(options.program ?? program, argv, {
      cwd: options.cwd ?? directory,
      env: { PATH: process.env["PATH"], AEGIS_HOME: options.home, AEGIS_UP_TIMEOUT: "20", ...options.env }
    })
    const stdout: Array<Buffer> = []
    let stderr = ""
    child.stdout.on("data", (bytes: Buffer) => stdout.push(bytes))
    child.stderr.on("data", (bytes: Buffer) => (stderr += bytes.toString()))
    child.stdin.on("error", () => {})
    child.stdin.end(options.input ?? Buffer.alloc(0))
    const done = new Promise<Ran>((resolve) =>
      child.on("close", (code, signal) => resolve({ code, signal, stdout: Buffer.concat(stdout), stderr }))
    )
    return { child, done, seen: () => Buffer.concat(stdout).toString() }
  }

  return {
    directory,
    product,
    program,
    start,
    aegis: (argv: ReadonlyArray<string>, options: Start) => start(argv, options).done,
    newHome: () => mkdtempSync(path.join(directory, "home-")),
    clean: () => rmSync(directory, { recursive: true, force: true })
  }
}

/** Waits until `what` holds, while the process lives. */
export const until = async (what: () => boolean, child?: ChildProcess) => {
  while (!what()) {
    if (child !== undefined && child.exitCode !== null) throw new Error("it ended too early")
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
