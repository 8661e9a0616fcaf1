/**
 * libkrunfw, the guest's kernel as a library: from Debian unstable's package, whose signature apt checks, else from an npm
 * package. The system's own package sources stay as they are.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { output, run, SetupError } from "./children.mjs"

/** The name the loader and libkrun look for. */
const SONAME = "libkrunfw.so.5"
const DEBIAN_PACKAGE = "libkrunfw5"
const KEYRINGS = ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"]
const NPM_PACKAGE = `@superradcompany/microsandbox-linux-${process.arch}-gnu`

/** @typedef {{ source: string, package: string, version: string }} Origin */

/**
 * An entry with libkrunfw.so.5 and libkrunfw.json {source, package, version, sha256}.
 *
 * @param {import("./cache.mjs").Cache} cache
 * @param {import("./progress.mjs").StepLog} log
 */
export const ensureFirmware = (cache, log) =>
  cache.entry("libkrunfw", { soname: SONAME, arch: process.arch, recipe: "1" }, async (directory) => {
    const library = path.join(directory, SONAME)
    const work = path.join(directory, "work")
    const origin = await firstThatWorks(log, [
      () => fromDebian(emptied(work), library, log),
      () => fromNpm(emptied(work), library, log)
    ])
    fs.rmSync(work, { recursive: true })
    const bytes = fs.readFileSync(library)
    const sha256 = createHash("sha256").update(bytes).digest("hex")
    fs.writeFileSync(path.join(directory, "libkrunfw.json"), `${JSON.stringify({ ...origin, sha256 }, null, 2)}\n`)
  })

/**
 * @param {import("./progress.mjs").StepLog} log
 * @param {ReadonlyArray<() => Promise<Origin>>} sources
 */
const firstThatWorks = async (log, sources) => {
  /** @type {Array<string>} */
  const reasons = []
  for (const source of sources) {
    try {
      return await source()
    } catch (cause) {
      reasons.push(cause instanceof Error ? cause.message : String(cause))
      log.say(`${reasons.at(-1)}`)
    }
  }
  throw new SetupError(
    `libkrunfw, the guest's kernel, could not be had: ${reasons.join("; ")}`,
    "the first build needs the network: check that http://deb.debian.org or the npm registry can be reached"
  )
}

/**
 * @param {string} work
 * @param {string} library
 * @param {import("./progress.mjs").StepLog} log
 * @returns {Promise<Origin>}
 */
const fromDebian = async (work, library, log) => {
  const keyring = KEYRINGS.find((file) => fs.existsSync(file))
  if (keyring === undefined) throw new SetupError("this system has no Debian archive keyring")
  const at = (/** @type {string} */ name) => path.join(work, name)
  for (const name of ["lists/partial", "cache/archives/partial"]) fs.mkdirSync(at(name), { recursive: true })
  const mirror = "http://deb.debian.org/debian"
  fs.writeFileSync(at("sources.list"), `deb [signed-by=${keyring}] ${mirror} unstable main\n`)
  /** @type {Record<string, string>} */
  const settings = {
    "Dir::Etc::sourcelist": at("sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State::lists": at("lists"),
    "Dir::Cache": at("cache"),
    "Acquire::Languages": "none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
    "Acquire::Retries": "2",
    "Acquire::http::Timeout": "30",
    // apt's own user cannot enter a cache below a home directory. The signature is checked all the same.
    ...(process.getuid?.() === 0 ? { "APT::Sandbox::User": "root" } : {})
  }
  const options = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`])
  const apt = (/** @type {ReadonlyArray<string>} */ args) =>
    run("apt-get", [...options, "-q", ...args], {
      cwd: work,
      onOutput: log.write,
      env: { LC_ALL: "C" },
      timeoutMs: 300_000
    })
  await apt(["update"])
  await apt(["download", DEBIAN_PACKAGE])
  const deb = fs.readdirSync(work).find((name) => name.endsWith(".deb"))
  if (deb === undefined) throw new SetupError(`apt-get downloaded no ${DEBIAN_PACKAGE}`)
  const version = await output("dpkg-deb", ["-f", at(deb), "Version"])
  await run("dpkg-deb", ["-x", at(deb), at("unpacked")], { onOutput: log.write })
  takeLibrary(at("unpacked"), library)
  return { source: `${mirror} unstable`, package: DEBIAN_PACKAGE, version: version.trim() }
}

/**
 * @param {string} work
 * @param {string} library
 * @param {import("./progress.mjs").StepLog} log
 * @returns {Promise<Origin>}
 */
const fromNpm = async (work, library, log) => {
  log.say(`npm pack ${NPM_PACKAGE}`)
  // npm holds the archive against the registry's integrity hash.
  const answer = await output("npm", ["pack", "--json", "--pack-destination", work, NPM_PACKAGE], {
    cwd: work,
    onOutput: log.write
  })
  const [{ filename, version }] = JSON.parse(answer)
  await run(
    "tar",
    ["-xzf", path.join(work, path.basename(filename)), "-C", work, "--wildcards", `package/lib/${SONAME}*`],
    {
      onOutput: log.write
    }
  )
  takeLibrary(work, library)
  return { source: "npm", package: NPM_PACKAGE, version }
}

/**
 * Copies the library found somewhere below `from`, after a look whether it is one.
 *
 * @param {string} from
 * @param {string} to
 */
const takeLibrary = (from, to) => {
  const found = fs
    .readdirSync(from, { recursive: true, encoding: "utf8" })
    .filter((name) => path.basename(name).startsWith(SONAME))
    .map((name) => path.join(from, name))
    .find((file) => fs.lstatSync(file).isFile())
  if (found === undefined) throw new SetupError(`there is no ${SONAME} in the package`)
  const bytes = fs.readFileSync(found)
  if (bytes.subarray(0, 4).toString("latin1") !== "\x7fELF" || !bytes.includes("krunfw_get_kernel")) {
    throw new SetupError(`${path.basename(found)} of the package is not libkrunfw`)
  }
  fs.writeFileSync(to, bytes, { mode: 0o644 })
}

/** @param {string} directory */
const emptied = (directory) => {
  fs.rmSync(directory, { recursive: true, force: true })
  fs.mkdirSync(directory)
  return directory
}
