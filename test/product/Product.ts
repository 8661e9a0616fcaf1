/**
 * The product as its users have it: the programs of dist/, a home of its own, a daemon that is started and stopped.
 */
import { deepStrictEqual } from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync
} from "node:fs"
import { homedir, tmpdir } from "node:os"
import * as path from "node:path"

export const dist = path.resolve(import.meta.dirname, "../../dist")

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs: its output so far, and its end. */
export interface Running {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  readonly ended: Promise<Finished>
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** All of its standard input. */
  readonly input?: string
  /** Standard input stays open for the test to write to. */
  readonly stdin?: "open"
}

export const start = (program: string, args: ReadonlyArray<string>, options: StartOptions = {}): Running => {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...environment, ...options.env },
    stdio: [options.input === undefined && options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"]
  })
  const out: Array<Buffer> = []
  const err: Array<Buffer> = []
  child.stdout?.on("data", (bytes: Buffer) => out.push(bytes))
  child.stderr?.on("data", (bytes: Buffer) => err.push(bytes))
  // A command that ends before it has read everything is no error of the test's.
  child.stdin?.on("error", () => undefined)
  if (options.stdin === undefined) child.stdin?.end(options.input)
  const stdout = () => Buffer.concat(out).toString()
  const stderr = () => Buffer.concat(err).toString()
  const ended = new Promise<Finished>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code, signal, stdout: stdout(), stderr: stderr() }))
  })
  return { child, stdout, stderr, ended }
}

/** Nothing of ours or the developer's leaks into a test. */
const environment = { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", LANG: "C.UTF-8" }

/** Looks again every 20 ms until `look` gives something, for at most `seconds`. */
export const until = async <A>(
  what: string,
  look: () => A | undefined | false | Promise<A | undefined | false>,
  seconds = 60
): Promise<A> => {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Where the build keeps what it made, by content. */
export const buildCache =
  process.env["AEGIS_BUILD_CACHE"] ??
  path.join(process.env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache"), "aegis-build")

/** What tests share: the base root file system, and what daemons measure once per boot of the machine; made by the product itself. */
const sharedHome = path.join(buildCache, "test-home")

/** What a daemon has found out about the machine, kept until it boots again. */
const verdicts = ["backend.json", "tsc.json"]

/** A folder with the base root file system. */
export const baseRootfs = async (): Promise<string> => {
  const directory = path.join(sharedHome, "base-rootfs")
  if (!existsSync(path.join(directory, "rootfs.json"))) {
    const made = await start(path.join(dist, "aegisd"), ["rootfs", "ensure"], { env: { AEGIS_HOME: sharedHome } }).ended
    if (made.code !== 0) throw new Error(`the base root file system could not be made: ${made.stdout}${made.stderr}`)
  }
  return directory
}

/** Has a daemon of its own find out about the machine, and keeps that for all. */
export const prepareSharedHome = async (): Promise<void> => {
  const first = await Product.make()
  await first.says("up")
  await first.says("run", "--memory", "64", "--", "true")
  mkdirSync(path.join(sharedHome, "data"), { recursive: true, mode: 0o700 })
  for (const name of verdicts) copyFileSync(path.join(first.home, "data", name), path.join(sharedHome, "data", name))
  await first.remove()
}

/** It may end by itself in this very moment. */
const endIfThere = (pid: number) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {}
}

export class Product {
  readonly home: string
  readonly env: Record<string, string>

  private constructor(home: string, env: Readonly<Record<string, string>>) {
    this.home = home
    this.env = { AEGIS_HOME: home, AEGIS_BACKEND: "qemu", AEGIS_ROUTER_PORT: "0", AEGIS_UP_TIMEOUT: "30", ...env }
  }

  /** A home with the base root file system and the machine's verdicts in it, and no daemon. */
  static async make(env: Readonly<Record<string, string>> = {}): Promise<Product> {
    const product = Product.empty(env)
    const source = await baseRootfs()
    const own = path.join(product.home, "base-rootfs")
    for (const directory of [own, path.join(product.home, "data")]) mkdirSync(directory, { mode: 0o700 })
    symlinkSync(path.join(source, "rootfs.ext4"), path.join(own, "rootfs.ext4"))
    copyFileSync(path.join(source, "rootfs.json"), path.join(own, "rootfs.json"))
    for (const name of verdicts.filter((name) => existsSync(path.join(sharedHome, "data", name)))) {
      copyFileSync(path.join(sharedHome, "data", name), path.join(product.home, "data", name))
    }
    return product
  }

  /** A home with nothing in it. */
  static empty(env: Readonly<Record<string, string>> = {}): Product {
    return new Product(mkdtempSync(path.join(tmpdir(), "aegis-")), env)
  }

  start(args: ReadonlyArray<string>, options: StartOptions = {}): Running {
    return start(path.join(dist, "aegis"), args, { ...options, env: { ...this.env, ...options.env } })
  }

  run(args: ReadonlyArray<string>, options: StartOptions = {}): Promise<Finished> {
    return this.start(args, options).ended
  }

  /** What a command prints that succeeds and has nothing to say on standard error. */
  async says(...args: ReadonlyArray<string>): Promise<string> {
    const { code, stderr, stdout } = await this.run(args)
    deepStrictEqual([code, stderr], [0, ""], args.join(" "))
    return stdout
  }

  get daemonPid(): number {
    return Number(readFileSync(path.join(this.home, "data", "aegisd.pid"), "utf8"))
  }

  /** What there is of instances: run directories, temporary workspaces, and processes of this home. */
  async left(): Promise<ReadonlyArray<string>> {
    const names = (directory: string) => (existsSync(directory) ? readdirSync(directory) : [])
    const workspaces = names(path.join(this.home, "data", "workspaces")).filter((name) => name.startsWith("run-inst-"))
    return [...names(path.join(this.home, "data", "run")), ...workspaces, ...this.helpers()]
  }

  /** The command lines of living processes that mention this home, without the daemon and the CLI. */
  helpers(): ReadonlyArray<string> {
    return this.#processes().map(({ line }) => line)
  }

  #processes(): ReadonlyArray<{ readonly pid: number; readonly line: string }> {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => {
        try {
          return { pid: Number(pid), line: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ") }
        } catch {
          return { pid: 0, line: "" }
        }
      })
      .filter(({ line }) => line.includes(`${this.home}/data/`))
  }

  /** Ends the daemon and all that runs for it, however, and removes the home. */
  async remove(): Promise<void> {
    await this.run(["down"])
    // A daemon that a test has killed has left its guests running, for the next one.
    for (const { pid } of this.#processes()) endIfThere(pid)
    // One that dies may still make a file.
    rmSync(this.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}
