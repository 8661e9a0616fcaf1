import { defineConfig } from "vitest/config"

const folders = ["libs/*/test", "apps/*/test", "native-bridge/test", "test"]

const named = (ending: string) => folders.map((folder) => `${folder}/**/*${ending}`)

/** Tests that boot machines come after the others: first those that boot guests, then those that boot a whole host with guests in it. */
const guests = named(".vm.test.ts")
const hosts = named(".testbed.test.ts")

/** Those of the first that look at no times: they go beside the emulated host, which leaves one processor to them. */
const early = [
  "BugReport",
  "Client",
  "HarnessFile",
  "Images",
  "Mcp",
  "McpSession",
  "OriginalReference",
  "Reference",
  "Secrets"
].map((name) => `test/cli/${name}.vm.test.ts`)

const withGuests = { globalSetup: "test/product/prepare.ts", testTimeout: 180_000, hookTimeout: 240_000 }

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
        test: { name: "vm-early", include: early, sequence: { groupOrder: 1 }, ...withGuests }
      },
      {
        test: {
          name: "vm",
          include: guests,
          exclude: ["**/node_modules/**", ...early],
          sequence: { groupOrder: 2 },
          ...withGuests
        }
      },
      {
        test: {
          name: "testbed",
          include: hosts,
          sequence: { groupOrder: 3 },
          testTimeout: 180_000,
          hookTimeout: 240_000
        }
      }
    ]
  }
})
