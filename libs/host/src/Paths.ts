/**
 * Where everything of one home lives. Nothing else in the product joins these paths.
 */
import { daemonPidFile, daemonSocket, InvalidArgument, shortDirectory } from "@aegis/domain"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import * as path from "node:path"

/** The longest name of a socket in a run directory, with its slash. */
const socketNameBytes = 20

export class AegisPaths extends Context.Tag("@aegis/host/AegisPaths")<
  AegisPaths,
  {
    /** `AEGIS_HOME`, or `~/.aegis`. */
    readonly home: string
    readonly data: string
    readonly socket: string
    readonly pidFile: string
    readonly lockFile: string
    readonly baseRootfs: string
    readonly workspaces: string
    /** The journal's database. */
    readonly journal: string
    /** The key that secrets are encrypted with. */
    readonly masterKey: string
    /** The secrets, encrypted. */
    readonly vault: string
    /** One directory per instance. */
    readonly logs: string
    /** An OCI image layout. */
    readonly images: string
    /** The root disks made of images. */
    readonly disks: string
    readonly kernels: string
    /** The parent of all run directories: what is in it belongs to VMs. */
    readonly run: string
    /** A VM's directory for sockets: any id's fits into a socket address (contract D-13). */
    readonly runDir: (id: string) => string
    /** The product's own folder, `dist/`: programs, libraries and the guest's files side by side. */
    readonly product: string
  }
>() {
  /** @param product the folder that holds the running program's bundle and everything beside it. */
  static readonly layer = (product: string) => Layer.effect(this, make(product))
}

const optional = (name: string) => Config.option(Config.nonEmptyString(name))

const make = (product: string) =>
  Effect.gen(function* () {
    const [aegisHome, userHome, runtimeDir] = yield* Effect.orDie(
      Config.all([optional("AEGIS_HOME"), optional("HOME"), optional("XDG_RUNTIME_DIR")])
    )
    const home = Option.orElse(aegisHome, () => Option.map(userHome, (directory) => `${directory}/.aegis`))
    if (Option.isNone(home) || !path.isAbsolute(home.value)) {
      return yield* new InvalidArgument({
        argument: Option.isSome(aegisHome) ? "AEGIS_HOME" : "HOME",
        reason: Option.match(home, {
          onNone: () => "is not set",
          onSome: (text) => `"${text}" is not an absolute path`
        }),
        remedy: "set HOME or AEGIS_HOME to an absolute path"
      })
    }
    const place = { uid: process.getuid?.() ?? 0, runtimeDir: Option.getOrUndefined(runtimeDir) }
    const data = `${home.value}/data`
    const long = `${data}/run`
    // Eight hex digits of the id name the directory; where even that is too long for a socket, it moves to a short place.
    const fits = Buffer.byteLength(long) + 1 + 8 + socketNameBytes <= 100
    const run = fits ? long : `${shortDirectory(place)}/${shorten(long)}`
    return AegisPaths.of({
      home: home.value,
      data,
      socket: daemonSocket(home.value, place),
      pidFile: daemonPidFile(home.value),
      lockFile: `${data}/aegisd.lock`,
      baseRootfs: `${home.value}/base-rootfs`,
      workspaces: `${data}/workspaces`,
      journal: `${data}/aegis.db`,
      masterKey: `${home.value}/master.key`,
      vault: `${data}/vault.json`,
      logs: `${data}/logs`,
      images: `${data}/images`,
      disks: `${data}/disks`,
      kernels: `${data}/kernels`,
      run,
      runDir: (id) => `${run}/${shorten(id)}`,
      product
    })
  })

const shorten = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 8)
