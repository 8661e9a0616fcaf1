import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { until } from "./Product.ts"

/** A terminal of tmux with a shell in it, for what only shows where somebody types. */
export class Tmux {
  readonly #directory = mkdtempSync(path.join(tmpdir(), "aegis-tmux-"))

  constructor(env: Readonly<Record<string, string>>, size: { readonly rows: number; readonly cols: number }) {
    const options = ["-d", "-x", String(size.cols), "-y", String(size.rows), "env", "-i", "PS1=host> "]
    const variables = Object.entries({ PATH: process.env["PATH"] ?? "", TERM: "screen", LANG: "C.UTF-8", ...env })
    this.#tmux("new-session", ...options, ...variables.map(([name, value]) => `${name}=${value}`), "sh", "-i")
  }

  #tmux(...args: ReadonlyArray<string>): string {
    const own = ["-S", path.join(this.#directory, "socket"), "-f", "/dev/null"]
    return execFileSync("tmux", [...own, ...args], { encoding: "utf8" })
  }

  /** What the terminal shows, without empty lines at its end. */
  get screen(): string {
    return this.#tmux("capture-pane", "-p").trimEnd()
  }

  /** Types text and Enter. */
  type(line: string): void {
    this.text(line)
    this.key("Enter")
  }

  /** Types text. */
  text(text: string): void {
    this.#tmux("send-keys", "-l", text)
  }

  /** Presses a key by tmux's name for it, such as `C-c`. */
  key(name: string): void {
    this.#tmux("send-keys", name)
  }

  resize({ cols, rows }: { readonly rows: number; readonly cols: number }): void {
    this.#tmux("resize-window", "-x", String(cols), "-y", String(rows))
  }

  async shows(text: string | RegExp, seconds = 60): Promise<void> {
    const there = () => (typeof text === "string" ? this.screen.includes(text) : text.test(this.screen))
    await until(`the terminal shows ${text}`, there, seconds).catch((error: Error) => {
      throw new Error(`${error.message}; it shows:\n${this.screen}`)
    })
  }

  close(): void {
    spawnSync("tmux", ["-S", path.join(this.#directory, "socket"), "kill-server"])
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
