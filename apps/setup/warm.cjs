"use strict"
// Build time only: `node warm.cjs OUT PROGRAM ARGS…` runs a launcher as it is and, when the program exits, keeps what V8 has compiled
// by then, functions that were compiled on their first call included.
const fs = require("node:fs")
const vm = require("node:vm")

const [, , out, program, ...args] = process.argv
process.argv.splice(1, process.argv.length, program, ...args)

let script
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options)
    script = this
  }
}
process.on("exit", () => {
  if (script === undefined) return
  fs.writeFileSync(`${out}.new`, script.createCachedData())
  fs.renameSync(`${out}.new`, out)
})
require(program)
