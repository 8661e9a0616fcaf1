import { createHash } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, afterEach, assert, beforeAll, describe, it } from "vitest"
import { Product, until } from "../product/Product.ts"

describe("aegis run, against the real daemon and a real guest", () => {
  let aegis: Product
  beforeAll(async () => {
    aegis = await Product.make()
    const up = await aegis.run(["up"])
    assert.deepStrictEqual([up.code, up.stdout], [0, `aegisd started (pid ${aegis.daemonPid})\n`], up.stderr)
  }, 600_000)
  afterAll(() => aegis.remove())
  afterEach(async () => {
    await until("nothing is left of the instance", async () => (await aegis.left()).length === 0, 15)
    assert.strictEqual((await aegis.run(["instance", "list"])).stdout, "No instances\n")
  })

  const sh = (script: string, ...flags: ReadonlyArray<string>) => aegis.run(["run", ...flags, "--", "sh", "-c", script])

  it("S-064 prints what the command prints and nothing else; S-014 exit 0", async () => {
    const done = await aegis.run(["run", "--", "echo", "hello from aegis"])
    assert.deepStrictEqual([done.code, done.stdout, done.stderr], [0, "hello from aegis\n", ""])
  })

  it("S-066 D-04 exits with the command's code, 128+N for a signal, 127 and 126 for what cannot be started", async () => {
    assert.strictEqual((await sh("exit 42")).code, 42)
    assert.strictEqual((await sh("kill -9 $$")).code, 137)
    const missing = await aegis.run(["run", "--", "no-such-program"])
    assert.deepStrictEqual([missing.code, missing.stdout], [127, ""])
    assert.match(missing.stderr, /^error: cannot run "no-such-program"[^\n]*\n {2}try: /)
    assert.strictEqual((await aegis.run(["run", "--", "/etc/passwd"])).code, 126)
  })

  it("S-067 the command's standard error is standard error", async () => {
    const done = await sh("echo out; echo err >&2")
    assert.deepStrictEqual([done.stdout, done.stderr], ["out\n", "err\n"])
  })

  it("S-008 S-009 what follows -- is taken word for word", async () => {
    const done = await aegis.run(["run", "--", "printf", "%s|", "--name", "-h", "--version", "a  b", "$HOME", "ä"])
    assert.strictEqual(done.stdout, "--name|-h|--version|a  b|$HOME|ä|")
  })

  it("S-019 S-021 S-076 D-09 the guest's environment", async () => {
    const done = await aegis.run([
      "run",
      "--name",
      "Web",
      "--env",
      "A=x=y",
      "--env",
      "EMPTY=",
      "--env",
      "TERM=dumb",
      "--",
      "env"
    ])
    const variables = Object.fromEntries(
      done.stdout
        .trim()
        .split("\n")
        .map((line) => line.split(/=(.*)/s).slice(0, 2))
    )
    const { AEGIS_INSTANCE_ID: id, ...rest } = variables
    assert.match(id ?? "", /^inst-\d{19}$/)
    assert.deepStrictEqual(rest, {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: "/root",
      TERM: "dumb",
      AEGIS_HANDLE: "web",
      A: "x=y",
      EMPTY: ""
    })
    const machine = await sh("cat /proc/1/comm; uname -r; hostname; pwd; id -u", "--name", "web")
    assert.match(machine.stdout, /^aegis-harness\n6\.\d+\.\d+\nweb\n\/workspace\n0\n$/)
  })

  it("S-024 T-246 D-09 /workspace, /tmp, /run and /var are writable, nothing else is", async () => {
    const script = [
      "for d in /workspace /tmp /run /var /var/lib; do touch $d/x && echo ok $d; done",
      "for d in / /etc /root /usr /bin /opt /home /srv /mnt /dev/.. /proc/1/root; do touch $d/x 2>/dev/null && echo BAD $d; done; true"
    ].join("\n")
    assert.strictEqual((await sh(script)).stdout, "ok /workspace\nok /tmp\nok /run\nok /var\nok /var/lib\n")
  })

  it("T-247 root of the guest cannot make the image writable: the next guest sees it untouched", async () => {
    const done = await sh(
      "python3 - <<'E'\nimport ctypes,os\nl=ctypes.CDLL(None,use_errno=True)\nprint(l.mount(b'none',b'/',None,32,None), os.strerror(ctypes.get_errno()))\ntry:\n open('/etc/evil','w')\n print('written')\nexcept OSError as e:\n print(e.strerror)\nE"
    )
    assert.notInclude(done.stdout, "written")
    assert.strictEqual((await sh("test -e /etc/evil")).code, 1)
  })

  it("S-037 python and python3 work in the base root file system", async () => {
    assert.strictEqual(
      (await aegis.run(["run", "--", "python", "-c", "import ssl, sqlite3; print(6*7)"])).stdout,
      "42\n"
    )
  })

  it("a guest goes by the host's counter where the host does, and does not count ticks", async () => {
    const file = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    const there = (await aegis.run(["run", "--", "cat", file])).stdout.trim()
    const here = readFileSync(file, "utf8").trim()
    assert.strictEqual(there.replace("tsc-early", "tsc"), here === "tsc" ? here : "refined-jiffies")
  })

  it("S-063 S-075 a directory of the host is shared, relative to where the CLI stands, and kept", async () => {
    const here = mkdtempSync(path.join(tmpdir(), "aegis-ws-"))
    mkdirSync(path.join(here, "app"))
    writeFileSync(path.join(here, "app", "in.txt"), "from the host\n")
    const done = await aegis.run(
      ["run", "--workspace", "./app", "--", "sh", "-c", "cat in.txt; echo from the guest > out.txt"],
      { cwd: here }
    )
    assert.strictEqual(done.stdout, "from the host\n", done.stderr)
    assert.strictEqual(readFileSync(path.join(here, "app", "out.txt"), "utf8"), "from the guest\n")
    const readOnly = await aegis.run(["run", "--workspace", "./app:ro", "--", "sh", "-c", "cat out.txt; touch x"], {
      cwd: here
    })
    assert.strictEqual(readOnly.stdout, "from the guest\n")
    assert.notStrictEqual(readOnly.code, 0)
    assert.deepStrictEqual(readdirSync(path.join(here, "app")).sort(), ["in.txt", "out.txt"])
    rmSync(here, { recursive: true })
  })

  it("S-074 a name is a workspace of its own, made on demand and kept", async () => {
    await sh("echo kept > note", "--workspace", "claw")
    assert.strictEqual((await sh("cat note", "--workspace", "claw")).stdout, "kept\n")
    assert.strictEqual(readFileSync(path.join(aegis.home, "data/workspaces/claw/note"), "utf8"), "kept\n")
  })

  it.each(["/", "/proc", "/etc", "/nowhere/at/all"])(
    "T-11 T-134 the workspace %s is refused before anything is made",
    async (workspace) => {
      const done = await sh("true", "--workspace", workspace)
      assert.deepStrictEqual([done.code, done.stdout], [125, ""])
      assert.match(done.stderr, /^error: workspace .*\n {2}try: /)
    }
  )

  it("T-134 our own home and what is in it is refused", async () => {
    for (const workspace of [aegis.home, path.join(aegis.home, "data"), path.dirname(aegis.home)]) {
      assert.strictEqual((await sh("true", "--workspace", workspace)).code, 125, workspace)
    }
  })

  it("standard input: empty without -i, fed and ended with it", async () => {
    assert.strictEqual((await aegis.run(["run", "--", "cat"], { input: "not for you" })).stdout, "")
    const text = "line\n".repeat(50_000)
    const fed = await aegis.run(["run", "-i", "--", "sh", "-c", "md5sum"], { input: text })
    assert.include(fed.stdout, createHash("md5").update(text).digest("hex"))
  })

  it("the command's end is the run's, also while standard input is open and silent", async () => {
    const running = aegis.start(["run", "-i", "--", "sh", "-c", "exit 3"], { stdin: "open" })
    assert.strictEqual((await running.ended).code, 3)
  })

  it("T-206 48 MiB of output with every byte value arrive as they were", async () => {
    const running = aegis.start([
      "run",
      "--",
      "python3",
      "-c",
      "import sys\nb=bytes(range(256))*4096\nfor i in range(48): sys.stdout.buffer.write(b)"
    ])
    const hash = createHash("sha256")
    running.child.stdout?.on("data", (bytes: Buffer) => hash.update(bytes))
    assert.strictEqual((await running.ended).code, 0)
    const want = createHash("sha256")
    for (let i = 0; i < 48; i++) want.update(Buffer.from(Array.from({ length: 1024 * 1024 }, (_, k) => k % 256)))
    assert.strictEqual(hash.digest("hex"), want.digest("hex"))
  })

  it("S-071 S-079 D-06 a name that is taken is refused with 125, and the one that has it goes on", async () => {
    const first = aegis.start(["run", "--name", "web", "--", "sh", "-c", "echo up; sleep 1000"])
    await until("the first is up", () => first.stdout() === "up\n")
    const second = await sh("true", "--name", "WEB")
    assert.strictEqual(second.code, 125)
    assert.include(second.stderr, 'error: instance "web" is running')
    assert.match((await aegis.run(["instance", "list"])).stdout, /^inst-\d+ +web +running +-/m)
    assert.include((await aegis.run(["instance", "info", "web"])).stdout, "Handle:      web")
    assert.strictEqual((await aegis.run(["instance", "delete", "web"])).code, 0)
    await first.ended
  })

  const whileRunning = async (script = "echo up; sleep 1000") => {
    const running = aegis.start(["run", "--", "sh", "-c", script])
    await until("the command is up", () => running.stdout().startsWith("up\n"))
    return running
  }

  it("S-060 S-061 S-126 Ctrl+C deletes the instance and exits 130", async () => {
    const running = await whileRunning("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done")
    running.child.kill("SIGINT")
    const done = await running.ended
    assert.deepStrictEqual([done.code, done.stdout], [130, "up\nbye\n"])
    assert.match(done.stderr, /^\nStopping instance\.\.\.\n/)
    assert.deepStrictEqual(await aegis.left(), [])
  })

  it("T-17 SIGTERM deletes the instance as well", async () => {
    const running = await whileRunning()
    running.child.kill("SIGTERM")
    assert.strictEqual((await running.ended).code, 143)
    assert.deepStrictEqual(await aegis.left(), [])
  })

  it("T-18 kill -9 of the CLI leaves nothing", async () => {
    const running = await whileRunning()
    assert.isAbove((await aegis.left()).length, 0)
    running.child.kill("SIGKILL")
    await running.ended
  })

  it("T-18 kill -9 of the CLI while its guest boots leaves nothing", async () => {
    const running = aegis.start(["run", "--", "sleep", "1000"])
    await until("a VM was begun", async () =>
      aegis.helpers().some((line) => line.includes("aegis-qemu") || line.includes("qemu-system"))
    )
    running.child.kill("SIGKILL")
    await running.ended
  })

  it("T-215 kill -9 of the VMM ends the run within a second, with 125 and the reason", async () => {
    const running = await whileRunning()
    process.kill(processOf(aegis, "qemu-system"), "SIGKILL")
    const killed = Date.now()
    const done = await running.ended
    assert.isBelow(Date.now() - killed, 2000)
    assert.strictEqual(done.code, 125)
    assert.match(done.stderr, /^error: .*SIGKILL/)
  })

  it("T-242 kill -9 of virtiofsd ends the run", async () => {
    const running = await whileRunning()
    for (const pid of processesOf(aegis, "virtiofsd")) process.kill(pid, "SIGKILL")
    const done = await running.ended
    assert.strictEqual(done.code, 125)
    assert.include(done.stderr, "virtiofsd")
  })

  /** A script that goes on when it is told to: what it printed before has arrived by then, whatever happens to the guest next. */
  const onceHeard = async (program: ReadonlyArray<string>) => {
    const running = aegis.start(["run", "-i", "--", ...program], { stdin: "open" })
    await until("the command is up", () => running.stdout().startsWith("up\n"))
    running.child.stdin?.write("go on\n")
    return running.ended
  }

  it("T-230 a guest that reboots itself ends the run with 125", async () => {
    // reboot(2) by its number: RB_AUTOBOOT with its two magic words.
    const script = `import ctypes
print("up", flush=True)
input()
ctypes.CDLL(None).syscall(169, 0xfee1dead, 672274793, 0x1234567, None)`
    const done = await onceHeard(["python3", "-c", script])
    assert.deepStrictEqual([done.code, done.stdout], [125, "up\n"])
    assert.match(done.stderr, /^error: .*guest-reset/)
  })

  it("T-210 T-225 a guest whose PID 1 is killed panics, and ends the run with 125 and its console's last lines", async () => {
    const done = await onceHeard(["sh", "-c", "kill -KILL 1; sleep 0.2; echo up; read line; kill -SEGV 1; sleep 100"])
    assert.deepStrictEqual([done.code, done.stdout], [125, "up\n"])
    // What PID 1 says of its death is long, and the machine is gone somewhere in it.
    assert.match(done.stderr, /^error: [^]*console ended with:\n[^]*(SIGSEGV|rip|goroutine |runtime[./])/i, done.stderr)
  })

  it("T-16 a reader that closes the pipe ends the run quietly", async () => {
    const running = aegis.start(["run", "--", "sh", "-c", "while :; do echo line; done"])
    await until("there is output", () => running.stdout().length > 0)
    running.child.stdout?.destroy()
    const done = await running.ended
    assert.strictEqual(done.stderr, "")
  })

  it("T-13 a command of 2 MiB is refused with its size", async () => {
    const done = await aegis.run(["run", "--", "echo", ...Array.from({ length: 20 }, () => "x".repeat(100_000))])
    assert.strictEqual(done.code, 2)
    assert.match(done.stderr, /error: .*20000\d\d bytes/)
  })

  it("D-19 more memory than the host has is refused with the range", async () => {
    const done = await sh("true", "--memory", "1000000")
    assert.match(
      done.stderr,
      /error: memory: 1000000 MiB was asked for, this host can give \d+ MiB\n {2}try: use --memory with 64 to \d+/
    )
    const small = await sh("grep MemTotal /proc/meminfo", "--memory", "128", "--cpus", "2")
    assert.match(small.stdout, /^MemTotal: +12\d{4} kB\n$/)
  })

  it("T-235 six runs at once all come through", async () => {
    const all = await Promise.all(Array.from({ length: 6 }, (_, i) => sh(`echo ${i}`)))
    assert.deepStrictEqual(
      all.map(({ code, stdout }) => [code, stdout]),
      all.map((_, i) => [0, `${i}\n`])
    )
  })
})

const processesOf = (aegis: Product, program: string) =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`))
    .filter((pid) => {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8")
      return line.split("\0")[0]?.includes(program) === true && line.includes(`${aegis.home}/data/`)
    })
    .map(Number)

const processOf = (aegis: Product, program: string) => {
  const [pid] = processesOf(aegis, program)
  if (pid === undefined) throw new Error(`no ${program} runs`)
  return pid
}
