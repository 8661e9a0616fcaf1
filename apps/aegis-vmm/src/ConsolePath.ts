/**
 * Brings the guest's console to this process's standard output.
 *
 * libkrun marks a virtio port as the console only when it opens a path for it, or has a terminal; and a socket, which is what a
 * Node parent gives as a pipe, has no path that could be opened. A guest's console must also never meet a broken pipe: libkrun
 * then stops to serve the port, and the guest's kernel waits for it, spinning, at its next message. So a small process stands
 * between: it copies to standard output, and once that is gone throws away, until the VM has ended.
 */
import type { Libc, SystemCallFailed } from "@aegis/native-bridge"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"

/** The console's output has no way out. */
export class ConsoleUnusable extends Data.TaggedError("ConsoleUnusable")<{ readonly reason: string }> {
  override get message() {
    return `the guest's console cannot be connected: ${this.reason}`
  }
  get remedy() {
    return "check that /bin/sh and cat are there, and the limits on processes and open files"
  }
}

const stdout = 1

/** The process's own descriptors, as paths. */
const descriptors = process.platform === "darwin" ? "/dev/fd" : "/proc/self/fd"

const pump = "cat; exec cat >/dev/null"

/** A path for `krun_set_console_output`; what is written there comes out of standard output, in order, to the last byte. */
export const consolePath = (libc: Libc): Effect.Effect<string, ConsoleUnusable | SystemCallFailed> =>
  Effect.gen(function* () {
    // A terminal or /dev/null can be opened anew and never breaks.
    if (fs.fstatSync(stdout).isCharacterDevice()) return `${descriptors}/${stdout}`
    const { read, write } = yield* libc.pipe
    const child = yield* Effect.try({
      try: () =>
        // In a session of its own, so that it outlasts a signal to the VM's group and the last bytes are not lost.
        spawn("/bin/sh", ["-c", pump], {
          stdio: [read, "inherit", "ignore"],
          env: { PATH: "/usr/bin:/bin" },
          cwd: "/",
          detached: true
        }),
      catch: (cause) => new ConsoleUnusable({ reason: cause instanceof Error ? cause.message : String(cause) })
    })
    fs.closeSync(read)
    if (child.pid === undefined) {
      // Node says why in an event; without a listener that would end this process before it could tell.
      child.on("error", () => undefined)
      return yield* new ConsoleUnusable({ reason: "/bin/sh could not be started" })
    }
    child.unref()
    return `${descriptors}/${write}`
  })
