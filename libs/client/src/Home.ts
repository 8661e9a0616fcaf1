/**
 * The home directory that a client talks to: `AEGIS_HOME`, or `~/.aegis`.
 */
import { daemonPidFile, daemonSocket, InvalidArgument } from "@aegis/domain"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

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
      const path = Option.orElse(aegisHome, () => Option.map(home, (directory) => `${directory}/.aegis`))
      if (Option.isNone(path) || !path.value.startsWith("/")) {
        return yield* new InvalidArgument({
          argument: Option.isSome(aegisHome) ? "AEGIS_HOME" : "HOME",
          reason: Option.match(path, {
            onNone: () => "is not set",
            onSome: (text) => `"${text}" is not an absolute path`
          }),
          remedy: "set HOME or AEGIS_HOME to an absolute path"
        })
      }
      const place = { uid: process.getuid?.() ?? 0, runtimeDir: Option.getOrUndefined(runtimeDir) }
      return AegisHome.of({
        path: path.value,
        socket: daemonSocket(path.value, place),
        pidFile: daemonPidFile(path.value)
      })
    })
  )
}
