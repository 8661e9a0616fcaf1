import { defineConfig } from "vitest/config"

const folders = ["libs/*/test", "apps/*/test", "native-bridge/test", "test"]

const named = (ending: string) => folders.map((folder) => `${folder}/**/*${ending}`)

/** Tests that boot machines: they come after the others and take their time. `npm test` adds `--no-file-parallelism` for them. */
const machines = [...named(".vm.test.ts"), ...named(".testbed.test.ts")]

export default defineConfig({
  test: {
    teardownTimeout: 30_000,
    projects: [
      {
        test: {
          name: "unit",
          include: named(".test.ts"),
          exclude: ["**/node_modules/**", ...machines],
          sequence: { groupOrder: 0 },
          testTimeout: 20_000
        }
      },
      {
        test: {
          name: "vm",
          include: machines,
          sequence: { groupOrder: 1 },
          testTimeout: 180_000,
          hookTimeout: 240_000
        }
      }
    ]
  }
})
