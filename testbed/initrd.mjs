import { readFile } from "node:fs/promises"
import * as path from "node:path"
import { needProgram, run, TestbedError } from "./process.mjs"

/** What KVM, the host's files and the job's disk and ports need. A name that is built into the kernel costs nothing. */
const wanted = [
  "virtio_pci",
  "virtio_blk",
  "virtio_console",
  "9p",
  "9pnet_virtio",
  "overlay",
  "crc32c_generic",
  "ext4",
  "kvm_amd",
  "tun",
  "fuse"
]

const moduleName = (file) =>
  path
    .basename(file)
    .replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_")

/** The files of the wanted modules in an order in which each can be inserted. */
const inOrder = (modulesDep, builtin) => {
  const needs = new Map(
    modulesDep
      .split("\n")
      .filter((line) => line.includes(":"))
      .map((line) => line.split(":"))
      .map(([file, dependencies]) => [
        moduleName(file),
        { file, dependencies: dependencies.split(" ").filter(Boolean) }
      ])
  )
  const ordered = new Set()
  const add = (name) => {
    const found = needs.get(name)
    if (found === undefined) throw new TestbedError("preparation-failed", `the kernel has no module ${name}`)
    for (const dependency of found.dependencies) if (!ordered.has(dependency)) add(moduleName(dependency))
    ordered.add(found.file)
  }
  const inKernel = new Set(builtin.split("\n").map(moduleName))
  for (const name of wanted) if (!inKernel.has(name)) add(name)
  return [...ordered]
}

const signatureMark = Buffer.from("~Module signature appended~\n")
const signatureHeader = 12

/**
 * A module as the kernel's linker made it: not compressed, and without the signature at its end (the kernel's
 * kernel/module_signature.c), whose check costs the emulated processor time and protects nothing in a machine made for
 * one job.
 */
const plainModule = async (file, busybox) => {
  const packed = await readFile(file)
  const bytes = file.endsWith(".xz") ? await run(busybox, ["unxz", "-c"], { input: packed }) : packed
  const end = bytes.length - signatureMark.length
  if (!bytes.subarray(end).equals(signatureMark)) return bytes
  return bytes.subarray(0, end - signatureHeader - bytes.readUInt32BE(end - 4))
}

const directoryMode = 0o040755
const fileMode = 0o100644
const programMode = 0o100755

/**
 * A cpio archive in the kernel's "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst), owned by
 * root, without times.
 */
const cpio = (entries) => {
  const chunks = []
  const padTo4 = (length) => Buffer.alloc((4 - (length % 4)) % 4)
  const hex = (value) => value.toString(16).padStart(8, "0")
  const add = ({ content, mode, name }, inode) => {
    const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0]
    const header = Buffer.from(`070701${fields.map(hex).join("")}${name}\0`)
    chunks.push(header, padTo4(header.length), content, padTo4(content.length))
  }
  entries.forEach((entry, index) => add(entry, index + 1))
  add({ name: "TRAILER!!!", mode: 0, content: Buffer.alloc(0) }, 0)
  return Buffer.concat(chunks)
}

/**
 * The testbed's initramfs: busybox, the modules and `init`. Not compressed, since the emulated processor would have to
 * undo that.
 * @param {{ release: string, modulesRoot: string }} kernel
 * @param {string} busybox
 * @param {Uint8Array} init
 * @returns {Promise<Buffer>}
 */
export const makeInitrd = async ({ modulesRoot, release }, busybox, init) => {
  await run(needProgram("depmod", "kmod"), ["-b", modulesRoot, release])
  const directory = path.join(modulesRoot, "lib/modules", release)
  const files = inOrder(
    await readFile(path.join(directory, "modules.dep"), "utf8"),
    await readFile(path.join(directory, "modules.builtin"), "utf8")
  )
  const modules = []
  for (const file of files) {
    const name = `modules/${moduleName(file)}.ko`
    modules.push({ name, mode: fileMode, content: await plainModule(path.join(directory, file), busybox) })
  }
  const folders = ["bin", "dev", "proc", "sys", "modules", "lower", "upper", "root"]
  return cpio([
    ...folders.map((name) => ({ name, mode: directoryMode, content: Buffer.alloc(0) })),
    { name: "bin/busybox", mode: programMode, content: await readFile(busybox) },
    { name: "init", mode: programMode, content: init },
    { name: "order", mode: fileMode, content: Buffer.from(modules.map(({ name }) => `/${name}\n`).join("")) },
    ...modules
  ])
}
