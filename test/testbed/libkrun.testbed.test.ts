import { buildSync } from "esbuild"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { runInTestbed, TestbedError } from "../../testbed/testbed.mjs"
import { conformanceCases } from "../conformance/suite.ts"
import { busyboxDisk } from "../product/busyboxDisk.ts"
import { dist } from "../product/Product.ts"
import * as Effect from "effect/Effect"

/**
 * libkrun on a machine whose /dev/kvm works: all of it in one boot, since a boot and Node's first start are what costs.
 */
describe("libkrun in the testbed", () => {
  const scratch = mkdtempSync(path.join(tmpdir(), "aegis-libkrun-"))
  let output = ""
  let exitCode: number | undefined

  beforeAll(async () => {
    busyboxDisk(path.join(scratch, "busybox.ext4"))
    buildSync({
      entryPoints: [path.join(import.meta.dirname, "../conformance/libkrun.main.ts")],
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node20",
      external: ["koffi", "msgpackr-extract"],
      outfile: path.join(scratch, "conformance.cjs")
    })
    const base = path.join(scratch, "base-rootfs")
    mkdirSync(base)
    const result = await attempt(2)
    output = result.output
    exitCode = result.exitCode
  }, 1_800_000)
  /** The emulated hypervisor now and then drives its own host's kernel into a panic: no program in it can. That is said, and done again. */
  const attempt = (more: number): ReturnType<typeof runInTestbed> =>
    runInTestbed({
      script: job,
      timeoutMs: 900_000,
      dataSize: 2 * 1024 ** 3,
      files: [
        { from: dist, to: "/opt/aegis" },
        { from: scratch, to: "/opt/test" }
      ]
    }).catch((error: unknown) => {
      const panicked =
        error instanceof TestbedError && error.kind === "crashed" && error.message.includes("Kernel panic")
      if (!panicked || more === 0) throw error
      process.stderr.write(`the testbed's own kernel panicked; once more:\n${error.message.slice(-2000)}\n`)
      return attempt(more - 1)
    })
  afterAll(() => rmSync(scratch, { recursive: true, force: true }))

  const section = (name: string) => output.split(`== ${name}\n`)[1]?.split("\n== ")[0] ?? ""

  const cases = conformanceCases({
    backend: Effect.die("only its titles"),
    rootDisk: "",
    runDirectory: "",
    patience: 1
  })
  it.each(cases.map(({ title }) => title))("conformance: %s", (title) => {
    const line = output.split("\n").find((one) => one.startsWith(`ok ${title}`) || one.startsWith(`not ok ${title}`))
    assert.strictEqual(line, `ok ${title}`, output.slice(-4000))
  })

  it("aegis run prints hello from a libkrun guest, whose kernel is libkrunfw's", () => {
    assert.match(section("hello"), /^hello from aegis\n6\.\d+\.\d+\nrc 0$/, output)
  })

  it("S-047 D-22 status names libkrun, and doctor what the probe saw", () => {
    assert.match(section("status"), /^aegisd: running\nbackend: libkrun$/, output)
    assert.match(section("doctor"), /libkrun\/kvm +works: a guest answered in \d+ ms/, output)
  })

  it("S-066 the exit code comes through", () => {
    assert.strictEqual(section("exit"), "rc 42")
  })

  it("S-062 /workspace is a directory of the host, gone afterwards", () => {
    assert.strictEqual(section("workspace"), "written\nrc 0\nleft: ")
  })

  it("S-063 a directory of the host is shared both ways", () => {
    assert.strictEqual(section("shared"), "from the host\nrc 0\nfrom the guest")
  })

  it("S-024 what is not writable is not", () => {
    assert.match(section("readonly"), /Read-only file system\nrc [1-9]/)
  })

  it("T-215 kill -9 of the VMM ends the run, and leaves nothing", () => {
    assert.match(section("killed"), /error: .*SIGKILL[^]*rc 125\nleft: $/)
  })

  it("E14 the VM's process has no capability that a VM does not need, and its configuration is in neither argv nor environment", () => {
    assert.match(section("confined"), /NoNewPrivs:\t1/)
    assert.notMatch(section("confined"), /CapEff:\t[0-9a-f]*[1-9a-f][0-9a-f]{8}\b/)
    assert.include(section("confined"), "argv clean")
  })

  it("T-249 a scan from inside finds nothing of its host, and what was allowed once it is", () => {
    assert.strictEqual(section("scan"), "rc 0\nseen: \nallowed: 192.168.127.254 8123\nseen: 127.0.0.1")
  })

  it("T-242 a crash of its network's process is followed by another with the guest's link, and told", () => {
    assert.match(
      section("network"),
      /^before: hello\nafter: hello\nrc 0\n.*network crashed: killed by SIGKILL; started anew/
    )
  })

  it("S-041 down ends the daemon and leaves no process", () => {
    assert.match(section("down"), /aegisd stopping \(pid \d+\)\naegisd stopped\nprocesses: 0/)
  })

  it("the job ended as a whole", () => {
    assert.strictEqual(exitCode, 0, output.slice(-4000))
  })
})

const job = String.raw`
cd /tmp
export PATH=/opt/aegis:$PATH AEGIS_BACKEND=libkrun AEGIS_BOOT_TIMEOUT=60 AEGIS_UP_TIMEOUT=120
mkdir -p $AEGIS_HOME/base-rootfs
cp /opt/test/busybox.ext4 $AEGIS_HOME/base-rootfs/rootfs.ext4
echo '{"variant":"debian-python","source":"busybox","digest":"sha256:0","bytes":1,"createdAt":"2026-01-01T00:00:00.000Z"}' > $AEGIS_HOME/base-rootfs/rootfs.json
left() { echo "left: $(ls $AEGIS_HOME/data/run $AEGIS_HOME/data/workspaces 2>/dev/null | grep -vE '^$|:$' | tr '\n' ' ')"; }
aegis up
# The first guest of this emulated hypervisor now and then never comes up, as the testbed's README says of other flags; the ones after it do.
# Each failure here is printed, and three in a row fail what follows.
for i in 1 2 3; do aegis run -- true && break; echo "warm-up $i failed"; done
echo "== hello"
aegis run -- sh -c 'echo hello from aegis; uname -r'; echo "rc $?"
echo "== status"
aegis status
echo "== doctor"
aegis doctor
echo "== exit"
aegis run -- sh -c 'exit 42'; echo "rc $?"
echo "== workspace"
aegis run -- sh -c 'touch /workspace/x && echo written'; echo "rc $?"
left
echo "== shared"
mkdir -p /srv/ws; echo "from the host" > /srv/ws/in
aegis run --workspace /srv/ws -- sh -c 'cat in; echo from the guest > out'; echo "rc $?"
cat /srv/ws/out
echo "== readonly"
aegis run -- touch /etc/x 2>&1; echo "rc $?"
echo "== killed"
(aegis run -- sh -c 'echo up; sleep 1000' > /tmp/out 2>&1; echo "rc $?" >> /tmp/out) &
while ! grep -q up /tmp/out 2>/dev/null; do sleep 0.2; done
pid=$(cat $AEGIS_HOME/data/run/*/vmm.pid | cut -d' ' -f1)
{ echo "== confined"; cat /proc/$pid/status | grep -E 'NoNewPrivs|CapEff'; cat /proc/$pid/cmdline /proc/$pid/environ | tr '\0' ' ' | grep -qE 'channel.sock|rootfs|sleep' || echo "argv clean"; } > /tmp/confined
kill -9 $pid
wait
sleep 1
cat /tmp/out | grep -v '^up$'
left
cat /tmp/confined
echo "== scan"
# The machine has loopback only: addresses of other kinds on it are as good as a network.
for address in 10.1.2.3/32 192.168.1.5/32 169.254.169.254/32 100.64.0.5/32 203.0.113.9/32 fd00::5/128; do ip addr add $address dev lo; done
node -e '
  const seen = (socket) => require("node:fs").appendFileSync("/tmp/seen", socket.localAddress.replace("::ffff:", "") + "\n")
  require("node:net").createServer((socket) => { seen(socket); socket.on("error", () => 0); socket.end("hello\n") }).listen(8123, "::")' &
server=$!
: > /tmp/seen
until echo | busybox nc -w 1 127.0.0.1 8123 > /dev/null 2>&1; do sleep 0.2; done
: > /tmp/seen
scan='for host in 192.168.127.254 192.168.127.1 10.1.2.3 192.168.1.5 169.254.169.254 100.64.0.5 203.0.113.9 fd00::5 fd7f:ae61:5::fe; do
  for port in 22 80 111 2375 8099 8123; do [ "$(nc -w 5 $host $port < /dev/null 2> /dev/null)" = hello ] && printf "%s %s " $host $port; done; done; true'
aegis run -- sh -c "$scan"; echo "rc $?"
echo "seen: $(xargs < /tmp/seen)"
echo "allowed: $(aegis run --allow-host 8123 -- sh -c 'for port in 22 8123; do [ "$(nc -w 5 192.168.127.254 $port < /dev/null 2> /dev/null)" = hello ] && echo 192.168.127.254 $port; done')"
echo "seen: $(xargs < /tmp/seen)"
echo "== network"
aegis instance start --name net --allow-host 8123 -- sleep 1000 > /dev/null
until [ "$(aegis exec net -- true; echo $?)" = 0 ]; do sleep 1; done
hello() { aegis exec net -- sh -c 'for i in 1 2 3 4 5; do said=$(nc -w 5 192.168.127.254 8123 < /dev/null); [ -n "$said" ] && break; done; echo $said'; }
echo "before: $(hello)"
kill -9 $(pgrep -f '[a]egis-net --network')
echo "after: $(hello)"; echo "rc $?"
for i in 1 2 3 4 5 6 7 8 9 10; do aegis events net | grep "network crashed" && break; sleep 1; done
aegis instance stop net > /dev/null; kill $server
echo "== down"
aegis down
sleep 1
echo "processes: $(pgrep -c -f 'opt/aegis/aegis')"
echo "== conformance"
NODE_PATH=/opt/aegis/node_modules node /opt/test/conformance.cjs /opt/aegis $TESTBED_DATA/c /opt/test/busybox.ext4
`
