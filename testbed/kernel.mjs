import { existsSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import * as path from "node:path"
import { aptWith, codename, ownSources, ownState, unpackAll } from "./apt.mjs"
import { findProgram, run, TestbedError } from "./process.mjs"

const metapackage = "linux-image-amd64"

const downloadWith = async (scratch, options, update) => {
  const apt = aptWith(scratch, options)
  if (update) await apt.update()
  const shown = await apt.show(metapackage)
  const image = /^Depends:.*?(linux-image-[\w.+-]+)/m.exec(shown)?.[1]
  if (image === undefined) throw new TestbedError("preparation-failed", `${metapackage} names no kernel`, shown)
  await apt.download(image)
}

/** The suites that a kernel of this Debian comes from. */
const ownSuites = async (scratch) => {
  const name = await codename()
  return ownSources(scratch, [
    ["debian", name],
    ["debian-security", `${name}-security`]
  ])
}

const download = async (scratch, report) => {
  const attempts = [
    { name: "this system's package lists", update: false, options: async () => [] },
    { name: "this system's package sources", update: true, options: () => ownState(scratch) },
    { name: "deb.debian.org", update: true, options: () => ownSuites(scratch) }
  ]
  const failures = []
  for (const { name, options, update } of attempts) {
    report(`fetching ${metapackage} by ${name}`)
    try {
      await downloadWith(scratch, await options(), update)
      const archive = (await readdir(scratch)).find((file) => file.endsWith(".deb"))
      if (archive !== undefined) return archive
    } catch (error) {
      if (!(error instanceof TestbedError) || error.kind === "missing-program") throw error
      failures.push(`by ${name}: ${error.message}`)
    }
  }
  throw new TestbedError("preparation-failed", `Debian's ${metapackage} could not be downloaded`, failures.join("\n"))
}

/**
 * The ELF file inside a bzImage (the kernel's Documentation/x86/boot.rst: setup_sects, payload_offset,
 * payload_length). QEMU starts it through its PVH entry, without the seconds that an emulated processor spends on
 * decompressing it.
 */
const uncompressed = async (bzImage) => {
  const start = ((bzImage[0x1f1] || 4) + 1) * 512 + bzImage.readUInt32LE(0x248)
  const payload = bzImage.subarray(start, start + bzImage.readUInt32LE(0x24c))
  const isXz = payload.subarray(0, 6).equals(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]))
  // busybox's unxz does not know the filter that kernels are packed with.
  const xz = findProgram("xz")
  // The payload's last four bytes are the kernel's own note of its size and no part of the xz stream.
  return isXz && xz !== undefined ? run(xz, ["-dc"], { input: payload.subarray(0, -4) }) : undefined
}

/**
 * Fetches Debian's kernel for amd64 and unpacks it, installing nothing and changing nothing outside `scratch`, an
 * empty directory. Resolves with the archive's name, the kernel's release, its image (ELF when that can be had, else
 * the bzImage) and the root of its modules.
 * @param {string} scratch
 * @param {(line: string) => void} report
 */
export const fetchKernel = async (scratch, report) => {
  const archive = await download(scratch, report)
  report(`unpacking ${archive}`)
  const root = path.join(scratch, "kernel")
  await unpackAll(scratch, root)
  // On Debian 13 and later the modules are under /usr/lib; depmod and modprobe want them under /lib.
  const modulesRoot = existsSync(path.join(root, "lib/modules")) ? root : path.join(root, "usr")
  const [release] = await readdir(path.join(modulesRoot, "lib/modules"))
  if (release === undefined) throw new TestbedError("preparation-failed", `${archive} holds no kernel modules`)
  const bzImage = await readFile(path.join(root, `boot/vmlinuz-${release}`))
  return { archive, release, modulesRoot, image: (await uncompressed(bzImage)) ?? bzImage }
}
