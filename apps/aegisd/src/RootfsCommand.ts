/**
 * `aegisd rootfs ensure`: the work of `aegis up` before there is a daemon, in a process of its own. Progress as JSON lines on
 * stdout; a failure is one line `{"error": …}` and exit 1.
 */
import { AegisPaths, Directories } from "@aegis/host"
import { BaseRootfs, images } from "@aegis/images"
import * as Effect from "effect/Effect"

export const ensureRootfs = (words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    if (words.join(" ") !== "rootfs ensure") return yield* refuse(`unknown command: ${words.join(" ")}`)
    // Before anything is made in it: another user's home is none of ours (T-277).
    yield* Directories.ensurePrivate((yield* AegisPaths).home)
    yield* Effect.flatMap(BaseRootfs, (rootfs) => rootfs.ensure(say)).pipe(Effect.provide(images))
  }).pipe(Effect.tapError(({ _tag, message, remedy }) => Effect.sync(() => say({ error: { _tag, message, remedy } }))))

const say = (document: object) => void process.stdout.write(`${JSON.stringify(document)}\n`)

const refuse = (message: string) =>
  Effect.fail({ _tag: "InvalidArgument", message, remedy: "aegisd | aegisd rootfs ensure" })
