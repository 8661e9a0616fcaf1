/**
 * Which backend is used, and why. Chosen by booting a tiny guest, never by looking at a device node: `/dev/kvm` may exist,
 * open and create VMs, and still never run one.
 */
import { BackendUnavailable, BackendVerdict, defaultVcpus, MemoryMib, ProbeAttempt } from "@aegis/domain"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { bootLimit } from "./BootLimit.ts"
import type { VmBackend } from "./VmBackend.ts"
import { VerdictCache } from "./VerdictCache.ts"

/** `AEGIS_BACKEND`: `auto` (the default) or the one to use. */
export const BackendSetting = Config.literal(
  "auto",
  "libkrun",
  "qemu"
)("AEGIS_BACKEND").pipe(Config.withDefault("auto"))

/**
 * How long a hypervisor's probe guest may take while there is something else to try. One that works boots it in a fraction of a
 * second, one that is itself emulated in a few. The last resort has the time that any guest has, and at least a minute.
 */
const patience = Duration.seconds(15)
const lastPatience = Duration.seconds(60)

export class BackendChoice extends Context.Tag("@aegis/vm/BackendChoice")<
  BackendChoice,
  {
    /** The outcome of the probe, made once per machine boot. Waits for a probe that is under way; never fails. */
    readonly verdict: Effect.Effect<BackendVerdict>
    /** The backend to boot with. */
    readonly backend: Effect.Effect<VmBackend, BackendUnavailable>
  }
>() {
  /** Chooses among `candidates`, best first. */
  static readonly layer = (candidates: ReadonlyArray<VmBackend>) => Layer.effect(this, make(candidates))
}

const make = (candidates: ReadonlyArray<VmBackend>) =>
  Effect.gen(function* () {
    const cache = yield* VerdictCache
    const setting = yield* Effect.orDie(BackendSetting)
    const allowed = candidates.filter((candidate) => setting === "auto" || candidate.name === setting)
    const [verdict, forget] = yield* Effect.cachedInvalidateWithTTL(
      Effect.gen(function* () {
        const fingerprints = yield* Effect.forEach(allowed, (candidate) => candidate.fingerprint)
        const key = JSON.stringify([setting, ...fingerprints])
        const known = yield* cache.get(key)
        if (Option.isSome(known)) return known.value
        const fresh = yield* probe(allowed, setting !== "auto")
        if (fresh.chosen !== undefined) yield* cache.set(key, fresh)
        return fresh
      }).pipe(Effect.withSpan("BackendChoice.verdict")),
      Duration.infinity
    )
    const backend = Effect.flatMap(verdict, ({ chosen, attempts }) => {
      const found = allowed.find((c) => c.name === chosen?.backend && c.accelerator === chosen.accelerator)
      if (found !== undefined) return Effect.succeed(found)
      // A machine on which nothing works may be mended while we run: the next start looks again.
      return Effect.zipRight(forget, Effect.fail(noBackend(setting, attempts)))
    })
    return BackendChoice.of({ verdict, backend })
  })

/** Tries the candidates in order until one boots. What one of them proves about an accelerator spares the next the wait. */
const probe = (candidates: ReadonlyArray<VmBackend>, forced: boolean) =>
  Effect.gen(function* () {
    const attempts: Array<ProbeAttempt> = []
    const dead = new Map<string, string>()
    for (const candidate of candidates) {
      const { accelerator, name: backend } = candidate
      const known = dead.get(accelerator)
      const { attempt, acceleratorFailed } =
        known === undefined
          ? yield* tryToBoot(candidate, candidate === candidates.at(-1))
          : { attempt: notTried(candidate, known), acceleratorFailed: false }
      attempts.push(attempt)
      if (attempt.works) return new BackendVerdict({ chosen: { backend, accelerator }, forced, attempts })
      if (acceleratorFailed) dead.set(accelerator, attempt.evidence)
    }
    return new BackendVerdict({ forced, attempts })
  })

interface Trial {
  readonly attempt: ProbeAttempt
  /** The parts were there, a guest was begun and did not come up: no other backend need try this accelerator. */
  readonly acceleratorFailed: boolean
}

const tryToBoot = (candidate: VmBackend, last: boolean): Effect.Effect<Trial> =>
  Effect.flatMap(bootLimit, (boot) => bootProbe(candidate, last ? Duration.max(boot, lastPatience) : patience))

const bootProbe = (candidate: VmBackend, limit: Duration.Duration): Effect.Effect<Trial> => {
  const { accelerator, name: backend } = candidate
  const spec = { id: `probe-${backend}-${accelerator}`, memoryMib: MemoryMib.make(128), vcpus: defaultVcpus }
  return candidate.present.pipe(
    Effect.zipRight(Effect.scoped(candidate.boot(spec))),
    Effect.timed,
    Effect.timeoutFail({ duration: limit, onTimeout: () => new ProbeSilent({ seconds: Duration.toSeconds(limit) }) }),
    Effect.match({
      onSuccess: ([took]) => ({
        attempt: new ProbeAttempt({
          backend,
          accelerator,
          works: true,
          evidence: `a guest answered in ${Math.round(Duration.toMillis(took))} ms`
        }),
        acceleratorFailed: false
      }),
      onFailure: (error) => ({
        attempt: new ProbeAttempt({
          backend,
          accelerator,
          works: false,
          evidence: error._tag === "BackendUnavailable" ? error.reason : error.message,
          remedy: error._tag === "BackendUnavailable" ? error.remedy : noAccelerator(accelerator)
        }),
        acceleratorFailed: error._tag !== "BackendUnavailable"
      })
    }),
    Effect.withSpan("BackendChoice.probe", { attributes: { backend, accelerator } })
  )
}

class ProbeSilent extends Data.TaggedError("ProbeSilent")<{ readonly seconds: number }> {
  override get message() {
    return `a guest did not answer within ${this.seconds} s`
  }
}

const notTried = ({ accelerator, name: backend }: VmBackend, evidence: string) =>
  new ProbeAttempt({ backend, accelerator, works: false, evidence: `not tried: with ${accelerator}, ${evidence}` })

const noAccelerator = (accelerator: string) =>
  accelerator === "tcg"
    ? "the machine may be too loaded: try again, or see aegis doctor"
    : "on a virtual machine, nested virtualization must be on in its host; without it aegis emulates (qemu, tcg)"

const noBackend = (setting: string, attempts: ReadonlyArray<ProbeAttempt>) => {
  const last = attempts.findLast((attempt) => attempt.remedy !== undefined)
  return new BackendUnavailable({
    backend: setting,
    reason:
      attempts.map((a) => `${a.backend} (${a.accelerator}): ${a.evidence}`).join("; ") ||
      "there is none for this machine",
    remedy: last?.remedy ?? "aegis doctor shows what is missing"
  })
}
