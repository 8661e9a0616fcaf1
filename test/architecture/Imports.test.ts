import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

/** The ranks of docs/ARCHITECTURE.md: a package imports only packages of a lower rank. */
const ranks: Readonly<Record<string, number>> = {
  domain: 0,
  contract: 1,
  host: 1,
  "native-bridge": 1,
  client: 2,
  images: 2,
  journal: 2,
  logs: 2,
  vault: 2,
  workspaces: 2,
  guest: 2,
  vm: 3,
  router: 4,
  "vm-libkrun": 4,
  "vm-qemu": 4,
  instances: 5,
  runtime: 6,
  "app-aegis": 9,
  "app-aegisd": 9,
  "app-aegis-vmm": 9,
  "app-aegis-mcp": 9
}

const adapters = ["vm-libkrun", "vm-qemu"]
const thinApps = ["app-aegis", "app-aegis-mcp"]
const thinImports = ["domain", "contract", "client"]

const folders = (parent: string) => readdirSync(path.join(root, parent)).map((name) => path.join(root, parent, name))

const packages = [...folders("libs"), ...folders("apps"), path.join(root, "native-bridge")]
  .filter((directory) => existsSync(path.join(directory, "package.json")))
  .map((directory) => {
    const manifest = JSON.parse(readFileSync(path.join(directory, "package.json"), "utf8"))
    const name = String(manifest.name).replace("@aegis/", "")
    const sources = path.join(directory, "src")
    const files = readdirSync(sources, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => path.join(sources, file))
    return { name, files, dependencies: Object.keys(manifest.dependencies ?? {}) }
  })

const imports = (file: string) =>
  [
    ...readFileSync(file, "utf8").matchAll(
      /^(?:import|export|\})[^\n]*\bfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm
    )
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? "")

const ours = (file: string) =>
  imports(file)
    .filter((specifier) => specifier.startsWith("@aegis/"))
    .map((specifier) => specifier.split("/")[1] ?? "")

const offences = (find: (pkg: (typeof packages)[number], file: string) => ReadonlyArray<string>) =>
  packages.flatMap((pkg) =>
    pkg.files.flatMap((file) => find(pkg, file).map((what) => `${path.relative(root, file)}: ${what}`))
  )

describe("the house stands", () => {
  it("every package has a rank and source files", () => {
    assert.isAbove(packages.length, 10)
    for (const { files, name } of packages) {
      assert.property(ranks, name)
      assert.isAbove(files.length, 0, `${name} has no source`)
    }
  })

  it("imports point downwards only", () => {
    const found = offences(({ name }, file) =>
      ours(file)
        .filter((imported) => !((ranks[imported] ?? Infinity) < (ranks[name] ?? -1)))
        .map((imported) => `${name} imports ${imported}`)
    )
    assert.deepStrictEqual(found, [])
  })

  it("only the runtime names a backend", () => {
    const found = offences(({ name }, file) =>
      name === "runtime" || adapters.includes(name) ? [] : ours(file).filter((imported) => adapters.includes(imported))
    )
    assert.deepStrictEqual(found, [])
  })

  it("the CLI and the client drag in no runtime", () => {
    const found = offences(({ name }, file) => {
      if (thinApps.includes(name)) return ours(file).filter((imported) => !thinImports.includes(imported))
      if (name === "client") return ours(file).filter((imported) => !["domain", "contract"].includes(imported))
      return []
    })
    assert.deepStrictEqual(found, [])
  })

  it("what is imported is declared", () => {
    const found = offences(({ dependencies }, file) =>
      imports(file)
        .filter((specifier) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
        .map((specifier) =>
          specifier
            .split("/")
            .slice(0, specifier.startsWith("@") ? 2 : 1)
            .join("/")
        )
        .filter((name) => !dependencies.includes(name))
    )
    assert.deepStrictEqual([...new Set(found)], [])
  })

  it("platform packages come by submodule, never by their barrel", () => {
    const found = offences((_, file) =>
      imports(file).filter((specifier) => /^@effect\/platform(-node|-node-shared)?$/.test(specifier))
    )
    assert.deepStrictEqual(found, [])
  })

  it("a file fits on a few screens: at most 300 lines", () => {
    const found = offences((_, file) => {
      const lines = readFileSync(file, "utf8").split("\n").length
      return lines > 301 ? [`${lines} lines`] : []
    })
    assert.deepStrictEqual(found, [])
  })

  it("no file is a drawer: utils, common, helpers, types, manager", () => {
    const found = offences((_, file) =>
      /^(utils?|common|helpers?|types|.*manager)\.ts$/i.test(path.basename(file)) ? ["its name"] : []
    )
    assert.deepStrictEqual(found, [])
  })

  it("there is one copy of effect", () => {
    const copies = readdirSync(path.join(root, "node_modules"), { recursive: true, encoding: "utf8" }).filter((file) =>
      /(^|\/)node_modules\/effect\/package\.json$|^effect\/package\.json$/.test(file)
    )
    assert.deepStrictEqual(copies, ["effect/package.json"])
  })
})
