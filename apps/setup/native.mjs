/** The parts in Rust and Go: libkrun, virtiofsd, aegis-mkroot, aegis-tsc, aegis-net, the guest's harness and its disk. */
import * as fs from "node:fs"
import * as path from "node:path"
import { output, run, SetupError } from "./children.mjs"
import { sourcesHash } from "./cache.mjs"
import { tar } from "./tar.mjs"

/** The newest release of this line is built; the C virtiofsd of Debian 12 does not run unprivileged. */
const VIRTIOFSD = "~1.14"

/**
 * @typedef {object} Workshop
 * @property {string} root The repository.
 * @property {import("./cache.mjs").Cache} cache
 * @property {import("./progress.mjs").StepLog} log
 */

const NETWORK_REMEDY = "the first build needs the network; if it is there, the log above says what does not compile"

/**
 * An entry with libkrun.so, built from its crate.
 *
 * @param {Workshop} workshop
 */
export const buildLibkrun = async ({ cache, log, root }) => {
  const crate = "native-bridge/rust"
  const manifest = path.join(root, crate, "Cargo.toml")
  if (!fs.existsSync(manifest)) throw new SetupError(`${manifest} is missing`)
  const inputs = {
    sources: sourcesHash(root, [`${crate}/Cargo.toml`, `${crate}/Cargo.lock`, `${crate}/src`, `${crate}/build.rs`]),
    compiler: await output("rustc", ["-vV"])
  }
  return cache.entry("libkrun", inputs, async (directory) => {
    const target = path.join(directory, "target")
    await run("cargo", ["build", "--release", "--locked", "--manifest-path", manifest], {
      cwd: path.join(root, crate),
      env: cargoEnvironment(target),
      onOutput: log.write,
      remedy: NETWORK_REMEDY
    })
    const release = path.join(target, "release")
    const built = fs.readdirSync(release).find((name) => /^lib.*\.so$/.test(name))
    if (built === undefined) throw new SetupError(`cargo made no library in ${release}`)
    fs.copyFileSync(path.join(release, built), path.join(directory, "libkrun.so"))
    fs.rmSync(target, { recursive: true })
  })
}

/**
 * An entry with the program virtiofsd, of the crate of that name.
 *
 * @param {Workshop} workshop
 */
export const buildVirtiofsd = async ({ cache, log }) =>
  cache.entry("virtiofsd", { version: VIRTIOFSD, compiler: await output("rustc", ["-vV"]) }, async (directory) => {
    const target = path.join(directory, "target")
    const install = path.join(directory, "install")
    await run("cargo", ["install", "--locked", "--version", VIRTIOFSD, "--root", install, "virtiofsd"], {
      env: cargoEnvironment(target),
      onOutput: log.write,
      remedy: NETWORK_REMEDY
    })
    fs.copyFileSync(path.join(install, "bin/virtiofsd"), path.join(directory, "virtiofsd"))
    fs.rmSync(target, { recursive: true })
    fs.rmSync(install, { recursive: true })
  })

/**
 * An entry with aegis-mkroot: a tar stream becomes an ext4 disk.
 *
 * @param {Workshop} workshop
 */
export const buildMkroot = (workshop) =>
  goEntry(workshop, "mkroot", "native-bridge/mkroot", (directory) =>
    goBuild(workshop, "native-bridge/mkroot", ".", path.join(directory, "aegis-mkroot"), goArchitecture())
  )

/**
 * An entry with aegis-tsc, which measures the host's time-stamp counter.
 *
 * @param {Workshop} workshop
 */
export const buildTsc = (workshop) =>
  goEntry(workshop, "tsc", "native-bridge/tsc", (directory) =>
    goBuild(workshop, "native-bridge/tsc", ".", path.join(directory, "aegis-tsc"), goArchitecture())
  )

/**
 * An entry with aegis-net, the network of a guest.
 *
 * @param {Workshop} workshop
 */
export const buildNet = (workshop) =>
  goEntry(workshop, "net", "native-bridge/aegis-net", (directory) =>
    goBuild(workshop, "native-bridge/aegis-net", ".", path.join(directory, "aegis-net"), goArchitecture())
  )

/**
 * An entry with aegis-harness, the guest's PID 1, for this machine, and aegis-harness-arm64.
 *
 * @param {Workshop} workshop
 */
export const buildHarness = (workshop) =>
  goEntry(workshop, "harness", "guest-harness", async (directory) => {
    const main = fs.existsSync(path.join(workshop.root, "guest-harness/cmd/aegis-harness"))
      ? "./cmd/aegis-harness"
      : "."
    await goBuild(workshop, "guest-harness", main, path.join(directory, "aegis-harness"), goArchitecture())
    await goBuild(workshop, "guest-harness", main, path.join(directory, "aegis-harness-arm64"), "arm64")
  })

/** The mount points that a guest's first root has. */
export const guestDirectories = ["dev", "proc", "sys", "tmp", "newroot"]

/**
 * An entry with harness.ext4, the disk that a QEMU guest starts from: the harness as /init.krun, and the mount points.
 *
 * @param {Workshop} workshop
 * @param {{ mkroot: string, harness: string }} entries The folders of both programs.
 */
export const buildHarnessDisk = ({ cache, log }, { harness, mkroot }) =>
  cache.entry("harness-disk", { mkroot, harness, recipe: guestDirectories.join() }, (directory) =>
    run(path.join(mkroot, "aegis-mkroot"), [path.join(directory, "harness.ext4")], {
      input: tar([
        ...guestDirectories.map((name) => ({ name, mode: 0o755 })),
        { name: "init.krun", mode: 0o755, bytes: fs.readFileSync(path.join(harness, "aegis-harness")) }
      ]),
      onOutput: log.write
    })
  )

/**
 * @param {Workshop} workshop
 * @param {string} name
 * @param {string} module
 * @param {(directory: string) => Promise<void>} build
 */
const goEntry = async ({ cache, root }, name, module, build) => {
  if (!fs.existsSync(path.join(root, module, "go.mod")))
    throw new SetupError(`${path.join(root, module)} has no Go module`)
  const compiler = await output("go", ["version"], { cwd: path.join(root, module) })
  return cache.entry(name, { sources: sourcesHash(root, [module]), compiler }, build)
}

/**
 * @param {Workshop} workshop
 * @param {string} module
 * @param {string} main
 * @param {string} out
 * @param {string} architecture
 */
const goBuild = ({ log, root }, module, main, out, architecture) =>
  run(
    "go",
    // Without version control's stamp: equal sources give equal programs, and git's owner check has no say.
    ["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w", "-o", out, main],
    {
      cwd: path.join(root, module),
      env: { CGO_ENABLED: "0", GOOS: "linux", GOARCH: architecture, GOFLAGS: "", GOWORK: "off" },
      onOutput: log.write,
      remedy: NETWORK_REMEDY
    }
  )

const goArchitecture = () => (process.arch === "x64" ? "amd64" : process.arch)

/** @param {string} target */
const cargoEnvironment = (target) => ({
  CARGO_TARGET_DIR: target,
  CARGO_TERM_COLOR: "never",
  CARGO_TERM_PROGRESS_WHEN: "never"
})
