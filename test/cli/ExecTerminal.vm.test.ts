import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "vitest"
import { running } from "../product/Fleet.ts"
import { busyboxTar } from "../product/busyboxDisk.ts"
import { dist, Product, until } from "../product/Product.ts"
import { Tmux } from "../product/Tmux.ts"

describe("aegis exec -t, in a terminal", () => {
  let aegis: Product
  let workspace = ""
  let terminal: Tmux
  beforeAll(async () => {
    aegis = await Product.make()
    workspace = mkdtempSync(path.join(tmpdir(), "aegis-exec-tty-"))
    const image = path.join(workspace, "busybox.tar")
    writeFileSync(image, busyboxTar())
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    const flags = ["--name", "box", "--image", `rootfs:${image}`, "--workspace", workspace, "--memory", "128"]
    const started = await aegis.run(["instance", "start", "-i", ...flags, "--", "sh"])
    assert.strictEqual(started.code, 0, started.stderr)
    await running(aegis, "box")
  }, 600_000)
  afterAll(async () => {
    await aegis.remove()
    rmSync(workspace, { recursive: true, force: true })
  })
  beforeEach(async () => {
    const env = { ...aegis.env, HOME: process.env["HOME"] ?? "/", PATH: `${dist}:${process.env["PATH"] ?? ""}` }
    terminal = new Tmux(env, { rows: 30, cols: 100 })
    await terminal.shows("host>")
  })
  afterEach(() => terminal.close())

  /** A shell in the guest, at its prompt. */
  const shell = async () => {
    // In two parts: what was typed is not to be taken for the prompt.
    terminal.type("before=$(stty -g); aegis exec -it --env PS1='gue''st> ' box -- sh")
    await terminal.shows("guest>")
  }
  /** Back in the host's shell, whose terminal is as it was. */
  const home = async (code: number) => {
    await terminal.shows(/host> $|host>$/)
    terminal.type('echo "exit $?"; [ "$before" = "$(stty -g)" ] && echo as it was')
    await terminal.shows(`exit ${code}`)
    await terminal.shows(/^as it was/m)
  }

  it("its size is the terminal's, also after a change; Ctrl+D ends a shell, the terminal is as it was", async () => {
    await shell()
    terminal.type("stty size; tty; echo $TERM")
    await terminal.shows("30 100")
    await terminal.shows("/dev/pts/")
    await terminal.shows("screen")
    terminal.resize({ rows: 25, cols: 81 })
    await until(
      "the new size has come",
      async () => {
        terminal.type("clear; stty size")
        await new Promise((resolve) => setTimeout(resolve, 200))
        return terminal.screen.includes("25 81")
      },
      30
    )
    terminal.key("C-d")
    await home(0)
  })

  it("Ctrl+C is the command's, and leaves the shell in the guest alone", async () => {
    await shell()
    terminal.type("sleep 1000")
    await new Promise((resolve) => setTimeout(resolve, 500))
    terminal.key("C-c")
    terminal.type("echo still $((40 + 2))")
    await terminal.shows("still 42")
    terminal.type("exit 7")
    await home(7)
  })

  it("job control: Ctrl+Z, bg, fg", async () => {
    await shell()
    terminal.type("sleep 7654")
    await new Promise((resolve) => setTimeout(resolve, 500))
    terminal.key("C-z")
    await terminal.shows(/Stopped/)
    terminal.type("bg; jobs")
    await terminal.shows(/Running/)
    terminal.type("fg")
    await new Promise((resolve) => setTimeout(resolve, 500))
    terminal.key("C-c")
    terminal.type("jobs; echo none $((1 + 1))")
    await terminal.shows("none 2")
    terminal.key("C-d")
    await home(0)
  })

  it("vi edits a file", async () => {
    terminal.type("before=$(stty -g); aegis exec -it box -- vi /workspace/note")
    await terminal.shows(/^~/m)
    terminal.text("iwritten in vi")
    await terminal.shows("written in vi")
    terminal.key("Escape")
    // With what comes too soon, Escape would begin the name of a key.
    await terminal.shows(/^- \/workspace\/note/m)
    terminal.type(":wq")
    await home(0)
    assert.strictEqual(readFileSync(path.join(workspace, "note"), "utf8"), "written in vi\n")
  })

  it("Ctrl+P Ctrl+Q leave one that was joined; it goes on, and is joined again", async () => {
    terminal.type("before=$(stty -g); job=$(aegis exec --detach -it --env PS1='gue''st> ' box -- sh)")
    terminal.type("clear; aegis exec -i --attach $job")
    await terminal.shows("guest>")
    terminal.type("word=kept; clear")
    // The guest's shell asks the terminal where its cursor is: the answer is not to come between the two keys, or after them.
    await terminal.shows(/^guest> ?$/m)
    await new Promise((resolve) => setTimeout(resolve, 500))
    terminal.key("C-p")
    terminal.key("C-q")
    await terminal.shows("left running: aegis exec -i --attach exec-")
    await home(0)
    terminal.type("clear; aegis exec -i --attach $job")
    terminal.type("clear; echo $word$((40 + 2))")
    await terminal.shows("kept42")
    terminal.key("C-d")
    await home(0)
  })

  it("aegis attach joins the instance's own command, and Ctrl+C leaves it", async () => {
    terminal.type("before=$(stty -g); aegis attach -i box")
    terminal.type("word=kept; echo $((40 + 2)) lines")
    await terminal.shows("42 lines")
    terminal.key("C-c")
    await home(130)
    terminal.type("clear; aegis attach -i --tail 1 box")
    await terminal.shows(/^42 lines/m)
    terminal.type("echo $word $((50 + 1))")
    await terminal.shows("kept 51")
    terminal.key("C-c")
    await home(130)
  })

  it("S-060 a terminal that is closed ends the command", async () => {
    await shell()
    terminal.type("sleep 8765")
    const there = async () =>
      (await aegis.run(["exec", "box", "--", "sh", "-c", "ps | grep -q 's[l]eep 8765'"])).code === 0
    await until("it sleeps", there)
    terminal.close()
    await until("it is gone", async () => !(await there()), 30)
  })

  it("a daemon that dies leaves the terminal as it was", async () => {
    await shell()
    process.kill(aegis.daemonPid, "SIGKILL")
    await terminal.shows("error: the connection to aegisd was lost")
    await home(125)
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  })
})
