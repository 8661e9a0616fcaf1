/** `@aegis/client` as a package for npm: two modules, their declarations, and a manifest made from ours. */
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { output, SetupError } from "./children.mjs"

/** What goes into the package beside the client itself. */
const parts = ["domain", "contract", "client"]
const entries = { index: "index.ts", promise: "promise/index.ts" }

/**
 * Makes `aegis-client-<version>.tgz` in `directory`, as `npm publish` would send it; returns its path.
 *
 * @param {string} root
 * @param {string} directory
 */
export const packClient = async (root, directory) => {
  fs.mkdirSync(directory, { recursive: true })
  const folder = fs.mkdtempSync(path.join(directory, ".client-"))
  try {
    await bundleModules(root, folder)
    await declare(root, folder)
    const manifest = clientManifest(root)
    fs.writeFileSync(path.join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`)
    for (const [from, to] of [
      ["LICENSE", "LICENSE"],
      ["docs/CLIENT.md", "README.md"]
    ]) {
      fs.copyFileSync(path.join(root, from ?? ""), path.join(folder, to ?? ""))
    }
    const packed = await output("npm", [
      "pack",
      "--ignore-scripts",
      "--silent",
      "--pack-destination",
      directory,
      folder
    ])
    return path.join(directory, packed.trim())
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * ESM for Node; every package of others stays outside, so that an application has one copy of effect.
 *
 * @param {string} root
 * @param {string} folder
 */
const bundleModules = async (root, folder) => {
  const { build, stop } = await import(pathToFileURL(path.join(root, "node_modules/esbuild/lib/main.js")).href)
  try {
    await build({
      absWorkingDir: root,
      entryPoints: Object.entries(entries).map(([out, file]) => ({ in: `libs/client/src/${file}`, out })),
      outdir: folder,
      bundle: true,
      splitting: true,
      platform: "node",
      format: "esm",
      target: "node20",
      external: ["effect", "effect/*", "@effect/*", "ws"],
      logLevel: "error"
    })
  } finally {
    await stop()
  }
}

/**
 * Declarations of the three, side by side under `types/`: what they import from each other by name becomes a relative path.
 *
 * @param {string} root
 * @param {string} folder
 */
const declare = async (root, folder) => {
  const types = path.join(folder, "types")
  const config = path.join(folder, "tsconfig.json")
  const options = {
    extends: path.join(root, "tsconfig.json"),
    compilerOptions: {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      rootDir: path.join(root, "libs"),
      outDir: types,
      typeRoots: [path.join(root, "node_modules/@types")]
    },
    // Each of them by its file, since what is found through node_modules gets no declarations.
    include: parts.map((part) => path.join(root, "libs", part, "src"))
  }
  fs.writeFileSync(config, JSON.stringify(options))
  await output(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", config])
  fs.rmSync(config)
  for (const name of fs.readdirSync(types, { recursive: true, encoding: "utf8" })) {
    const file = path.join(types, name)
    if (!name.endsWith(".d.ts")) continue
    fs.writeFileSync(file, relativeImports(fs.readFileSync(file, "utf8"), name))
  }
}

/**
 * @param {string} text
 * @param {string} name The file's place below `types/`.
 */
export const relativeImports = (text, name) => {
  const up = "../".repeat(name.split("/").length - 1)
  return text
    .replace(/(from |import\()"@aegis\/(\w+)"/g, (whole, before, part) =>
      parts.includes(part) ? `${before}"${up}${part}/src/index.js"` : whole
    )
    .replace(/(from |import\()"(\.[^"]*)\.ts"/g, `$1"$2.js"`)
}

/**
 * Our three manifests as one: what they need of others, in the versions of the lock, or newer compatible ones.
 *
 * @param {string} root
 */
const clientManifest = (root) => {
  const read = (/** @type {string} */ file) => JSON.parse(fs.readFileSync(path.join(root, file), "utf8"))
  const { dependencies: versions, engines, license, version } = read("package.json")
  const needed = parts.flatMap((part) => Object.keys(read(`libs/${part}/package.json`).dependencies))
  const foreign = [...new Set(needed)].filter((name) => !name.startsWith("@aegis/")).toSorted()
  const unknown = foreign.find((name) => versions[name] === undefined)
  if (unknown !== undefined) throw new SetupError(`package.json names no version of ${unknown}`)
  return {
    name: "@aegis/client",
    version,
    description: "AegisVM from TypeScript and JavaScript: microVM sandboxes, with Effect or with promises",
    license,
    type: "module",
    engines,
    sideEffects: false,
    exports: {
      ".": { types: "./types/client/src/index.d.ts", default: "./index.js" },
      "./promise": { types: "./types/client/src/promise/index.d.ts", default: "./promise.js" }
    },
    dependencies: Object.fromEntries(foreign.map((name) => [name, `^${versions[name]}`]))
  }
}
