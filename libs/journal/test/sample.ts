import {
  ByCli,
  type EndReason,
  InstanceCreated,
  InstanceEnded,
  InstanceId,
  InstanceSpec,
  InstanceStarted,
  VmRecord
} from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"

export const cli = new ByCli({ command: "instance start" })

export const id = (number: number) => InstanceId.make(`inst-${1_800_000_000_000_000_000n + BigInt(number)}`)

export const created = (handle?: string, env: Record<string, string> = {}) =>
  new InstanceCreated({
    spec: Schema.decodeSync(InstanceSpec)({
      command: ["python", "app.py"],
      env,
      ...(handle === undefined ? {} : { handle })
    }),
    image: "alpine:3.21",
    workspace: "/work/space"
  })

export const started = new InstanceStarted({
  bootMillis: 812.4,
  vm: new VmRecord({ pid: 4711, pidStartTime: "12345", detail: { run: "/run/a1b2c3d4", vsock: 3 } })
})

export const ended = (reason: EndReason) => new InstanceEnded({ reason })

/** A directory of its own, gone with the scope. */
export const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(tmpdir(), "aegis-journal-"))),
  (made) => Effect.sync(() => execFileSync("rm", ["-rf", made]))
)

export const databaseFile = Effect.map(directory, (made) => path.join(made, "data", "journal.db"))
