import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import * as path from "node:path"
import { findProgram, needProgram, run, TestbedError } from "./process.mjs"

const metapackage = "linux-image-amd64"
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

const option = (name, value) => ["-o", `${name}=${value}`]

/** apt with package lists of its own, so that neither root nor the system's lists are needed, nor changed. */
const ownState = async (scratch) => {
  for (const directory of ["apt/lists/partial", "apt/cache/archives/partial"]) {
    await mkdir(path.join(scratch, directory), { recursive: true })
  }
  return [
    ...option("Dir::State", path.join(scratch, "apt")),
    ...option("Dir::State::Lists", path.join(scratch, "apt/lists")),
    ...option("Dir::State::Status", "/dev/null"),
    ...option("Dir::Cache", path.join(scratch, "apt/cache")),
    ...option("Acquire::Languages", "none"),
    ...option("APT::Architecture", "amd64"),
    ...option("APT::Architectures", "amd64")
  ]
}

const debianSources = async (scratch) => {
  const release = existsSync("/etc/os-release") ? await readFile("/etc/os-release", "utf8") : ""
  const codename = /^ID=debian$/m.test(release)
    ? (/^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1] ?? "bookworm")
    : "bookworm"
  const file = path.join(scratch, "debian.list")
  await writeFile(
    file,
    `deb [signed-by=${keyring}] http://deb.debian.org/debian ${codename} main\n` +
      `deb [signed-by=${keyring}] http://deb.debian.org/debian-security ${codename}-security main\n`
  )
  return [...option("Dir::Etc::SourceList", file), ...option("Dir::Etc::SourceParts", "/dev/null")]
}

const downloadWith = async (scratch, options, update) => {
  const aptGet = needProgram("apt-get", "apt")
  const aptCache = needProgram("apt-cache", "apt")
  // apt as root drops to the user _apt, which may not write here; as a plain user the option changes nothing.
  const all = [...options, ...option("APT::Sandbox::User", "root"), "-q"]
  if (update) await run(aptGet, [...all, "update"], { cwd: scratch })
  const shown = (await run(aptCache, [...all, "show", "--no-all-versions", metapackage], { cwd: scratch })).toString(
    "utf8"
  )
  const image = /^Depends:.*?(linux-image-[\w.+-]+)/m.exec(shown)?.[1]
  if (image === undefined) throw new TestbedError("preparation-failed", `${metapackage} names no kernel`, shown)
  await run(aptGet, [...all, "download", image], { cwd: scratch })
}

const download = async (scratch, report) => {
  const attempts = [
    { name: "this system's package lists", update: false, options: async () => [] },
    { name: "this system's package sources", update: true, options: () => ownState(scratch) },
    {
      name: "deb.debian.org",
      update: true,
      options: async () => [...(await ownState(scratch)), ...(await debianSources(scratch))]
    }
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
  await run(needProgram("dpkg-deb", "dpkg"), ["-x", path.join(scratch, archive), root])
  // On Debian 13 and later the modules are under /usr/lib; depmod and modprobe want them under /lib.
  const modulesRoot = existsSync(path.join(root, "lib/modules")) ? root : path.join(root, "usr")
  const [release] = await readdir(path.join(modulesRoot, "lib/modules"))
  if (release === undefined) throw new TestbedError("preparation-failed", `${archive} holds no kernel modules`)
  const bzImage = await readFile(path.join(root, `boot/vmlinuz-${release}`))
  return { archive, release, modulesRoot, image: (await uncompressed(bzImage)) ?? bzImage }
}
