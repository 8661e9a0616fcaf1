import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert } from "vitest"
import { logOf } from "./Fleet.ts"
import { type Finished, Product, until } from "./Product.ts"

/** An instance `web` with a directory of the host's, in which tests run commands. */
export class ExecBox {
  readonly aegis: Product
  /** What the guest sees as /workspace. */
  readonly workspace: string
  readonly id: string

  private constructor(aegis: Product, workspace: string, id: string) {
    this.aegis = aegis
    this.workspace = workspace
    this.id = id
  }

  /** Begins its start; whoever runs a command in it waits for that. */
  static async make(): Promise<ExecBox> {
    const aegis = await Product.make()
    const workspace = mkdtempSync(path.join(tmpdir(), "aegis-exec-"))
    for (const name of ["data", "output"]) mkdirSync(path.join(workspace, name))
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    const flags = ["--name", "web", "--workspace", workspace, "--env", "OWN=1"]
    const started = await aegis.run(["instance", "start", ...flags, "--", "sleep", "10000"])
    const id = /inst-\d+/.exec(started.stdout)?.[0]
    assert.isDefined(id, started.stderr)
    return new ExecBox(aegis, workspace, id ?? "")
  }

  exec(...words: ReadonlyArray<string>): Promise<Finished> {
    return this.aegis.run(["exec", ...words])
  }

  sh(script: string, ...flags: ReadonlyArray<string>): Promise<Finished> {
    return this.exec(...flags, "web", "--", "sh", "-c", script)
  }

  /** Leaves a script running; gives its id. */
  async detached(script: string, ...flags: ReadonlyArray<string>): Promise<string> {
    const { stderr, stdout } = await this.sh(script, "--detach", ...flags)
    assert.match(stdout, /^exec-[0-9a-f]{16}\n$/, stderr)
    return stdout.trim()
  }

  /** Waits until no process of the guest has the word among its arguments. */
  goneFromGuest(word: string): Promise<unknown> {
    const pattern = word.replace(/^./, "[$&]")
    const there = async () => (await this.sh(`grep -las ${pattern} /proc/[0-9]*/cmdline`)).code === 0
    return until(`${word} is gone`, async () => !(await there()), 30)
  }

  /** What the log holds of an exec. */
  async lines(execId: string): Promise<ReadonlyArray<string>> {
    return (await logOf(this.aegis, this.id)).flatMap((entry) =>
      entry._tag === "Line" && entry.execId === execId ? [Buffer.from(entry.bytes).toString()] : []
    )
  }

  async remove(): Promise<void> {
    await this.aegis.remove()
    rmSync(this.workspace, { recursive: true, force: true })
  }
}
