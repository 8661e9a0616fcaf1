import { spawn } from "node:child_process"
import { StringDecoder } from "node:string_decoder"
import { findProgram, needProgram, TestbedError } from "./process.mjs"

const consoleLimit = 65536
const outputLimit = 64 * 1024 * 1024

/** Calls `onLine` with each line of a byte stream as it is completed, and with an unfinished last one at the end. */
const lines = (stream, onLine) => {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  stream.on("data", (chunk) => {
    const parts = (rest + decoder.write(chunk)).split("\n")
    rest = parts.pop() ?? ""
    for (const line of parts) onLine(line)
  })
  stream.on("end", () => {
    rest += decoder.end()
    if (rest !== "") onLine(rest)
  })
}

/**
 * Everything TCG can emulate, with AMD's SVM and its nested paging, but without the hints that `rep movsb` and `rep
 * stosb` are fast: TCG does them byte by byte, and Linux, inside and in a guest inside that, then takes the eight-byte
 * forms.
 */
const processor = "max,svm=on,npt=on,-erms,-fsrm"

/** Quiet, and without what costs an emulated processor time and guards nothing here. */
const kernelArguments = [
  "console=ttyS0 quiet panic=-1",
  "mitigations=off nokaslr init_on_alloc=0 apparmor=0 audit=0 nowatchdog",
  "rcupdate.rcu_expedited=1 random.trust_cpu=on tsc=reliable"
].join(" ")

const qemuArguments = ({ cpus, disk, initrd, kernel, memoryMib }) => [
  ...["-machine", "q35,smbus=off,sata=off,usb=off", "-accel", "tcg,thread=multi,tb-size=512"],
  ...["-cpu", processor, "-smp", String(cpus), "-m", String(memoryMib)],
  ...["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
  ...["-kernel", kernel, "-initrd", initrd],
  ...["-append", kernelArguments],
  ...["-virtfs", "local,path=/,mount_tag=host,security_model=none,multidevs=remap,readonly=on"],
  ...["-drive", `file=${disk},if=virtio,format=raw,cache=unsafe`],
  ...["-device", "virtio-serial-pci"],
  ...["-chardev", "socket,id=output,fd=3", "-device", "virtserialport,chardev=output,name=output,nr=1"],
  ...["-chardev", "socket,id=control,fd=4", "-device", "virtserialport,chardev=control,name=control,nr=2"]
]

/**
 * Node's own death by SIGKILL must not leave a machine behind: the kernel ends QEMU with the thread that started it.
 */
const command = (args) => {
  const qemu = needProgram("qemu-system-x86_64", "qemu-system-x86")
  const setpriv = findProgram("setpriv")
  return setpriv === undefined ? [qemu, args] : [setpriv, ["--pdeathsig", "KILL", "--", qemu, ...args]]
}

/**
 * Boots a prepared disk and resolves when the machine is gone: with the job's exit code and output, or rejects with a
 * TestbedError of kind `timeout`, `aborted` or `crashed` (the machine ended without an exit code). QEMU has ended in
 * every case.
 * @param {{
 *   kernel: string, initrd: string, disk: string, memoryMib: number, cpus: number, timeoutMs: number, silenceMs: number
 *   onLine: (line: string) => void, onReady: () => void, signal?: AbortSignal
 * }} options
 * @returns {Promise<{ exitCode: number, output: string, bootMs: number, jobMs: number }>}
 */
export const runMachine = (options) =>
  new Promise((resolve, reject) => {
    const started = performance.now()
    const [program, args] = command(qemuArguments(options))
    // A session of its own: Ctrl+C in the terminal reaches this program alone, which then ends the machine.
    const qemu = spawn(program, args, { stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"], detached: true })
    const [, console_, stderr, output, control] = qemu.stdio
    let consoleText = ""
    let text = ""
    let exitCode
    let bootMs
    let jobMs
    let ending
    const end = (error) => {
      ending ??= error
      qemu.kill("SIGKILL")
    }
    const onAbort = () => end("aborted")
    const timer = setTimeout(() => end("timeout"), options.timeoutMs)
    const silence = setTimeout(() => end("silence"), options.silenceMs)
    options.signal?.addEventListener("abort", onAbort)
    if (options.signal?.aborted) onAbort()

    for (const stream of [console_, stderr]) {
      stream.setEncoding("utf8")
      stream.on("data", (chunk) => {
        consoleText = (consoleText + chunk.replaceAll("\r", "")).slice(-consoleLimit)
      })
    }
    // QEMU's death may show as ECONNRESET before it shows as the end of the process.
    for (const stream of [console_, stderr, output, control]) stream.on("error", () => {})
    lines(output, (line) => {
      silence.refresh()
      text = (text + line + "\n").slice(-outputLimit)
      options.onLine(line)
    })
    lines(control, (line) => {
      const [event, value] = line.split(" ")
      if (event === "ready") {
        bootMs = Math.round(performance.now() - started)
        options.onReady()
      } else if (event === "exit") {
        jobMs = Math.round(performance.now() - started - bootMs)
        exitCode = Number(value)
      }
    })

    const tail = () =>
      [text, consoleText]
        .map((part) => part.trim().slice(-4000))
        .filter(Boolean)
        .join("\n")
    const settle = (spawnError) => {
      clearTimeout(timer)
      clearTimeout(silence)
      options.signal?.removeEventListener("abort", onAbort)
      if (exitCode !== undefined) return resolve({ exitCode, output: text, bootMs, jobMs })
      if (ending === "aborted") return reject(new TestbedError("aborted", "The testbed was interrupted", tail()))
      if (ending === "timeout" || ending === "silence") {
        const where = bootMs === undefined ? "had not booted" : "had not finished its job"
        const when =
          ending === "timeout" ? `after ${options.timeoutMs} ms` : `and said nothing for ${options.silenceMs} ms`
        return reject(new TestbedError("timeout", `The testbed ${where} ${when}`, tail()))
      }
      reject(new TestbedError("crashed", `The testbed ended without an exit code${spawnError ?? ""}`, tail()))
    }
    qemu.on("error", (error) => settle(`: ${error.message}`))
    qemu.on("close", () => settle())
  })
