import { parseArgs } from "node:util"
import { ensureMsb } from "./msb.mjs"
import { defaultCache, ensureTestbed, runInTestbed, TestbedError } from "./testbed.mjs"

const help = `node testbed/testbed.mjs prepare                    makes the machine's kernel and initramfs
node testbed/testbed.mjs run [options] -- SCRIPT    runs a bash script in the machine and exits with its code
node testbed/testbed.mjs msb                        fetches the benchmark's rival and prints its path

  --memory MIB      4096      --file FROM:TO    put a file or folder of the host onto the machine's disk, at TO (repeatable)
  --cpus N          2         --visible DIR     a folder under /tmp to keep (repeatable)
  --timeout SECONDS 120       --quiet           no note about times at the end`

const options = {
  memory: { type: "string", default: "4096" },
  cpus: { type: "string", default: "2" },
  timeout: { type: "string", default: "120" },
  file: { type: "string", multiple: true, default: [] },
  visible: { type: "string", multiple: true, default: [] },
  quiet: { type: "boolean", default: false }
}

const report = (line) => process.stderr.write(`testbed: ${line}\n`)

const fileOf = (text) => {
  const separator = text.lastIndexOf(":")
  return separator < 0 ? { from: text, to: text } : { from: text.slice(0, separator), to: text.slice(separator + 1) }
}

const runScript = async (values, script, signal) => {
  const result = await runInTestbed({
    script,
    memoryMib: Number(values.memory),
    cpus: Number(values.cpus),
    timeoutMs: Number(values.timeout) * 1000,
    files: values.file.map(fileOf),
    visible: values.visible,
    onLine: (line) => process.stdout.write(`${line}\n`),
    report,
    signal
  })
  if (!values.quiet) report(`booted in ${result.bootMs} ms, job took ${result.jobMs} ms, exit code ${result.exitCode}`)
  return result.exitCode
}

const exitCodes = { timeout: 124, aborted: 130 }

/**
 * The command line of the testbed. Resolves with the exit code: the job's own, 124 for a timeout, 130 for Ctrl+C, 2
 * for usage, 1 for the rest.
 */
export const main = async (args) => {
  const interrupt = new AbortController()
  const onSignal = () => interrupt.abort()
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, onSignal)
  try {
    const { positionals, values } = parseArgs({ args, options, allowPositionals: true })
    const [verb, ...rest] = positionals
    if (verb === "run" && rest.length > 0) return await runScript(values, rest.join(" "), interrupt.signal)
    if (verb === "prepare") report(`ready: Linux ${(await ensureTestbed(defaultCache(), { report })).release}`)
    else if (verb === "msb") process.stdout.write(`${(await ensureMsb(defaultCache(), { report })).program}\n`)
    else {
      process.stderr.write(`${help}\n`)
      return 2
    }
    return 0
  } catch (error) {
    if (!(error instanceof TestbedError) && !String(error?.code).startsWith("ERR_PARSE_ARGS")) throw error
    report(error.message)
    return error instanceof TestbedError ? (exitCodes[error.kind] ?? 1) : 2
  }
}
