/**
 * A whole `aegis run` on libkrun against microsandbox's `msb run`, in turn, on the same machine: the testbed, whose KVM is emulated.
 * Emulation makes a start of JavaScript an order of magnitude dearer than real hardware does; `msb` is a native program.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { ensureMsb } from "../testbed/msb.mjs"
import { runInTestbed } from "../testbed/testbed.mjs"
import { busyboxDisk } from "../test/product/busyboxDisk.ts"
import { buildCache, dist } from "../test/product/Product.ts"
import { median, report } from "./measure.ts"

const runs = Number(process.env["AEGIS_BENCH_RUNS"] ?? 10)
const scratch = mkdtempSync(path.join(tmpdir(), "aegis-bench-"))
busyboxDisk(path.join(scratch, "busybox.ext4"))
const msb = await ensureMsb(buildCache)

const { output } = await runInTestbed({
  timeoutMs: 1_200_000,
  // A job of many minutes: what it does shows while it does it.
  onLine: (line) => process.stderr.write(`    ${line}\n`),
  dataSize: 4 * 1024 ** 3,
  files: [
    { from: dist, to: "/opt/aegis" },
    { from: scratch, to: "/opt/test" },
    { from: msb.package, to: "/opt/msb" },
    { from: msb.rootfs, to: "/opt/rootfs" }
  ],
  script: String.raw`
export PATH=/opt/aegis:$PATH AEGIS_BACKEND=libkrun AEGIS_BOOT_TIMEOUT=120 AEGIS_UP_TIMEOUT=120
export MSB_HOME=$TESTBED_DATA/msb HOME=$TESTBED_DATA
mkdir -p $MSB_HOME $AEGIS_HOME/base-rootfs
cp /opt/test/busybox.ext4 $AEGIS_HOME/base-rootfs/rootfs.ext4
echo '{"variant":"debian-python","source":"busybox","digest":"sha256:0","bytes":1,"createdAt":"2026-01-01T00:00:00.000Z"}' > $AEGIS_HOME/base-rootfs/rootfs.json
aegis up
A() { aegis run -- /bin/true; }
B() { /opt/msb/bin/msb run -q --no-tty -m 512M -c 1 /opt/rootfs -- /bin/true; }
A; B; A; B
took() { local a=$(date +%s%N); $1 || echo "$1 failed"; echo "$1 $(( ($(date +%s%N) - a) / 1000000 ))"; }
for i in $(seq ${runs}); do took A; sleep 3; took B; sleep 1; done
grep -o 'ended [0-9]* ms after' $AEGIS_HOME/data/aegisd.log | tail -${runs}
aegis down`
})
rmSync(scratch, { recursive: true })

const times = (who: string) =>
  [...output.matchAll(new RegExp(`^${who} (\\d+)$`, "gm"))].map((match) => Number(match[1]))
const [a, b] = [times("A"), times("B")]
if (a.length !== runs || b.length !== runs) throw new Error(output)
const ratio = median(a.map((value, i) => value / (b[i] ?? NaN)))
report(
  "aegis run -- /bin/true on libkrun against msb run -q --no-tty -m 512M -c 1 ROOTFS -- /bin/true, in the testbed",
  `${median(a)} ms : ${median(b)} ms = ${ratio.toFixed(2)} ×`,
  "at most 1.0 × as a whole"
)
const daemon = [...output.matchAll(/ended (\d+) ms after/g)].map((match) => Number(match[1]))
if (daemon.length > 0) {
  report(
    "of it, from the request's arrival in the daemon to the command's exit",
    `${median(daemon)} ms : ${median(b)} ms = ${(median(daemon) / median(b)).toFixed(2)} ×`,
    "at most 0.7 ×"
  )
}
