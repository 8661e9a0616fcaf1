import { execFileSync, spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { dist } from "./Product.ts"

/**
 * A small root disk with busybox's tools, made by the product's own aegis-mkroot.
 *
 * @param prepare puts more into the image's directory before it becomes a disk.
 */
export const busyboxDisk = (file: string, prepare?: (root: string) => void): void => {
  const made = spawnSync(path.join(dist, "aegis-mkroot"), [file], { input: busyboxTar(prepare), encoding: "utf8" })
  if (made.status !== 0) throw new Error(`aegis-mkroot: ${made.stderr}`)
}

/** The same as a tar archive: an image for `--image rootfs:FILE`. */
export const busyboxTar = (prepare: (root: string) => void = () => undefined): Buffer => {
  const root = mkdtempSync(path.join(tmpdir(), "aegis-busybox-"))
  try {
    for (const name of ["bin", "etc", "var", "root"]) mkdirSync(path.join(root, name))
    copyFileSync("/bin/busybox", path.join(root, "bin/busybox"))
    const applets = execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n")
    for (const applet of applets) if (applet !== "busybox") symlinkSync("busybox", path.join(root, "bin", applet))
    writeFileSync(path.join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
    prepare(root)
    return execFileSync("tar", ["--numeric-owner", "--owner=0", "--group=0", "-C", root, "-cf", "-", "."], {
      maxBuffer: 64 * 1024 * 1024
    })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}
