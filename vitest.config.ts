import { defineConfig } from "vitest/config"

const folders = ["libs/*/test", "apps/*/test", "native-bridge/test", "test"]

const named = (ending: string) => folders.map((folder) => `${folder}/**/*${ending}`)

/** Tests that boot machines come after the others: first those that boot guests, then those that boot a whole host with guests in it. */
const guests = named(".vm.test.ts")
const hosts = named(".testbed.test.ts")

export default defineConfig({
  test: {
    teardownTimeout: 30_000,
    projects: [
      {
        test: {
          name: "unit",
          include: named(".test.ts"),
          exclude: ["**/node_modules/**", ...guests, ...hosts],
          sequence: { groupOrder: 0 },
          testTimeout: 20_000
        }
      },
      {
        test: {
          name: "vm",
          include: guests,
          globalSetup: "test/product/prepare.ts",
          sequence: { groupOrder: 1 },
          testTimeout: 180_000,
          hookTimeout: 240_000
        }
      },
      {
        test: {
          name: "testbed",
          include: hosts,
          sequence: { groupOrder: 2 },
          testTimeout: 180_000,
          hookTimeout: 240_000
        }
      }
    ]
  }
})
