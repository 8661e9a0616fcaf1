/** dist/: the product as one folder that can be moved and runs from anywhere. */
import * as fs from "node:fs"
import * as path from "node:path"
import { buildBundles } from "./bundle.mjs"
import { ensureDependencies } from "./dependencies.mjs"
import { ensureFirmware } from "./firmware.mjs"
import {
  buildHarness,
  buildHarnessDisk,
  buildLibkrun,
  buildMkroot,
  buildNet,
  buildTsc,
  buildVirtiofsd,
  guestDirectories
} from "./native.mjs"
import { ensurePackages } from "./packages.mjs"

/** @typedef {{ root: string, cache: import("./cache.mjs").Cache, progress: import("./progress.mjs").Progress }} Setup */

/**
 * Brings dist/ up to date, one named step after the other. What did not change since an earlier build comes from the cache.
 *
 * @param {Setup} setup
 * @param {{ forTests: boolean }} options
 */
export const buildProduct = async ({ cache, progress, root }, { forTests }) => {
  const entry = (
    /** @type {string} */ title,
    /** @type {(workshop: import("./native.mjs").Workshop) => Promise<{ directory: string, hit: boolean }>} */ build
  ) =>
    progress.step(title, async (log) => {
      const { directory, hit } = await build({ root, cache, log })
      if (hit) log.result("unchanged")
      return directory
    })
  await progress.step("the machine's packages", (log) => ensurePackages({ forTests }, log))
  await progress.step("npm packages", (log) => ensureDependencies(root, log))
  const firmware = await entry("libkrunfw, the guest's kernel", ({ log }) => ensureFirmware(cache, log))
  const mkroot = await entry("aegis-mkroot", buildMkroot)
  const tsc = await entry("aegis-tsc", buildTsc)
  const net = await entry("aegis-net", buildNet)
  const harness = await entry("aegis-harness, the guest's PID 1", buildHarness)
  const disk = await entry("the harness's disk", (workshop) => buildHarnessDisk(workshop, { mkroot, harness }))
  const libkrun = await entry("libkrun", buildLibkrun)
  const virtiofsd = await entry("virtiofsd", buildVirtiofsd)
  const bundles = await entry("aegis, aegisd, aegis-vmm, aegis-mcp", buildBundles)
  await progress.step("dist", async (log) => {
    const dist = path.join(root, "dist")
    const changed = assemble(dist, [
      { from: bundles, to: "" },
      { from: mkroot, to: "" },
      { from: tsc, to: "" },
      { from: net, to: "" },
      { from: virtiofsd, to: "" },
      { from: libkrun, to: "lib" },
      { from: firmware, to: "lib" },
      { from: harness, to: "guest" },
      { from: disk, to: "guest" }
    ])
    for (const name of guestDirectories) fs.mkdirSync(path.join(dist, "guest/root", name), { recursive: true })
    log.result(changed === 0 ? "unchanged" : `${changed} files changed`)
  })
}

const MANIFEST = ".build.json"

/**
 * Makes `dist` hold the entries' files, and none of an earlier build beside them; returns how many it changed. Each file is
 * replaced as a whole, so a program that is running keeps the one it has.
 *
 * @param {string} dist
 * @param {ReadonlyArray<{ from: string, to: string }>} entries Folders of the cache, and their place in `dist`.
 */
export const assemble = (dist, entries) => {
  fs.mkdirSync(dist, { recursive: true })
  const wanted = new Map(
    entries.flatMap(({ from, to }) => filesBelow(from).map((name) => [path.join(to, name), path.join(from, name)]))
  )
  const before = readManifest(path.join(dist, MANIFEST))
  const stale = [...wanted].filter(
    ([name, source]) => before[name] !== source || !sameSize(path.join(dist, name), source)
  )
  const gone = Object.keys(before).filter((name) => !wanted.has(name))
  // V8 tells a cache that fits from one that does not by the source's length alone: never an old one beside a new bundle.
  const caches = stale.filter(([name]) => name.endsWith(".cache"))
  for (const name of [...gone, ...caches.map(([name]) => name)]) fs.rmSync(path.join(dist, name), { force: true })
  for (const [name, source] of [...stale.filter((file) => !caches.includes(file)), ...caches]) {
    const target = path.join(dist, name)
    fs.mkdirSync(path.dirname(target), { recursive: true })
    fs.copyFileSync(source, `${target}.new`, fs.constants.COPYFILE_FICLONE)
    fs.renameSync(`${target}.new`, target)
  }
  if (stale.length + gone.length > 0) {
    fs.writeFileSync(path.join(dist, `${MANIFEST}.new`), JSON.stringify(Object.fromEntries(wanted), null, 1))
    fs.renameSync(path.join(dist, `${MANIFEST}.new`), path.join(dist, MANIFEST))
  }
  return stale.length + gone.length
}

/** @param {string} directory */
const filesBelow = (directory) =>
  fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => fs.statSync(path.join(directory, name)).isFile())

/**
 * @param {string} a
 * @param {string} b
 */
const sameSize = (a, b) => fs.statSync(a, { throwIfNoEntry: false })?.size === fs.statSync(b).size

/**
 * @param {string} file
 * @returns {Record<string, string>}
 */
const readManifest = (file) => {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"))
  } catch {
    // A new dist, or one whose making was cut short.
    return {}
  }
}
