/**
 * aegis-vmm: one process, one VM. It is told on its standard input what to do (`VmmRequest`), answers `kernel` and `check` on
 * its standard output, and after `boot` is the VM: its standard output is then the guest's console and nothing else. When no
 * guest has begun, the last line of standard error says why (`VmmFailure`).
 */
import {
  CheckAnswer,
  decodeVmmRequest,
  failureExitCode,
  KernelAnswer,
  kernelVersion,
  type Libc,
  loadLibkrunfw,
  openLibc,
  VmmFailure,
  type VmmRequest,
  writeKernel
} from "@aegis/native-bridge"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import { makeInput, RequestRefused } from "./Input.ts"
import { fileAt, versionInName } from "./LoadedFile.ts"
import { boot, loadLibraries, prepare } from "./Machine.ts"

const answer =
  <A, I>(schema: Schema.Schema<A, I>) =>
  (value: A) =>
    Effect.flatMap(Effect.orDie(Schema.encode(Schema.parseJson(schema))(value)), (text) =>
      Effect.sync(() => fs.writeSync(1, `${text}\n`))
    )

const decode = (line: string): Effect.Effect<VmmRequest, RequestRefused> =>
  Effect.mapError(
    decodeVmmRequest(line),
    (error) =>
      new RequestRefused({
        reason: ParseResult.ArrayFormatter.formatErrorSync(error)
          .map((issue) => `${issue.path.join(".") || "the request"}: ${issue.message}`)
          .join("; ")
      })
  )

const check = (paths: { readonly libkrun: string; readonly libkrunfw: string }) =>
  Effect.gen(function* () {
    const { krun, libkrunfw } = yield* loadLibraries(paths)
    const version = yield* Effect.flatMap(libkrunfw.kernel, ({ bytes }) => kernelVersion(bytes))
    const krunFile = Option.getOrElse(yield* fileAt(krun.address), () => krun.path)
    const kernelFile = Option.getOrElse(yield* fileAt(libkrunfw.address), () => libkrunfw.path)
    const krunVersion = versionInName(krunFile)
    return yield* answer(CheckAnswer)({
      libkrun: { path: krunFile, ...(krunVersion === undefined ? {} : { version: krunVersion }) },
      libkrunfw: { path: kernelFile, version }
    })
  })

const writeKernelFile = (libkrunfw: string, out: string) =>
  Effect.flatMap(loadLibkrunfw(libkrunfw), (library) => writeKernel(library, out)).pipe(
    Effect.flatMap(({ path, version }) => answer(KernelAnswer)({ kernel: path, version }))
  )

/** A spare: loads everything, then waits for its VM; without one it ends quietly. */
const waitAsSpare = (libc: Libc, input: ReturnType<typeof makeInput>, paths: { libkrun: string; libkrunfw: string }) =>
  Effect.gen(function* () {
    const prepared = yield* prepare(libc, paths)
    const line = yield* input
    if (Option.isNone(line)) return
    const request = yield* decode(line.value)
    if (request.op !== "boot") {
      return yield* new RequestRefused({ reason: `"${request.op}" after "preload", where only "boot" can be` })
    }
    if (request.libkrun !== paths.libkrun || request.libkrunfw !== paths.libkrunfw) {
      return yield* new RequestRefused({ reason: "the libraries of the boot are not those that were preloaded" })
    }
    return yield* boot(prepared, request)
  })

const main = Effect.gen(function* () {
  const libc = yield* openLibc
  const input = makeInput(libc)
  const line = yield* input
  if (Option.isNone(line)) return
  const request = yield* decode(line.value)
  switch (request.op) {
    case "preload":
      return yield* waitAsSpare(libc, input, request)
    case "boot":
      return yield* Effect.flatMap(prepare(libc, request), (prepared) => boot(prepared, request))
    case "kernel":
      return yield* writeKernelFile(request.libkrunfw, request.out)
    case "check":
      return yield* check(request)
  }
})

const failureOf = (cause: Cause.Cause<{ _tag: string; message: string; remedy: string }>): VmmFailure["error"] =>
  Option.match(Cause.failureOption(cause), {
    onSome: ({ _tag, message, remedy }) => ({ _tag, message, remedy }),
    onNone: () => ({ _tag: "Defect", message: Cause.pretty(cause), remedy: "this is a bug of aegis-vmm: report it" })
  })

// Every step is synchronous: there is no event loop to come back to once libkrun has taken the process over.
const exit = Effect.runSyncExit(main)
if (Exit.isFailure(exit)) {
  fs.writeSync(2, `${Schema.encodeSync(Schema.parseJson(VmmFailure))({ error: failureOf(exit.cause) })}\n`)
  process.exit(failureExitCode)
}
process.exit(0)
