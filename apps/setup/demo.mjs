/** `npm run demo`: a real guest says hello. stdout gets what the guest says; everything else goes to stderr. */
import * as path from "node:path"
import { exitCode, SetupError } from "./children.mjs"

/**
 * Starts the daemon, runs a command in a guest, and stops the daemon again if it was not running before.
 *
 * @param {string} root
 * @param {import("./progress.mjs").Progress} progress
 */
export const demo = async (root, progress) => {
  const aegis = path.join(root, "dist/aegis")
  /** Runs aegis with its stdout on our stderr, and returns its exit code and what it said. */
  const aside = async (/** @type {ReadonlyArray<string>} */ args) => {
    progress.note(`$ aegis ${args.join(" ")}`)
    let said = ""
    const code = await exitCode(aegis, args, {
      // The disk may still be busy with what the build has written.
      env: { AEGIS_UP_TIMEOUT: process.env["AEGIS_UP_TIMEOUT"] ?? "60" },
      foreground: true,
      inherit: true,
      onStdout: (chunk) => {
        said += chunk.toString("utf8")
        process.stderr.write(chunk)
      }
    })
    return { code, said }
  }
  const up = await aside(["up"])
  if (up.code !== 0) throw new SetupError(`aegis up failed with exit code ${up.code}`, "npm run aegis -- doctor")
  try {
    progress.note(`$ aegis run -- echo "hello from aegis"`)
    const code = await exitCode(aegis, ["run", "--", "echo", "hello from aegis"], { foreground: true, inherit: true })
    if (code !== 0) throw new SetupError(`aegis run failed with exit code ${code}`, "npm run aegis -- doctor")
  } finally {
    // Without a word: the last thing on the terminal is what the guest said.
    if (!/already running/.test(up.said)) await exitCode(aegis, ["down"], { onOutput: () => undefined })
  }
}
