/**
 * An esbuild plugin: what a module imports by name from one of our packages comes straight from the module that defines it. A bundle's
 * lazy modules would otherwise run a package's whole index, and building a Schema that no command asks for is most of a start.
 */
import * as fs from "node:fs"
import * as path from "node:path"

/** @typedef {Map<string, { file: string, name: string }>} Names Where each name of an index is defined, and what it is called there. */

/** @param {string} root */
export const leaves = (root) => ({
  name: "leaves",
  /** @param {import("esbuild").PluginBuild} build */
  setup(build) {
    const packages = ourPackages(root)
    /** @type {Map<string, Names>} */
    const known = new Map()
    const names = (/** @type {string} */ index) => {
      const found = known.get(index) ?? namesOf(index)
      known.set(index, found)
      return found
    }
    build.onLoad({ filter: /\.ts$/ }, ({ path: file }) => ({
      loader: "ts",
      contents: fs
        .readFileSync(file, "utf8")
        .replaceAll(/^import \{([^}]*)\} from "(@aegis\/[^"]+)"/gm, (whole, list, specifier) => {
          const index = packages.get(specifier)
          return index === undefined ? whole : direct(list, specifier, names(index))
        })
    }))
  }
})

/**
 * @param {string} list What stands between the braces of an import.
 * @param {string} specifier
 * @param {Names} names
 */
const direct = (list, specifier, names) =>
  list
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "" && !item.startsWith("type "))
    .map((item) => {
      const [name = "", local = name] = item.split(" as ")
      const leaf = names.get(name)
      if (leaf === undefined) return `import { ${item} } from "${specifier}"`
      const what = leaf.name === "*" ? `* as ${local}` : `{ ${leaf.name} as ${local} }`
      return `import ${what} from ${JSON.stringify(leaf.file)}`
    })
    .join(";")

/**
 * @param {string} index
 * @returns {Names}
 */
const namesOf = (index) => {
  /** @type {Names} */
  const names = new Map()
  const text = fs.readFileSync(index, "utf8")
  const fileOf = (/** @type {string} */ relative) => path.join(path.dirname(index), relative)
  for (const [, name] of text.matchAll(/^export (?:abstract )?(?:const|class|function\*?) (\w+)/gm)) {
    names.set(name ?? "", { file: index, name: name ?? "" })
  }
  for (const [, all = "", relative = ""] of text.matchAll(/^export \*(?: as (\w+))? from "(\.[^"]+)"/gm)) {
    if (all !== "") names.set(all, { file: fileOf(relative), name: "*" })
    else for (const [name, leaf] of namesOf(fileOf(relative))) names.set(name, leaf)
  }
  for (const [, list = "", relative = ""] of text.matchAll(/^export \{([^}]*)\} from "(\.[^"]+)"/gm)) {
    for (const item of list.split(",").map((word) => word.trim())) {
      if (item === "" || item.startsWith("type ")) continue
      const [name = "", shown = name] = item.split(" as ")
      names.set(shown, { file: fileOf(relative), name })
    }
  }
  return names
}

/**
 * The file behind each name under which our packages are imported.
 *
 * @param {string} root
 * @returns {Map<string, string>}
 */
const ourPackages = (root) => {
  const found = new Map()
  const folders = [...fs.readdirSync(path.join(root, "libs")).map((name) => `libs/${name}`), "native-bridge"]
  for (const folder of folders) {
    const manifest = JSON.parse(fs.readFileSync(path.join(root, folder, "package.json"), "utf8"))
    for (const [entry, file] of Object.entries(manifest.exports)) {
      found.set(path.posix.join(manifest.name, entry), path.join(root, folder, file))
    }
  }
  return found
}
