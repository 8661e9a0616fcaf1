/**
 * The home directory that a client talks to: `AEGIS_HOME`, or `~/.aegis`.
 */
import { daemonPidFile, daemonSocket, InvalidArgument } from "@aegis/domain"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as path from "node:path"

const optional = (name: string) => Config.option(Config.nonEmptyString(name))

export class AegisHome extends Context.Tag("@aegis/client/AegisHome")<
  AegisHome,
  { readonly path: string; readonly socket: string; readonly pidFile: string }
>() {
  /** From the environment; fails when neither variable names an absolute path (T-15). */
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const [aegisHome, home, runtimeDir] = yield* Effect.orDie(
        Config.all([optional("AEGIS_HOME"), optional("HOME"), optional("XDG_RUNTIME_DIR")])
      )
      const directory = Option.orElse(aegisHome, () => Option.map(home, (own) => `${own}/.aegis`))
      if (Option.isNone(directory) || !directory.value.startsWith("/")) {
        return yield* new InvalidArgument({
          argument: Option.isSome(aegisHome) ? "AEGIS_HOME" : "HOME",
          reason: Option.match(directory, {
            onNone: () => "is not set",
            onSome: (text) => `"${text}" is not an absolute path`
          }),
          remedy: "set HOME or AEGIS_HOME to an absolute path"
        })
      }
      return AegisHome.of(found(directory.value, runtimeDir))
    })
  )

  /** This directory, an absolute path, whatever the environment says. */
  static readonly layerAt = (home: string) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        if (!path.isAbsolute(home)) {
          return yield* new InvalidArgument({
            argument: "home",
            reason: `"${home}" is not an absolute path`,
            remedy: "give the home directory as an absolute path"
          })
        }
        return AegisHome.of(found(path.resolve(home), yield* Effect.orDie(optional("XDG_RUNTIME_DIR"))))
      })
    )
}

const found = (home: string, runtimeDir: Option.Option<string>) => ({
  path: home,
  socket: daemonSocket(home, { uid: process.getuid?.() ?? 0, runtimeDir: Option.getOrUndefined(runtimeDir) }),
  pidFile: daemonPidFile(home)
})
