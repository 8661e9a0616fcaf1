/**
 * VmBackend without a VM: a scripted guest on Effect's clock, with faults on demand. For tests of this project and of programs
 * that embed it; never chosen on its own.
 */
import { BootFailed } from "@aegis/domain"
import { ChannelBroken, connect } from "@aegis/guest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { VmBackend, VmEnd } from "../VmBackend.ts"
import { type SimulatedPrograms, type SimulatedWork, serveGuest } from "./SimulatedGuest.ts"
import { socketPair } from "./SocketPair.ts"

export interface SimulatedOptions {
  readonly programs: SimulatedPrograms
  /** From the spawn to the harness's first answer, on Effect's clock. */
  readonly bootTime?: Duration.DurationInput
  /** What a guest says it has done since its boot, nothing by default; one that never gives it has no time to answer. */
  readonly work?: Effect.Effect<SimulatedWork>
  /** `silent`: the guest never answers. `dies`: the VMM ends before it does. */
  readonly fault?: "silent" | "dies"
}

export const simulatedBackend = (options: SimulatedOptions): VmBackend => ({
  name: "simulated",
  accelerator: "none",
  present: Effect.void,
  fingerprint: Effect.succeed("simulated"),
  boot: Effect.fn("SimulatedBackend.boot")(function* (spec) {
    yield* Effect.sleep(options.bootTime ?? Duration.zero)
    if (options.fault === "silent") return yield* Effect.never
    if (options.fault === "dies") {
      return yield* new BootFailed({
        stage: "vmm",
        reason: "exit 1",
        consoleTail: "panic\n",
        remedy: "none: it was asked for"
      })
    }
    const end = yield* Deferred.make<VmEnd>()
    const [host, guest] = yield* socketPair
    const die = (cause: string) =>
      Effect.zipRight(
        Deferred.succeed(end, { cause }),
        Effect.sync(() => guest.destroy())
      ).pipe(Effect.asVoid)
    yield* Effect.addFinalizer(() => die("killed by SIGKILL"))
    yield* serveGuest(
      guest,
      options.programs,
      die("exit 0"),
      options.work ?? Effect.succeed({ cpuMs: 0, networkBytes: 0 })
    )
    const dial = Effect.suspend(() =>
      host.destroyed ? Effect.fail(new ChannelBroken({ message: "gone" })) : Effect.succeed(host)
    )
    return {
      guest: yield* connect(dial),
      pid: undefined,
      rootDevice: "/dev/vda",
      workspaceTag: spec.workspace === undefined ? undefined : "workspace",
      network: undefined,
      traces: undefined,
      ended: Deferred.await(end),
      consoleTail: Effect.succeed(""),
      pause: Effect.void,
      resume: Effect.void
    }
  })
})
