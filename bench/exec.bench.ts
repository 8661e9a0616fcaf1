/** `aegis exec` in a guest that runs, on QEMU without a hypervisor. */
import { spawn } from "node:child_process"
import { createCipheriv, createHash } from "node:crypto"
import { request } from "node:http"
import * as path from "node:path"
import { running } from "../test/product/Fleet.ts"
import { dist, Product } from "../test/product/Product.ts"
import { median, ms, paired, program, report, timed } from "./measure.ts"

const cli = path.join(dist, "aegis")
const aegis = await Product.make()
await program(cli, ["up"], aegis.env)
await program(cli, ["instance", "start", "--name", "web", "--", "sleep", "100000"], aegis.env)
await running(aegis, "web")

const exec = () => timed(() => program(cli, ["exec", "web", "--", "/bin/true"], aegis.env))
const version = () => timed(() => program(cli, ["--version"], aegis.env))
const whole = await paired(20, exec, version)
report(
  "aegis exec H -- /bin/true from its spawn to its end, against aegis --version",
  `${ms(whole.a)} : ${ms(whole.b)}, ${ms(whole.a - whole.b)} more`,
  "at most 400 ms more where the guest is emulated"
)

/** The same over REST, without a program of ours: the daemon's and the guest's part. */
const rest = () =>
  timed(
    () =>
      new Promise<void>((resolve, reject) => {
        const headers = { "content-type": "application/json" }
        const route = { socketPath: path.join(aegis.home, "aegisd.sock"), path: "/v1/instances/web/exec" }
        const call = request({ ...route, method: "POST", headers }, (answer) => {
          answer.resume()
          answer.once("end", resolve)
        })
        call.once("error", reject)
        call.end(JSON.stringify({ command: ["/bin/true"] }))
      })
  )
await rest()
const parts: Array<number> = []
for (let i = 0; i < 30; i++) parts.push(await rest())
report("the daemon's and the guest's part of it, over REST, median of 30", ms(median(parts)), "at most 150 ms")

const mebibytes = 64
const zeros = Buffer.alloc(mebibytes * 1024 * 1024)
const expected = createHash("md5").update(zeros).digest("hex")
/** From standard input through the guest's cat to md5sum. */
const throughCat = async () => {
  const line = `head -c ${mebibytes}M /dev/zero | "${cli}" exec -i web -- cat | md5sum`
  const child = spawn("sh", ["-c", line], {
    env: { ...process.env, ...aegis.env },
    stdio: ["ignore", "pipe", "inherit"]
  })
  let digest = ""
  child.stdout.on("data", (piece: Buffer) => (digest += piece.toString()))
  const took = await timed(() => new Promise((resolve) => child.once("close", resolve)))
  return { took, equal: digest.startsWith(expected) }
}
const rates: Array<number> = []
let equal = true
for (let i = 0; i < 5; i++) {
  const one = await throughCat()
  equal &&= one.equal
  rates.push((mebibytes * 1.048576) / (one.took / 1000))
}
report(
  `${mebibytes} MiB through aegis exec -i H -- cat, each way, QEMU emulating, median of 5`,
  `checksum ${equal ? "equal" : "DIFFERENT"}, ${median(rates).toFixed(0)} MB/s (${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)})`,
  "checksum equal, at least 5 MB/s"
)

/** Bytes that no layer can shorten, each piece another, by a cipher of this machine: made faster than they are sent. */
const gibibyte = async () => {
  const pieces = 1024
  const cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16, 1), Buffer.alloc(16))
  const [sent, received] = [createHash("sha256"), createHash("sha256")]
  const child = spawn(cli, ["exec", "-i", "web", "--", "cat"], {
    env: { ...process.env, ...aegis.env },
    stdio: ["pipe", "pipe", "inherit"]
  })
  let bytes = 0
  child.stdout.on("data", (piece: Buffer) => {
    bytes += piece.length
    received.update(piece)
  })
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve))
  let code: number | null = null
  const took = await timed(async () => {
    for (let n = 0; n < pieces; n++) {
      const piece = cipher.update(Buffer.alloc(1024 * 1024))
      sent.update(piece)
      await new Promise((resolve) => child.stdin.write(piece, resolve))
    }
    child.stdin.end()
    code = await closed
  })
  return { took, equal: code === 0 && bytes === 1024 ** 3 && sent.digest("hex") === received.digest("hex") }
}
const large = await gibibyte()
report(
  "1 GiB of random bytes through aegis exec -i H -- cat, each way, QEMU emulating",
  `checksum ${large.equal ? "equal" : "DIFFERENT"}, ${ms(large.took)}, ${(1073.741824 / (large.took / 1000)).toFixed(0)} MB/s`,
  "checksum equal"
)
if (!equal || !large.equal) process.exitCode = 1
await aegis.remove()
