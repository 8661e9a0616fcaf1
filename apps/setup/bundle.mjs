/** The programs in TypeScript, each bundled into one file, with its launcher and what stays outside of the bundle. */
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { sourcesHash } from "./cache.mjs"
import { SetupError } from "./children.mjs"
import { makeCodeCaches } from "./codecache.mjs"
import { leaves } from "./leaves.mjs"

export const programs = ["aegis", "aegisd", "aegis-vmm", "aegis-mcp"]

/** Native modules, and optional ones that our dependencies do without. */
const external = ["koffi", "better-sqlite3", "msgpackr-extract", "@parcel/watcher", "bufferutil", "utf-8-validate"]

const setup = "apps/setup"

/**
 * An entry that is a dist folder of its own as far as TypeScript goes: launchers, lib/*.cjs, lib/*.cjs.cache, node_modules.
 *
 * @param {import("./native.mjs").Workshop} workshop
 */
export const buildBundles = ({ cache, log, root }) => {
  const sources = sourcesHash(root, [
    "libs",
    ...programs.map((name) => `apps/${name}`),
    "native-bridge/package.json",
    "native-bridge/src",
    "package-lock.json",
    "tsconfig.json",
    ...["bundle.mjs", "codecache.mjs", "launcher.cjs", "leaves.mjs", "warm.cjs"].map((name) => `${setup}/${name}`)
  ])
  // A code cache belongs to one V8 and one kind of processor.
  const inputs = { sources, node: process.version, arch: process.arch }
  return cache.entry("programs", inputs, async (directory) => {
    await bundle(root, directory, log)
    for (const name of programs) placeLauncher(root, directory, name)
    fs.writeFileSync(path.join(directory, "package.json"), `{ "type": "commonjs" }\n`)
    copyNativeModules(root, directory)
    await makeCodeCaches(directory, path.join(root, setup, "warm.cjs"), log)
  })
}

/**
 * @param {string} root
 * @param {string} directory
 * @param {import("./progress.mjs").StepLog} log
 */
const bundle = async (root, directory, log) => {
  const { build, formatMessages, stop } = await import(
    pathToFileURL(path.join(root, "node_modules/esbuild/lib/main.js")).href
  )
  try {
    await build({
      absWorkingDir: root,
      entryPoints: programs.map((name) => ({ in: path.join(root, `apps/${name}/src/main.ts`), out: name })),
      outdir: path.join(directory, "lib"),
      outExtension: { ".js": ".cjs" },
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node20",
      minify: true,
      // The launcher reads it as Latin-1.
      charset: "ascii",
      legalComments: "none",
      external,
      plugins: [leaves(root)],
      // CommonJS has no import.meta. Its url is given; what else is read of it would only show when the program runs.
      define: {
        "import.meta.url": "bundleUrl",
        // Its native part is not shipped, and looking for it takes as long as a third of the rest.
        "process.env.MSGPACKR_NATIVE_ACCELERATION_DISABLED": '"true"'
      },
      banner: { js: 'const bundleUrl = require("node:url").pathToFileURL(__filename).href' },
      logOverride: { "empty-import-meta": "error" },
      logLevel: "silent"
    })
  } catch (cause) {
    const errors = cause instanceof Error && "errors" in cause ? cause.errors : undefined
    if (!Array.isArray(errors)) throw cause
    for (const text of await formatMessages(errors, { kind: "error" })) log.write(Buffer.from(text))
    throw new SetupError(`the programs do not bundle: ${errors.length} error${errors.length === 1 ? "" : "s"}`)
  } finally {
    await stop()
  }
}

/**
 * @param {string} root
 * @param {string} directory
 * @param {string} name
 */
export const placeLauncher = (root, directory, name) => {
  const file = path.join(directory, name)
  fs.copyFileSync(path.join(root, setup, "launcher.cjs"), file)
  fs.chmodSync(file, 0o755)
}

/** What programs load beside their bundles, and what of each package they do not need: sources, documents, other builds. */
const nativeModules = [
  { name: "koffi", left: ["doc", "lib", "vendor"] },
  { name: `@koromix/koffi-${process.platform}-${process.arch}`, left: [] },
  { name: "better-sqlite3", left: ["deps", "src", "build/Release/obj", "build/Release/obj.target", "build/deps"] },
  { name: "bindings", left: [] },
  { name: "file-uri-to-path", left: ["test"] }
]

/**
 * @param {string} root
 * @param {string} directory
 */
const copyNativeModules = (root, directory) => {
  for (const { left, name } of nativeModules) {
    const from = path.join(root, "node_modules", name)
    if (!fs.existsSync(from)) throw new SetupError(`${from} is missing`, "rm -r node_modules and build again")
    const unwanted = left.map((part) => path.join(from, part))
    fs.cpSync(from, path.join(directory, "node_modules", name), {
      recursive: true,
      filter: (file) =>
        !unwanted.includes(file) && (fs.statSync(file).isDirectory() || /(\.c?js|\.json|\.node|LICENSE.*)$/.test(file))
    })
  }
}
