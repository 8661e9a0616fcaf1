/**
 * The build cache: what a step made, kept under a name that is a hash of everything it was made from. An entry appears whole
 * or not at all.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { onInterrupt } from "./children.mjs"

/** How many entries of one name are kept: enough to go back and forth between a few branches. */
const KEEP = 4

/**
 * `$AEGIS_BUILD_CACHE`, or `aegis-build` in the user's cache directory.
 *
 * @param {Record<string, string | undefined>} env
 * @param {string} home
 */
export const cacheDirectory = (env, home) => {
  if (env["AEGIS_BUILD_CACHE"]) return path.resolve(env["AEGIS_BUILD_CACHE"])
  // The XDG specification has relative values ignored.
  const xdg = env["XDG_CACHE_HOME"]
  return path.join(xdg !== undefined && path.isAbsolute(xdg) ? xdg : path.join(home, ".cache"), "aegis-build")
}

/**
 * A hash over files and folders: relative names and contents, in an order of their own, so that neither times nor the place of
 * the checkout matter. Hidden files, node_modules and target are no sources.
 *
 * @param {string} root
 * @param {ReadonlyArray<string>} paths Relative to `root`; a missing one counts as missing.
 */
export const sourcesHash = (root, paths) => {
  const hash = createHash("sha256")
  const visit = (/** @type {string} */ relative) => {
    const absolute = path.join(root, relative)
    const stat = fs.statSync(absolute, { throwIfNoEntry: false })
    if (stat === undefined) hash.update(`missing ${relative}\0`)
    else if (stat.isDirectory()) {
      const names = fs.readdirSync(absolute).filter((name) => !/^(\..*|node_modules|target)$/.test(name))
      for (const name of names.toSorted()) visit(path.join(relative, name))
    } else {
      const bytes = fs.readFileSync(absolute)
      hash.update(`file ${relative}\0${bytes.length}\0`).update(bytes)
    }
  }
  for (const relative of paths.toSorted()) visit(relative)
  return hash.digest("hex")
}

/**
 * An entry's folder name: the name, and a hash that changes with any input.
 *
 * @param {string} name
 * @param {Readonly<Record<string, string>>} inputs
 */
export const entryName = (name, inputs) => {
  const sorted = Object.entries(inputs).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `${name}-${createHash("sha256").update(JSON.stringify(sorted)).digest("hex").slice(0, 20)}`
}

/**
 * @typedef {object} Cache
 * @property {(name: string, inputs: Readonly<Record<string, string>>, build: (directory: string) => Promise<void>) =>
 *   Promise<{ directory: string, hit: boolean }>} entry The folder of what `build` makes out of `inputs`: made by it now, in
 *   an empty folder, unless it was before.
 */

/**
 * @param {string} root
 * @returns {Cache}
 */
export const makeCache = (root) => {
  fs.mkdirSync(root, { recursive: true })
  sweep(root)
  return {
    entry: async (name, inputs, build) => {
      const directory = path.join(root, entryName(name, inputs))
      if (fs.existsSync(directory)) {
        touch(directory)
        return { directory, hit: true }
      }
      const half = fs.mkdtempSync(path.join(root, `.half-${process.pid}-`))
      // Readable by apt's own user and by nobody's umask forbidden: mkdtemp makes it 0700.
      fs.chmodSync(half, 0o755)
      const forget = onInterrupt(() => fs.rmSync(half, { recursive: true, force: true }))
      try {
        await build(half)
        place(half, directory)
      } finally {
        fs.rmSync(half, { recursive: true, force: true })
        forget()
      }
      prune(root, name)
      return { directory, hit: false }
    }
  }
}

/**
 * @param {string} half
 * @param {string} directory
 */
const place = (half, directory) => {
  try {
    fs.renameSync(half, directory)
  } catch (cause) {
    // Another build was faster; equal inputs, so its entry serves.
    if (!fs.existsSync(directory)) throw cause
  }
}

/** @param {string} directory */
const touch = (directory) => {
  try {
    const now = new Date()
    fs.utimesSync(directory, now, now)
  } catch {
    // A cache that is shared read-only has no last use.
  }
}

/**
 * Takes away what killed builds left.
 *
 * @param {string} root
 */
const sweep = (root) => {
  for (const name of fs.readdirSync(root)) {
    const pid = /^\.half-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !alive(Number(pid))) fs.rmSync(path.join(root, name), { recursive: true, force: true })
  }
}

/** @param {number} pid */
const alive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}

/**
 * @param {string} root
 * @param {string} name
 */
const prune = (root, name) => {
  const entries = fs
    .readdirSync(root)
    .filter((entry) => entry.startsWith(`${name}-`) && /^[0-9a-f]{20}$/.test(entry.slice(name.length + 1)))
    .map((entry) => ({ entry, time: fs.statSync(path.join(root, entry)).mtimeMs }))
    .toSorted((a, b) => b.time - a.time)
  for (const { entry } of entries.slice(KEEP)) fs.rmSync(path.join(root, entry), { recursive: true, force: true })
}
