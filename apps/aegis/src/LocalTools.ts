/**
 * What a machine has of the programs and libraries that guests are built and run with. Files are looked for and versions asked
 * of the programs themselves; nothing is taken for granted.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ask } from "./ChildProgram.ts"
import { Caller } from "./Caller.ts"

export interface Finding {
  readonly name: string
  readonly found: boolean
  readonly path: string | undefined
  /** What is shown behind the name. */
  readonly text: string
  /** Debian's package that has it. */
  readonly debian?: string
}

type Needs = Caller | FileSystem.FileSystem

/** Administrators' programs, which a user's PATH often lacks. */
const systemDirectories = ["/usr/local/sbin", "/usr/sbin", "/sbin"]

const libraryDirectories = [
  "/usr/local/lib64",
  "/usr/local/lib",
  "/usr/lib64",
  "/usr/lib",
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/lib64",
  "/lib",
  "/opt/homebrew/lib"
]

const firstExisting = (paths: ReadonlyArray<string>) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.findFirst(paths, (path) =>
      fs.stat(path).pipe(
        Effect.map(({ type }) => type === "File"),
        Effect.orElseSucceed(() => false)
      )
    )
  )

/** A program that these paths name, or else PATH. */
export const programNamed = (name: string, first: ReadonlyArray<string> = []) =>
  Effect.flatMap(Caller, ({ env }) =>
    firstExisting([...first, ...split(env["PATH"]).map((directory) => `${directory}/${name}`)])
  )

const split = (list: string | undefined) => (list ?? "").split(":").filter((directory) => directory.startsWith("/"))

const program = (names: ReadonlyArray<string>, before: ReadonlyArray<string> = [], after: ReadonlyArray<string> = []) =>
  Effect.flatMap(Caller, ({ env, product }) => {
    const directories = [...split(env["PATH"]), ...systemDirectories]
    return firstExisting([
      ...before.map((file) => `${product}/${file}`),
      ...directories.flatMap((directory) => names.map((name) => `${directory}/${name}`)),
      ...after
    ])
  })

/** In the order in which the daemon looks: what the variable names, the product's own copy, the loader's directories. */
const library = (variable: string, stem: string) =>
  Effect.gen(function* () {
    const { env, product } = yield* Caller
    const named = env[variable]
    if (named !== undefined && named !== "") return yield* firstExisting([named])
    const fs = yield* FileSystem.FileSystem
    const directories = [`${product}/lib`, ...split(env["LD_LIBRARY_PATH"]), ...libraryDirectories]
    const found = yield* Effect.forEach(directories, (directory) =>
      fs.readDirectory(directory).pipe(
        Effect.map((files) =>
          files
            .filter((file) => file === `${stem}.dylib` || file === `${stem}.so` || file.startsWith(`${stem}.so.`))
            .sort()
            .map((file) => `${directory}/${file}`)
        ),
        Effect.orElseSucceed((): Array<string> => [])
      )
    )
    return yield* firstExisting(found.flat())
  })

const finding = (
  name: string,
  path: Option.Option<string>,
  present: (path: string) => string,
  absent: string
): Finding => ({
  name,
  found: Option.isSome(path),
  path: Option.getOrUndefined(path),
  text: Option.match(path, { onNone: () => absent, onSome: present })
})

/** A program whose version matters, asked for it. */
const withVersion = (name: string, path: Option.Option<string>, args: ReadonlyArray<string>, absent: string) =>
  Effect.gen(function* () {
    if (Option.isNone(path)) return finding(name, path, String, absent)
    const answer = yield* ask(path.value, args)
    return Option.match(answer, {
      onNone: (): Finding => ({
        name,
        found: false,
        path: path.value,
        text: `${path.value} is there and cannot be run`
      }),
      onSome: (text): Finding => ({
        name,
        found: true,
        path: path.value,
        text: `${path.value} (${text.split("\n")[0] ?? ""})`
      })
    })
  })

const qemuNames = process.arch === "arm64" ? ["qemu-system-aarch64"] : ["qemu-system-x86_64"]

const inPackage = (debian: string) =>
  Effect.map(({ text, ...rest }: Finding): Finding => ({
    ...rest,
    debian,
    text: rest.found ? text : `${text} (install via: apt install ${debian})`
  }))

/** Go, krunvm, libkrun and e2fsprogs first (S-049 to S-052), then what else a guest needs. */
export const localTools: Effect.Effect<ReadonlyArray<Finding>, never, Needs> = Effect.all(
  [
    program(["go"], [], ["/usr/local/go/bin/go", "/opt/homebrew/bin/go"]).pipe(
      Effect.flatMap((path) => withVersion("Go", path, ["version"], "not found (only needed to build AegisVM)")),
      Effect.map((go) => (go.found ? { ...go, text: `installed: ${go.text}` } : go))
    ),
    Effect.map(program(["krunvm"]), (path) =>
      finding("krunvm", path, () => "found (libkrun CLI available)", "not found (optional, not used)")
    ),
    Effect.map(library("AEGIS_LIBKRUN", "libkrun"), (path) =>
      finding("libkrun", path, (file) => `found at ${file}`, "not found (install via: npm run build)")
    ),
    Effect.map(program(["mkfs.ext4"], [], ["/opt/homebrew/opt/e2fsprogs/sbin/mkfs.ext4"]), (path) =>
      finding("e2fsprogs", path, () => "found", "not found")
    ).pipe(inPackage("e2fsprogs")),
    Effect.map(library("AEGIS_LIBKRUNFW", "libkrunfw"), (path) =>
      finding("libkrunfw", path, (file) => `found at ${file}`, "not found (install via: npm run build)")
    ),
    program(qemuNames).pipe(
      Effect.flatMap((path) => withVersion("qemu", path, ["--version"], "not found")),
      Effect.map((qemu) => (qemu.found ? { ...qemu, text: `found at ${qemu.text}` } : qemu)),
      inPackage(process.arch === "arm64" ? "qemu-system-arm" : "qemu-system-x86")
    ),
    Effect.map(program(["mmdebstrap"]), (path) =>
      finding("mmdebstrap", path, (file) => `found at ${file}`, "not found")
    ).pipe(inPackage("mmdebstrap")),
    Effect.map(program(["virtiofsd"], ["virtiofsd"], ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"]), (path) =>
      finding("virtiofsd", path, (file) => `found at ${file}`, "not found (install via: npm run build)")
    )
  ],
  { concurrency: "unbounded" }
)
