import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises"
import * as path from "node:path"
import { needProgram, run, TestbedError } from "./process.mjs"

const packageName = "@superradcompany/microsandbox-linux-x64-gnu"
const version = "0.7.2"
const integrity = "5gmMDYjyGXtx+13rWKeI0/f6x7ecDg6aMFVCupgr23IQODQLuGsbvn70LyXUrT0bOlYhle6i4uum2+AwVKTU8Q=="

/** A directory with busybox for a root file system; msb needs its /etc/passwd. */
const makeRootfs = async (directory) => {
  for (const name of ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"]) {
    await mkdir(path.join(directory, name), { recursive: true })
  }
  await cp(needProgram("busybox", "busybox-static"), path.join(directory, "bin/busybox"))
  for (const applet of ["sh", "true", "echo", "cat", "uname"])
    await symlink("busybox", path.join(directory, "bin", applet))
  await writeFile(path.join(directory, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
  await writeFile(path.join(directory, "etc/group"), "root:x:0:\n")
}

/**
 * The peer that the benchmark runs beside us, from npm, its version and checksum fixed here: fetched once, then found
 * in the cache. `package` is a folder to put on a testbed's disk (the program is its bin/msb), `rootfs` a root file
 * system for it.
 * @param {string} cacheDir
 * @param {{ report?: (line: string) => void }} [options]
 * @returns {Promise<{ package: string, program: string, rootfs: string, version: string }>}
 */
export const ensureMsb = async (cacheDir, { report = () => {} } = {}) => {
  const directory = path.join(cacheDir, `msb-${version}`)
  if (!existsSync(directory)) {
    await mkdir(cacheDir, { recursive: true })
    const scratch = await mkdtemp(path.join(cacheDir, `testbed-run-${process.pid}-`))
    try {
      report(`fetching ${packageName} ${version}`)
      await run(needProgram("npm", "npm"), ["pack", "--silent", `${packageName}@${version}`], { cwd: scratch })
      const [archive = ""] = await readdir(scratch)
      const digest = createHash("sha512")
        .update(await readFile(path.join(scratch, archive)))
        .digest("base64")
      if (digest !== integrity)
        throw new TestbedError("preparation-failed", `${archive} has the checksum ${digest}, not ${integrity}`)
      await run(needProgram("tar", "tar"), ["-xzf", archive], { cwd: scratch })
      await rm(path.join(scratch, archive))
      await makeRootfs(path.join(scratch, "rootfs"))
      await rename(scratch, directory).catch((error) => {
        if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error
      })
    } finally {
      await rm(scratch, { recursive: true, force: true })
    }
  }
  const unpacked = path.join(directory, "package")
  return { package: unpacked, program: path.join(unpacked, "bin/msb"), rootfs: path.join(directory, "rootfs"), version }
}
