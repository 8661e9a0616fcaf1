/**
 * Who called, from where, and which copy of the program.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { realpathSync } from "node:fs"
import * as path from "node:path"

export class Caller extends Context.Tag("@aegis/app-aegis/Caller")<
  Caller,
  {
    readonly env: Readonly<Record<string, string>>
    /** Undefined where the working directory has been removed. */
    readonly cwd: string | undefined
    /** The folder in which this program really lies, whatever links led to it: `aegisd` is beside it (S-030). */
    readonly product: string
  }
>() {
  static readonly layer = Layer.sync(this, () =>
    Caller.of({
      env: Object.fromEntries(
        Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
      ),
      cwd: workingDirectory(),
      product: path.dirname(realPath(process.argv[1] ?? process.execPath))
    })
  )
}

const workingDirectory = () => {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
}

const realPath = (file: string) => {
  try {
    return realpathSync(file)
  } catch {
    return file
  }
}

/** Variables that a daemon needs of its starter; nothing else of a user's shell reaches it. */
const daemonVariables = ["PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR"]

/** What a program that downloads needs in addition. */
const proxyVariables = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]

const only = (env: Readonly<Record<string, string>>, names: ReadonlyArray<string>) =>
  Object.fromEntries(Object.entries(env).filter(([name]) => names.includes(name) || name.startsWith("AEGIS_")))

export const daemonEnvironment = (env: Readonly<Record<string, string>>): Record<string, string> =>
  only(env, daemonVariables)

export const downloadEnvironment = (env: Readonly<Record<string, string>>): Record<string, string> =>
  only(env, [...daemonVariables, ...proxyVariables])
