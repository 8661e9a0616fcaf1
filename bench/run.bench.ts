/** A whole `aegis run` on QEMU without a hypervisor, against the bare boot of the same guest. */
import { qemuArguments } from "@aegis/vm-qemu"
import { MemoryMib, VcpuCount } from "@aegis/domain"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import * as http2 from "node:http2"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { dist, Product } from "../test/product/Product.ts"
import { median, ms, paired, program, report, timed } from "./measure.ts"

const aegis = await Product.make()
await program(path.join(dist, "aegis"), ["up"], aegis.env)
// The verdict and the kernel are there once one guest has run.
await program(path.join(dist, "aegis"), ["run", "--", "/bin/true"], aegis.env)
const kernels = path.join(aegis.home, "data/kernels")
const kernel = path.join(kernels, readdirSync(kernels)[0] ?? "")

/** From QEMU's spawn to the harness's first HTTP/2 settings: no daemon, no workspace, no command. */
const bareBoot = async () => {
  const directory = mkdtempSync(path.join(tmpdir(), "aegis-bare-"))
  const channelSocket = path.join(directory, "channel.sock")
  const args = qemuArguments({
    accelerator: "tcg",
    memoryMib: MemoryMib.make(512),
    vcpus: VcpuCount.make(1),
    name: "bare",
    kernel,
    harnessDisk: path.join(dist, "guest/harness.ext4"),
    rootDisk: path.join(aegis.home, "base-rootfs/rootfs.ext4"),
    channelSocket,
    qmpSocket: path.join(directory, "qmp.sock")
  })
  const qemu = spawn("qemu-system-x86_64", args, { stdio: "ignore" })
  const took = await timed(async () => {
    while (!(await answers(channelSocket))) await new Promise((resolve) => setTimeout(resolve, 2))
  })
  qemu.kill("SIGKILL")
  await new Promise((resolve) => qemu.once("exit", resolve))
  rmSync(directory, { recursive: true })
  return took
}
const answers = (file: string) =>
  new Promise<boolean>((resolve) => {
    const socket = net.connect(file)
    socket.once("error", () => resolve(false))
    socket.once("connect", () => {
      const session = http2.connect("http://guest", { createConnection: () => socket })
      session.once("error", () => resolve(false))
      session.once("remoteSettings", () => {
        session.destroy()
        resolve(true)
      })
    })
  })

const run = () => timed(() => program(path.join(dist, "aegis"), ["run", "--", "/bin/true"], aegis.env))
const start = await paired(10, run, bareBoot)
report(
  "aegis run -- /bin/true, QEMU emulating, cold boot, against the bare boot of the same guest to its first HTTP/2 answer",
  `${ms(start.a)} : ${ms(start.b)} = ${start.ratio.toFixed(2)} ×`,
  "at most 1.6 ×"
)

const mebibytes = 256
/** Through a pipe into md5sum, as a shell does it: from the command's first word to the end of everything. */
const output = async () => {
  const run = `"${path.join(dist, "aegis")}" run -- sh -c 'echo go >&2; head -c ${mebibytes}M /dev/zero' | md5sum`
  const child = spawn("sh", ["-c", run], { env: { ...process.env, ...aegis.env }, stdio: ["ignore", "pipe", "pipe"] })
  let digest = ""
  child.stdout.on("data", (piece: Buffer) => (digest += piece.toString()))
  await new Promise((resolve) => child.stderr.once("data", resolve))
  const took = await timed(() => new Promise((resolve) => child.once("close", resolve)))
  return { took, digest: digest.slice(0, 32) }
}
const expected = createHash("md5")
  .update(Buffer.alloc(mebibytes * 1024 * 1024))
  .digest("hex")
const rates: Array<number> = []
let equal = true
for (let i = 0; i < 10; i++) {
  const { digest, took } = await output()
  equal &&= digest === expected
  rates.push((mebibytes * 1.048576) / (took / 1000))
}
report(
  `${mebibytes} MiB from the guest's stdout to aegis run's stdout and md5sum, QEMU emulating, median of 10`,
  `checksum ${equal ? "equal" : "DIFFERENT"}, ${median(rates).toFixed(0)} MB/s (${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)})`,
  "checksum equal, at least 40 MB/s"
)
await aegis.remove()
