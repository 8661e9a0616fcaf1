/**
 * `aegis doctor --fix` on a machine whose apt is a script: it says what it was told, and "installs" a QEMU.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { buildProgram } from "./scripted/Program.ts"

describe("aegis doctor --fix", () => {
  const { aegis, clean, directory, newHome } = buildProgram()
  afterAll(clean)

  /** A PATH with Node and these scripts alone. */
  const machine = (name: string, scripts: Readonly<Record<string, string>>) => {
    const bin = path.join(directory, name)
    mkdirSync(bin)
    for (const [script, text] of Object.entries(scripts)) {
      writeFileSync(path.join(bin, script), `#!/bin/sh\n${text}\n`)
      chmodSync(path.join(bin, script), 0o755)
    }
    symlinkSync(process.execPath, path.join(bin, "node"))
    return { bin, env: { PATH: bin } }
  }
  const sudo = `shift; case "$1" in true) exit 0;; esac; exec "$@"`
  const apt = (bin: string) =>
    `echo "$DEBIAN_FRONTEND $*" >> ${bin}/told; echo Unpacking; printf '#!/bin/sh\\necho QEMU 9\\n' > ${bin}/qemu-system-x86_64; /bin/chmod 755 ${bin}/qemu-system-x86_64; /bin/cp ${bin}/qemu-system-x86_64 ${bin}/mmdebstrap`

  it(
    "S-054 installs what is missing, starts the daemon, and has nothing to do after that",
    { timeout: 60_000 },
    async () => {
      const home = newHome()
      const { bin, env } = machine("installs", { sudo })
      writeFileSync(path.join(bin, "apt-get"), `#!/bin/sh\n${apt(bin)}\n`)
      chmodSync(path.join(bin, "apt-get"), 0o755)
      const fixed = await aegis(["doctor", "--fix"], { home, env })
      const text = fixed.stdout.toString()
      assert.strictEqual(fixed.code, 0, fixed.stderr)
      assert.match(
        text,
        /^Fixed: {5}install qemu-system-x86, mmdebstrap\nFixed: {5}start aegisd \(pid \d+\)\n\nAegis Doctor\n/
      )
      assert.include(text, `qemu:     found at ${bin}/qemu-system-x86_64 (QEMU 9)`)
      assert.include(text, "aegisd:   running")
      const told = "noninteractive install -y --no-install-recommends qemu-system-x86 mmdebstrap\n"
      assert.strictEqual(readFileSync(path.join(bin, "told"), "utf8"), told)
      assert.include(fixed.stderr, "Installing packages")
      assert.match(
        (await aegis(["doctor", "--fix"], { home, env })).stdout.toString(),
        /^Nothing to fix\n\nAegis Doctor\n/
      )
      assert.strictEqual(readFileSync(path.join(bin, "told"), "utf8"), told)
      await aegis(["down"], { home })
    }
  )

  it("S-054 says what is left to a person where it may not install, or apt fails", { timeout: 60_000 }, async () => {
    const home = newHome()
    const refusing = machine("refuses", { "apt-get": "echo 'E: no such package' >&2; exit 100", sudo })
    const failed = await aegis(["doctor", "--fix", "--json"], { home, env: refusing.env })
    const { repairs } = JSON.parse(failed.stdout.toString())
    assert.deepStrictEqual(repairs[0], {
      what: "install qemu-system-x86, mmdebstrap: E: no such package",
      done: false,
      remedy: "sudo apt-get install qemu-system-x86 mmdebstrap"
    })
    assert.deepInclude(repairs[1], { done: true })
    const without = await aegis(["doctor", "--fix"], { home, env: machine("without", {}).env })
    assert.strictEqual(without.code, 0)
    assert.match(
      without.stdout.toString(),
      /^Not fixed: install qemu-system-x86, mmdebstrap\n {2}try: sudo apt-get install qemu-system-x86 mmdebstrap\n/
    )
    await aegis(["down"], { home })
  })

  it("S-054 without --fix nothing is changed", async () => {
    const home = newHome()
    const { bin, env } = machine("looks", { "apt-get": "echo called >> called" })
    await aegis(["doctor"], { home, env })
    assert.isFalse(existsSync(path.join(directory, "called")) || existsSync(path.join(bin, "called")))
    assert.strictEqual((await aegis(["status"], { home })).stdout.toString(), "aegisd: not running\n")
  })
})
