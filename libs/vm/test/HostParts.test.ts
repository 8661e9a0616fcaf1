import { kvmDevice, productPart } from "@aegis/vm"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"

const scratch = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(tmpdir(), "aegis-parts-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

describe("what a backend needs of the machine", () => {
  it.scoped(
    "T-221 a hypervisor's device that is not there, and one that may not be opened, each have their remedy",
    () =>
      Effect.gen(function* () {
        const device = path.join(yield* scratch, "kvm")
        const missing = yield* Effect.flip(kvmDevice("libkrun", device))
        assert.deepInclude(missing, { backend: "libkrun", reason: `${device} is not there` })
        assert.match(missing.remedy, /turn virtualization on in the firmware/)
        writeFileSync(device, "", { mode: 0o600 })
        yield* kvmDevice("libkrun", device)
        // What nobody may open, root neither: something below a file.
        const refused = yield* Effect.flip(kvmDevice("qemu", path.join(device, "kvm")))
        assert.match(refused.reason, / may not be opened$/)
        assert.match(refused.remedy, /usermod -aG kvm/)
      })
  )

  it.scoped("a part of the product that is missing is named", () =>
    Effect.gen(function* () {
      const part = path.join(yield* scratch, "kernel")
      assert.deepInclude(yield* Effect.flip(productPart("qemu", part)), { reason: `${part} is missing` })
      writeFileSync(part, "")
      assert.strictEqual(yield* productPart("qemu", part), part)
    })
  )
})
