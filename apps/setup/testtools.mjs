/** Tools that only tests use and that are no part of this project's own packages: each is installed once, into the build cache. */
import * as fs from "node:fs"
import * as path from "node:path"
import { output, run } from "./children.mjs"

/** @typedef {import("./cache.mjs").Cache} Cache */

/** Its pseudorandom sequences are those of one version: the same seed is the same test. */
const FSX = "0.3.2"

/**
 * Python with schemathesis, in the versions of `schemathesis.txt`; gives its interpreter: `PYTHON -m schemathesis.cli`.
 *
 * @param {string} root
 * @param {Cache} cache
 */
export const ensureSchemathesis = async (root, cache) => {
  const list = path.join(root, "apps/setup/schemathesis.txt")
  // A virtual environment belongs to the interpreter that it was made with.
  const python = await output("python3", ["-c", "import sys; print(sys.version, sys.base_prefix)"])
  const inputs = { python, arch: process.arch, packages: fs.readFileSync(list, "utf8") }
  const { directory } = await cache.entry("schemathesis", inputs, async (made) => {
    const remedy = "it needs python3-venv, and the network once"
    await run("python3", ["-m", "venv", made], { remedy })
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement", list]
    await run(path.join(made, "bin/python"), pip, { remedy, timeoutMs: 10 * 60_000 })
  })
  return path.join(directory, "bin/python")
}

/**
 * The suites of others for MCP servers, as `mcp-suites/package-lock.json` has them, and the Node that they need; gives their folder.
 *
 * @param {string} root
 * @param {Cache} cache
 */
export const ensureMcpSuites = async (root, cache) => {
  const own = path.join(root, "apps/setup/mcp-suites")
  const files = ["package.json", "package-lock.json"]
  const locked = files.map((name) => fs.readFileSync(path.join(own, name), "utf8")).join("\n")
  const inputs = { locked, arch: process.arch, version: "1" }
  const { directory } = await cache.entry("mcp-suites", inputs, async (made) => {
    for (const name of files) fs.copyFileSync(path.join(own, name), path.join(made, name))
    await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], {
      cwd: made,
      remedy: "it needs the network once",
      timeoutMs: 10 * 60_000
    })
    // The Inspector's command line asks for the version of the package that it lies in, which is not installed: it is all of its window.
    const manifest = { name: "@modelcontextprotocol/inspector", version: "0.17.5" }
    fs.writeFileSync(path.join(made, "node_modules/@modelcontextprotocol/package.json"), JSON.stringify(manifest))
  })
  const modules = path.join(directory, "node_modules")
  return {
    node: path.join(modules, `node-linux-${process.arch}/bin/node`),
    conformance: path.join(modules, "@modelcontextprotocol/conformance/dist/index.js"),
    inspector: path.join(modules, "@modelcontextprotocol/inspector-cli/build/index.js")
  }
}

/**
 * fsx, the file system exerciser of that crate, as a static program that runs in any guest; gives its path.
 *
 * @param {Cache} cache
 */
export const ensureFsx = async (cache) => {
  const compiler = await output("rustc", ["-vV"])
  const [, host = ""] = /^host: (\S+)$/m.exec(compiler) ?? []
  const { directory } = await cache.entry("fsx", { version: FSX, compiler }, async (made) => {
    const install = path.join(made, "install")
    // The target is named so that the flags are its own: the compiler loads macros as shared libraries, which no static one is.
    const words = ["install", "--quiet", "--locked", "--version", `=${FSX}`, "--target", host, "--root", install, "fsx"]
    await run("cargo", words, {
      env: { RUSTFLAGS: "-C target-feature=+crt-static", CARGO_TARGET_DIR: path.join(made, "target") },
      remedy: "it needs the network once",
      timeoutMs: 10 * 60_000
    })
    fs.copyFileSync(path.join(install, "bin/fsx"), path.join(made, "fsx"))
    for (const name of ["install", "target"]) fs.rmSync(path.join(made, name), { recursive: true })
  })
  return path.join(directory, "fsx")
}

/**
 * Debian with git and fio, as an archive for a guest's root and unpacked for this machine, so that both sides of a comparison have the
 * same programs; gives its folder, with `root.tar` and `root`.
 *
 * @param {Cache} cache
 */
export const ensureFileTools = async (cache) => {
  const inputs = { suite: "bookworm", packages: "git,fio", arch: process.arch, version: "1" }
  const { directory } = await cache.entry("file-tools", inputs, async (made) => {
    const [archive, root] = [path.join(made, "root.tar"), path.join(made, "root")]
    const options = [
      "--variant=essential",
      "--format=tar",
      `--include=${inputs.packages}`,
      '--aptopt=Apt::Install-Recommends "false"'
    ]
    const hook = '--customize-hook=mkdir -p "$1/workspace"'
    const lean = ["doc", "man", "locale"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`)
    await run("mmdebstrap", ["--quiet", ...options, ...lean, hook, inputs.suite, archive], {
      env: { LC_ALL: "C" },
      remedy: "it needs Debian's mirror once",
      timeoutMs: 10 * 60_000
    })
    fs.mkdirSync(root)
    await run("tar", ["-C", root, "--no-same-owner", "--exclude=./dev/*", "-xf", archive])
  })
  return directory
}
