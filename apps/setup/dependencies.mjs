/** The packages of npm: `npm ci`, and only if node_modules is not what package-lock.json says. */
import * as fs from "node:fs"
import * as path from "node:path"
import { run } from "./children.mjs"

/**
 * @typedef {{ version?: string, integrity?: string, link?: boolean, optional?: boolean, devOptional?: boolean }} Locked
 * @typedef {{ packages: Record<string, Locked> }} Lock
 */

/**
 * True if every package of the lock is installed as locked. npm keeps what it installed in node_modules/.package-lock.json.
 *
 * @param {Lock} wanted
 * @param {Lock | undefined} installed
 */
export const sameDependencies = (wanted, installed) =>
  installed !== undefined &&
  Object.entries(wanted.packages).every(([place, locked]) => {
    // The root and our own workspaces; how they are linked is another entry.
    if (!place.includes("node_modules/")) return true
    const present = installed.packages[place]
    // npm leaves out optional packages for other platforms.
    if (present === undefined) return locked.optional === true || locked.devOptional === true
    return present.version === locked.version && present.integrity === locked.integrity && present.link === locked.link
  })

/**
 * @param {string} root
 * @param {import("./progress.mjs").StepLog} log
 */
export const ensureDependencies = async (root, log) => {
  const wanted = readLock(path.join(root, "package-lock.json"))
  const installed = readLock(path.join(root, "node_modules/.package-lock.json"))
  if (
    wanted !== undefined &&
    installed !== undefined &&
    sameDependencies(wanted, installed) &&
    Object.keys(installed.packages).every((place) => fs.existsSync(path.join(root, place, "package.json")))
  ) {
    return log.result("as locked")
  }
  await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=http"], {
    cwd: root,
    onOutput: log.write,
    remedy: "the first build needs the network: check that the npm registry can be reached (npm ping)"
  })
}

/**
 * @param {string} file
 * @returns {Lock | undefined}
 */
const readLock = (file) => {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"))
  } catch {
    // None, or half a one: npm ci makes both good.
    return undefined
  }
}
