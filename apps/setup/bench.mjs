/** `npm run bench`: the benchmarks, one after another, because two at once would measure each other. */
import * as fs from "node:fs"
import * as path from "node:path"
import { exitCode, SetupError } from "./children.mjs"

/**
 * Runs bench/*.bench.mjs and *.bench.ts whose names hold one of `patterns`; returns 1 if one of them failed.
 *
 * @param {string} root
 * @param {ReadonlyArray<string>} patterns
 */
export const bench = async (root, patterns) => {
  const directory = path.join(root, "bench")
  const files = (fs.existsSync(directory) ? fs.readdirSync(directory) : [])
    .filter((name) => /\.bench\.(mjs|ts)$/.test(name))
    .filter((name) => patterns.length === 0 || patterns.some((pattern) => name.includes(pattern)))
    .toSorted()
  if (files.length === 0) throw new SetupError(`there is no benchmark ${patterns.join(" or ")} in ${directory}`)
  let worst = 0
  for (const file of files) {
    process.stdout.write(`\n== ${file}\n`)
    const tsx = path.join(root, "node_modules/tsx/dist/cli.mjs")
    const code = await exitCode(process.execPath, [tsx, path.join(directory, file)], { cwd: root, inherit: true })
    if (code !== 0) process.stdout.write(`${file} failed with exit code ${code}\n`)
    worst = Math.max(worst, code === 0 ? 0 : 1)
  }
  return worst
}
