import * as path from "node:path"
import { pathToFileURL } from "node:url"

/** The setup program's folder. It is plain JavaScript, outside of this project's type check: each test says what it uses of it. */
export const setupFolder = path.resolve(import.meta.dirname, "../../apps/setup")

/** A module of the setup program, with the shape that the caller names. */
export const setupModule = async <Shape>(name: string): Promise<Shape> => {
  // The cast is the only way: a module's exports are functions, which no schema can check.
  const loaded: Shape = await import(pathToFileURL(path.join(setupFolder, name)).href)
  return loaded
}
