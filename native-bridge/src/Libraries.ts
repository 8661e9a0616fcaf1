/**
 * Where libkrun and libkrunfw are: the variable, then the product's own copy, then the loader's path.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { existsSync } from "node:fs"
import * as path from "node:path"
import { LibraryUnusable } from "./Failures.ts"

type Library = "libkrun" | "libkrunfw"

/** One library and how it was found. `path` is absolute, or a bare file name for the loader to search (`loader`). */
export interface LibraryLocation {
  readonly library: Library
  readonly path: string
  readonly source: "variable" | "product" | "loader"
}

export interface Libraries {
  readonly libkrun: LibraryLocation
  readonly libkrunfw: LibraryLocation
}

/** `AEGIS_LIBKRUN` and `AEGIS_LIBKRUNFW`, each an absolute path when set. */
export const libraryOverrides = Config.all({
  libkrun: Config.option(Config.string("AEGIS_LIBKRUN")),
  libkrunfw: Config.option(Config.string("AEGIS_LIBKRUNFW"))
})

const variables = { libkrun: "AEGIS_LIBKRUN", libkrunfw: "AEGIS_LIBKRUNFW" } as const

/** File names as the product carries them, and as the loader knows them by the ABI's number. */
const fileNames =
  process.platform === "darwin"
    ? ({
        libkrun: { product: "libkrun.dylib", loader: "libkrun.1.dylib" },
        libkrunfw: { product: "libkrunfw.5.dylib", loader: "libkrunfw.5.dylib" }
      } as const)
    : ({
        libkrun: { product: "libkrun.so", loader: "libkrun.so.1" },
        libkrunfw: { product: "libkrunfw.so.5", loader: "libkrunfw.so.5" }
      } as const)

/** The name by which libkrun itself asks the loader for its kernel. */
export const libkrunfwSoname = fileNames.libkrunfw.loader

/**
 * Finds both libraries without loading them; only `check` or a boot tells whether they work. A variable that is set decides:
 * when its file is missing that is an error, never a reason to take another library (T-220).
 *
 * @param options.productDir the folder whose `lib` holds the product's own copies
 */
export const locateLibraries = (options: {
  readonly overrides: Readonly<Record<Library, Option.Option<string>>>
  readonly productDir: string
}): Effect.Effect<Libraries, LibraryUnusable> => {
  const locate = (library: Library) =>
    Option.match(options.overrides[library], {
      onSome: (value) => fromVariable(library, value),
      onNone: () => Effect.sync(() => fromProductOrLoader(library, options.productDir))
    })
  return Effect.all({ libkrun: locate("libkrun"), libkrunfw: locate("libkrunfw") })
}

const fromVariable = (library: Library, value: string): Effect.Effect<LibraryLocation, LibraryUnusable> => {
  const refuse = (reason: string) =>
    new LibraryUnusable({
      library,
      path: value,
      reason,
      remedy: `set ${variables[library]} to the absolute path of ${fileNames[library].loader}, or unset it`
    })
  // An empty or relative name would be searched for by the loader, in places nobody meant.
  if (!path.isAbsolute(value)) return refuse(`${variables[library]} is not an absolute path`)
  return Effect.suspend(() =>
    existsSync(value)
      ? Effect.succeed({ library, path: value, source: "variable" as const })
      : refuse(`${variables[library]} names a file that does not exist`)
  )
}

const fromProductOrLoader = (library: Library, productDir: string): LibraryLocation => {
  const own = path.join(productDir, "lib", fileNames[library].product)
  return existsSync(own)
    ? { library, path: own, source: "product" }
    : { library, path: fileNames[library].loader, source: "loader" }
}
