#!/usr/bin/env node
import { createHash } from "node:crypto"
import { existsSync, realpathSync } from "node:fs"
import { cp, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { makeInitrd } from "./initrd.mjs"
import { fetchKernel } from "./kernel.mjs"
import { runMachine } from "./machine.mjs"
import { needProgram, run, TestbedError } from "./process.mjs"
import { sessionScript } from "./session.mjs"

export { TestbedError }

const here = path.dirname(fileURLToPath(import.meta.url))

/**
 * Where built things are kept between runs: $AEGIS_BUILD_CACHE, else $XDG_CACHE_HOME/aegis-build, else
 * ~/.cache/aegis-build.
 */
export const defaultCache = () =>
  process.env.AEGIS_BUILD_CACHE ||
  path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "aegis-build")

const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === "EPERM"
  }
}

const hour = 3_600_000

/**
 * Removes what a run that was ended by SIGKILL left. The hour guards a run in another PID namespace that shares the
 * cache.
 */
const sweep = async (cacheDir) => {
  for (const name of await readdir(cacheDir)) {
    const pid = /^testbed-run-(\d+)-/.exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    const directory = path.join(cacheDir, name)
    const age = await stat(directory).then(
      (found) => Date.now() - found.mtimeMs,
      () => 0
    )
    if (age > hour) await rm(directory, { recursive: true, force: true })
  }
}

const withRunDirectory = async (cacheDir, use) => {
  await mkdir(cacheDir, { recursive: true })
  await sweep(cacheDir)
  const directory = await mkdtemp(path.join(cacheDir, `testbed-run-${process.pid}-`))
  try {
    return await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const moveInto = (from, to) =>
  rename(from, to).catch((error) => {
    // Another process was faster and put the same content there.
    if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error
  })

/**
 * Makes the machine's kernel and initramfs, or finds them in the cache: needs the network the first time only, never
 * root.
 * @param {string} [cacheDir]
 * @param {{ report?: (line: string) => void }} [options]
 * @returns {Promise<{ kernel: string, initrd: string, release: string, busybox: string }>}
 */
export const ensureTestbed = async (cacheDir = defaultCache(), { report = () => {} } = {}) => {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new TestbedError(
      "preparation-failed",
      `The testbed runs on Linux on x86-64, not on ${process.platform} on ${process.arch}`
    )
  }
  const busybox = needProgram("busybox", "busybox-static")
  needProgram("qemu-system-x86_64", "qemu-system-x86")
  const recipe = ["kernel.mjs", "initrd.mjs", "init.sh"].map((name) => path.join(here, name))
  const hash = createHash("sha256")
  for (const file of [...recipe, busybox]) hash.update(await readFile(file))
  const directory = path.join(cacheDir, `testbed-${hash.digest("hex").slice(0, 16)}`)
  if (!existsSync(directory)) {
    await withRunDirectory(cacheDir, async (scratch) => {
      const kernel = await fetchKernel(scratch, report)
      report("packing the initramfs")
      const made = path.join(scratch, "testbed")
      await mkdir(made)
      await writeFile(path.join(made, "kernel"), kernel.image)
      await writeFile(
        path.join(made, "initrd"),
        await makeInitrd(kernel, busybox, await readFile(path.join(here, "init.sh")))
      )
      await writeFile(path.join(made, "release"), `${kernel.release}\n${kernel.archive}\n`)
      await moveInto(made, directory)
    })
  }
  const [release = ""] = (await readFile(path.join(directory, "release"), "utf8")).split("\n")
  return { kernel: path.join(directory, "kernel"), initrd: path.join(directory, "initrd"), release, busybox }
}

/**
 * An ext4 disk with the job, the files it brings and an empty data folder. No journal: the disk lives as long as its
 * machine.
 */
const makeDisk = async (directory, { busybox, files, script, session, size, signal }) => {
  const content = path.join(directory, "content")
  await mkdir(path.join(content, "data"), { recursive: true })
  await mkdir(path.join(content, "files"))
  await cp(busybox, path.join(content, "busybox"))
  await writeFile(path.join(content, "session"), session)
  await writeFile(path.join(content, "job"), script)
  for (const [index, { from }] of files.entries()) {
    await run("cp", ["-aL", "--reflink=auto", from, path.join(content, "files", String(index))], { signal })
  }
  const disk = path.join(directory, "disk.ext4")
  const handle = await open(disk, "wx", 0o600)
  await handle.truncate(size).finally(() => handle.close())
  const mke2fs = needProgram("mke2fs", "e2fsprogs")
  const features = ["-O", "^has_journal,^resize_inode", "-E", "root_owner=0:0,lazy_itable_init=1,nodiscard", "-m", "0"]
  await run(mke2fs, ["-q", "-F", "-t", "ext4", ...features, "-d", content, disk], { signal })
  await rm(content, { recursive: true })
  return disk
}

/**
 * Boots the machine, runs `script` in it by bash as root and resolves with its exit code and output when the machine
 * is gone.
 *
 * Inside, the host's files are at their own paths; every write goes to the machine's memory and ends with it. /tmp,
 * /var/tmp and /run start empty (a `visible` folder under them stays). `files` are copied onto the machine's disk,
 * which is much faster to read from than the host's files, and appear at `to`. `$TESTBED_DATA` is a folder on that
 * disk, an ext4 that keeps xattrs and device nodes; `$AEGIS_HOME` lies in it.
 *
 * Rejects with a TestbedError when the job has no exit code. Nothing is left behind, however it ends.
 * @param {import("./testbed.d.mts").TestbedJob} job
 * @returns {Promise<import("./testbed.d.mts").TestbedResult>}
 */
export const runInTestbed = async (job) => {
  const cacheDir = path.resolve(job.cacheDir ?? defaultCache())
  const testbed = await ensureTestbed(cacheDir, { report: job.report })
  const cwd = realpathSync(job.cwd ?? process.cwd())
  const visible = [...new Set([path.dirname(here), cwd, ...(job.visible ?? [])].map((folder) => realpathSync(folder)))]
  const files = await Promise.all(
    (job.files ?? []).map(async ({ from, to }) => ({
      from: path.resolve(from),
      to: path.resolve(to),
      isDirectory: (await stat(from)).isDirectory()
    }))
  )
  const session = sessionScript({
    cwd,
    dataPath: job.dataPath ?? "/var/lib/testbed",
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: "/root", LANG: "C.UTF-8", ...job.env },
    files,
    hostname: "testbed",
    visible
  })
  return withRunDirectory(cacheDir, async (directory) => {
    const size = job.dataSize ?? 4 * 1024 ** 3
    const timeoutMs = job.timeoutMs ?? 120_000
    const disk = await makeDisk(directory, { ...testbed, files, script: job.script, session, size, signal: job.signal })
    return runMachine({
      ...testbed,
      disk,
      memoryMib: job.memoryMib ?? 4096,
      cpus: job.cpus ?? 2,
      timeoutMs,
      silenceMs: job.silenceMs ?? timeoutMs,
      onLine: job.onLine ?? (() => {}),
      // QEMU holds the disk open: from here on not even SIGKILL leaves a file behind.
      onReady: () => void rm(directory, { recursive: true, force: true }),
      signal: job.signal
    })
  })
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  // Not awaited: command.mjs imports this module, which must have ended first.
  void import("./command.mjs").then(async ({ main }) => {
    process.exitCode = await main(process.argv.slice(2))
  })
}
