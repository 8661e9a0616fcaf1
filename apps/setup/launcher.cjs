#!/usr/bin/env node
"use strict"
// The launcher of aegis, aegisd, aegis-vmm and aegis-mcp: runs lib/<this file's name>.cjs with V8's code cache of it, which saves compiling it
// at every start. A cache that is missing or of another V8 costs time and nothing else.
if (Number.parseInt(process.versions.node, 10) < 20) {
  process.stderr.write(`error: Node.js 20 or newer is needed, this is ${process.version}\n`)
  process.exit(1)
}
const fs = require("node:fs")
const Module = require("node:module")
const path = require("node:path")
const vm = require("node:vm")

// Also when called through a symlink that stands on PATH: the programs find each other beside the real file.
const program = fs.realpathSync(__filename)
const directory = path.join(path.dirname(program), "lib")
const bundle = path.join(directory, `${path.basename(program)}.cjs`)
process.argv[1] = program

let cachedData
try {
  cachedData = fs.readFileSync(`${bundle}.cache`)
} catch {}
// The bundle is ASCII, which one byte per character reads faster than UTF-8.
const script = new vm.Script(Module.wrap(fs.readFileSync(bundle, "latin1")), {
  filename: bundle,
  cachedData,
  importModuleDynamically: vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER ?? ((specifier) => import(specifier))
})
const instance = { exports: {}, id: bundle, filename: bundle, loaded: false, children: [], paths: [] }
script
  .runInThisContext()
  .call(instance.exports, instance.exports, Module.createRequire(bundle), instance, bundle, directory)
