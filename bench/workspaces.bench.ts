/**
 * /workspace of a guest against the host's own file system: `git status` in a repository of 10 000 files, and fio in pieces of 4 KiB and of
 * 1 MiB, by the same programs on both sides. QEMU on this machine; libkrun in the testbed, against the testbed's own file system. AEGIS_BENCH_BACKENDS
 * chooses one of the two (qemu, libkrun).
 */
import { spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import * as path from "node:path"
import { dist, Product } from "../test/product/Product.ts"
import { setupModule } from "../test/setup/program.ts"
import { runInTestbed } from "../testbed/testbed.mjs"
import { median, ms, report } from "./measure.ts"

interface CacheModule {
  readonly cacheDirectory: (env: NodeJS.ProcessEnv, home: string) => string
  readonly makeCache: (root: string) => object
}
interface ToolsModule {
  readonly ensureFileTools: (cache: object) => Promise<string>
}

const runs = Number(process.env["AEGIS_BENCH_RUNS"] ?? 5)
const scratch = mkdtempSync(path.join(tmpdir(), "aegis-bench-"))
const { cacheDirectory, makeCache } = await setupModule<CacheModule>("cache.mjs")
const { ensureFileTools } = await setupModule<ToolsModule>("testtools.mjs")
const tools = await ensureFileTools(makeCache(cacheDirectory(process.env, homedir())))

const made = (command: string, args: ReadonlyArray<string>, stdin: "ignore" | number = "ignore") => {
  const { status, stderr } = spawnSync(command, args, { stdio: [stdin, "ignore", "pipe"] })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: exit ${status}\n${String(stderr)}`)
}

/** What both halves begin with: the guest's root disk, and a repository. */
const base = path.join(scratch, "base")
mkdirSync(base)
made(path.join(dist, "aegis-mkroot"), [path.join(base, "rootfs.ext4")], openSync(path.join(tools, "root.tar"), "r"))
writeFileSync(
  path.join(base, "rootfs.json"),
  JSON.stringify({
    variant: "debian-python",
    source: "debian:bookworm (git, fio)",
    digest: "sha256:0",
    bytes: 1,
    createdAt: "2026-01-01T00:00:00.000Z"
  })
)
const workspace = path.join(scratch, "workspace")
/** Its one commit, for git fast-import: as a pack, since each loose object is one more file for a guest to know. */
const commit = ["commit refs/heads/main\ncommitter bench <bench@localhost> 0 +0000\ndata 0\n"]
for (let n = 0; n < 10_000; n++) {
  const directory = `part-${Math.floor(n / 100)}`
  if (n % 100 === 0) mkdirSync(path.join(workspace, "repository", directory), { recursive: true })
  const text = randomBytes(100 + (n % 1000)).toString("hex")
  writeFileSync(path.join(workspace, "repository", directory, `file-${n}.ts`), text)
  commit.push(`M 100644 inline ${directory}/file-${n}.ts\ndata ${text.length}\n${text}\n`)
}
writeFileSync(path.join(scratch, "commit"), commit.join(""))

/** One measurement, on either side: `sh measure.sh status DIRECTORY` in µs, `sh measure.sh fio DIRECTORY KIND BLOCK INVALIDATE` in KB/s. */
writeFileSync(
  path.join(workspace, "measure.sh"),
  String.raw`case $1 in
status)
  begun=$(date +%s%N)
  $GIT -c safe.directory='*' -C "$2" status --porcelain > /dev/null || exit 1
  echo $((($(date +%s%N) - begun) / 1000));;
fio)
  # Both have the file in the host's cache; the guest's own is emptied first. A writer has to have its bytes on the disk in the end.
  $FIO --output-format=terse --terse-version=3 --name=one --thread --filename="$2/data" --size=$SIZE --ioengine=psync \
    --rw=$3 --bs=$4 --invalidate=$5 --end_fsync=1 --runtime=5 | cut -d';' -f$(case $3 in *read) echo 7;; *) echo 48;; esac);;
esac
`
)

/**
 * Both sides in turn: prints `WHAT SIDE VALUE`. $D holds the workspace, $TOOLS the unpacked programs. With $OWN the guest's own memory is
 * a third side, which tells what its processor costs.
 */
const job = String.raw`
set -e
export SIZE
lib=$(echo $TOOLS/root/usr/lib/*-linux-gnu)
run="$(echo $lib/ld-linux-*.so.*) --library-path $lib:$lib/ceph $TOOLS/root/usr/bin"
export GIT="$run/git" FIO="$run/fio"
cd $D/workspace
if [ ! -e repository/.git ]; then
  $GIT -C repository init -q -b main
  $GIT -C repository fast-import --quiet < $D/commit
  $GIT -C repository reset -q
fi
for side in guest host; do
  mkdir $side; cp -a repository $side/; head -c $SIZE /dev/urandom > $side/data
done
aegis instance start --name bench --memory 1024 --idle-pause 0 --workspace $D/workspace -- sleep 100000 >&2
in_guest() { aegis exec --env GIT=git --env FIO=fio --env SIZE=$SIZE bench -- "$@"; }
[ -z "$OWN" ] || in_guest sh -c 'mkdir /tmp/own; cp -a guest/repository guest/data /tmp/own/'
host() { sh measure.sh "$@"; }
guest() { in_guest sh measure.sh "$@"; }
side() { local what=$1 side=$2; shift 2; echo "$what $side $("$@")"; }
three() {
  side $1 guest guest $2 /workspace/guest/$3 $4 $5 1
  side $1 host host $2 $D/workspace/host/$3 $4 $5 0
  [ -z "$OWN" ] || side $1 own guest $2 /tmp/own/$3 $4 $5 0
}
# The first look at a repository that was copied reads all of its files.
three first status repository > /dev/null
sleep 2
for n in $(seq $RUNS); do
  three status status repository
  three read4k fio . randread 4k
  three write4k fio . randwrite 4k
  three read1m fio . read 1M
  three write1m fio . write 1M
done
aegis down >&2
`

const values = (output: string, what: string, side: string) => {
  const found = [...output.matchAll(new RegExp(`^${what} ${side} (\\d+)$`, "gm"))].map((match) => Number(match[1]))
  if (found.length !== runs) throw new Error(`${what} ${side}: ${found.length} of ${runs} values\n${output}`)
  return found
}
const told = (machine: string, output: string, third: boolean) => {
  const sides = (what: string) => {
    const [guest, host] = [values(output, what, "guest"), values(output, what, "host")]
    const ratio = median(guest.map((value, n) => value / (host[n] ?? NaN)))
    return { guest: median(guest), host: median(host), ratio: `${ratio.toFixed(ratio < 0.1 ? 4 : 2)} ×` }
  }
  const own = (what: string, shown: (value: number) => string) =>
    third ? `; in the guest's own memory ${shown(median(values(output, what, "own")))}` : ""
  const time = (value: number) => ms(value / 1000)
  const rate = (value: number) => `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)} MB/s`
  for (const [what, title, shown] of [
    ["status", "git status in a repository of 10 000 files", time],
    ["read4k", "fio reading 4 KiB at random", rate],
    ["write4k", "fio writing 4 KiB at random", rate],
    ["read1m", "fio reading 1 MiB after another", rate],
    ["write1m", "fio writing 1 MiB after another", rate]
  ] as const) {
    const { guest, host, ratio } = sides(what)
    report(
      `${title}, in /workspace against the host's own file system, ${machine}`,
      `${shown(guest)} : ${shown(host)} = ${ratio}${own(what, shown)}`,
      "none; as fast as may be"
    )
  }
}

const qemu = async () => {
  const aegis = await Product.make()
  rmSync(path.join(aegis.home, "base-rootfs"), { recursive: true })
  symlinkSync(base, path.join(aegis.home, "base-rootfs"))
  await aegis.says("up")
  const output = await new Promise<string>((resolve, reject) => {
    const env = { ...process.env, ...aegis.env, PATH: `${dist}:${process.env["PATH"]}`, D: scratch, TOOLS: tools }
    const child = spawn("bash", ["-c", job], {
      env: { ...env, SIZE: "128M", OWN: "1", RUNS: String(runs) },
      stdio: ["ignore", "pipe", "inherit"]
    })
    let said = ""
    child.stdout.on("data", (piece: Buffer) => (said += piece.toString()))
    child.once("close", (code) => (code === 0 ? resolve(said) : reject(new Error(`exit ${code}\n${said}`))))
  })
  await aegis.remove()
  told("QEMU emulating", output, true)
}

const libkrun = async () => {
  // The repository as it is now, with its index, without what the first half has made beside it.
  for (const name of ["guest", "host"]) rmSync(path.join(workspace, name), { recursive: true, force: true })
  const testbed = await runInTestbed({
    timeoutMs: 1_800_000,
    onLine: (line) => process.stderr.write(`    ${line}\n`),
    dataSize: 6 * 1024 ** 3,
    // With two, its host's kernel panics sooner than this ends.
    cpus: 1,
    files: [
      { from: dist, to: "/opt/aegis" },
      { from: base, to: "/opt/base" },
      { from: path.join(scratch, "commit"), to: "/opt/bench/commit" },
      { from: workspace, to: "/opt/bench/workspace" }
    ],
    visible: [tools],
    env: { SIZE: "16M", OWN: "", RUNS: String(runs), D: "/opt/bench", TOOLS: tools },
    script: String.raw`
# What the first program of a machine may open is little, and a file server keeps each file open that its guest knows.
ulimit -Hn 1000000; ulimit -n 1000000
export PATH=/opt/aegis:$PATH AEGIS_BACKEND=libkrun AEGIS_BOOT_TIMEOUT=120 AEGIS_UP_TIMEOUT=120
mkdir -p $AEGIS_HOME; ln -s /opt/base $AEGIS_HOME/base-rootfs
aegis up >&2
for i in 1 2 3; do aegis run -- true && break; done
${job}`
  })
  told("libkrun in the testbed", testbed.output, false)
}

const wanted = (process.env["AEGIS_BENCH_BACKENDS"] ?? "qemu,libkrun").split(",")
if (wanted.includes("qemu")) await qemu()
if (wanted.includes("libkrun")) await libkrun()
rmSync(scratch, { recursive: true, force: true })
