/** HTTP/2 through a tcp port: a conformance suite that nobody here wrote must not be able to tell the way there. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { freePort } from "./freePort.ts"
import { type Leading, leading } from "./leading.ts"

/** What a program prints; its exit code is of no matter. */
const printed = async (command: string, args: ReadonlyArray<string>, cwd: string): Promise<string> => {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "inherit"] })
  let text = ""
  child.stdout.setEncoding("utf8").on("data", (piece: string) => (text += piece))
  await once(child, "close")
  return text
}

const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(true))
    socket.on("error", () => resolve(false))
    socket.on("connect", () => socket.destroy())
  })

describe("HTTP/2 through a tcp port", { timeout: 120_000 }, () => {
  const directory = mkdtempSync(path.join(tmpdir(), "aegis-h2-"))
  const h2spec = path.join(directory, "h2spec")
  let aegis: Leading
  let server: ReturnType<typeof spawn>
  let port = 0

  beforeAll(async () => {
    const source = path.join(import.meta.dirname, "h2spec")
    await printed("go", ["build", "-o", h2spec, "github.com/summerwind/h2spec/cmd/h2spec"], source)
    writeFileSync(path.join(directory, "index.html"), "<title>h2</title>")
    port = await freePort()
    server = spawn("nghttpd", ["--no-tls", "--address=127.0.0.1", `--htdocs=${directory}`, String(port)])
    while (!(await answers(port))) {
      assert.isNull(server.exitCode)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    aegis = leading()
  }, 240_000)
  afterAll(async () => {
    await aegis.close()
    server.kill("SIGKILL")
    rmSync(directory, { recursive: true, force: true })
  })

  /** Each case with its mark, without the addresses and times. */
  const verdicts = async (to: number) => {
    const text = await printed(h2spec, ["-h", "127.0.0.1", "-p", String(to), "-o", "5", "--strict"], directory)
    return text.split(/[\r\n]/).filter((line) => /^\s*(?:[✔×]|\d+ tests)/.test(line))
  }

  it("S-202 T-168 h2spec says of nghttpd through the port what it says of nghttpd", async () => {
    const exposed = await aegis.expose("h2", port, "tcp")
    const through = await verdicts(exposed)
    assert.isAbove(through.length, 146)
    assert.deepStrictEqual(through, await verdicts(port))
  })
})
