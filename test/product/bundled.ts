/** A test's own program as one file, for where TypeScript and the packages are not. */
import { buildSync } from "esbuild"

export const bundled = (entry: string, outfile: string): void => {
  buildSync({
    entryPoints: [entry],
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    external: ["koffi", "msgpackr-extract"],
    outfile
  })
}
