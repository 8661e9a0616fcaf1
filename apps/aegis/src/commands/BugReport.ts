/**
 * `aegis bug-report`: one file to send with a report, with nothing secret in it.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as FileSystem from "@effect/platform/FileSystem"
import { AegisHome } from "@aegis/client"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { isAbsolute, join } from "node:path"
import { gzipSync } from "node:zlib"
import { bugReport } from "../BugReport.ts"
import { Caller } from "../Caller.ts"
import { HostFailed } from "../Errors.ts"
import { escapeLine } from "../Escape.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { tar } from "../Tar.ts"
import { textArgument } from "../Verbatim.ts"

export const bugReportCommand = Command.make("bug-report", { file: Args.optional(textArgument("FILE")) }, ({ file }) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const stdio = yield* Stdio
    const { cwd } = yield* Caller
    const now = yield* DateTime.now
    const day = DateTime.formatIso(now).replaceAll(/[-:]|\.\d+/g, "")
    const name = Option.getOrElse(file, () => `aegis-bug-report-${day}.tar.gz`)
    const target = isAbsolute(name) ? name : join(cwd ?? "/", name)
    const files = yield* bugReport
    const bytes = gzipSync(yield* Effect.promise(() => tar(files, DateTime.toDate(now))))
    // Never over a file that is there.
    yield* fs
      .writeFile(target, bytes, { flag: "wx", mode: 0o600 })
      .pipe(
        Effect.mapError(
          ({ message }) => new HostFailed({ message, remedy: "name another file: aegis bug-report FILE" })
        )
      )
    yield* stdio.print(
      `Written: ${escapeLine(target)}\nIt holds no commands, values of variables, secrets or output of guests. To look at it: tar -xzf FILE\n`
    )
  }).pipe(Effect.provide(AegisHome.layer), untilSignal)
)
