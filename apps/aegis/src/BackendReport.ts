/**
 * Which backend is used and why, as text and as JSON.
 */
import type { BackendVerdict, DaemonStatus, ProbeAttempt } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import { escapeLine } from "./Escape.ts"

/** The backend's bare name (D-22). */
export const backendName = (verdict: BackendVerdict): string => verdict.chosen?.backend ?? "none"

const attemptText = (attempt: ProbeAttempt) =>
  `${attempt.backend}/${attempt.accelerator}: ${escapeLine(attempt.evidence)}`

/** Why it is not libkrun, where that was not somebody's choice (D-22). */
export const backendReason = (verdict: BackendVerdict): string | undefined => {
  if (verdict.forced || verdict.chosen?.backend === "libkrun") return undefined
  const failed = verdict.attempts.filter((attempt) => !attempt.works)
  return failed.length === 0 ? undefined : failed.map(attemptText).join("; ")
}

/** The lines below `aegis status`'s first (S-047, D-22). */
export const statusLines = (verdict: BackendVerdict): ReadonlyArray<string> => {
  const reason = backendReason(verdict)
  return [`backend: ${backendName(verdict)}`, ...(reason === undefined ? [] : [`reason: ${reason}`])]
}

/** What the probe saw, one line for each attempt, with a remedy below where there is one. */
export const probeLines = (verdict: BackendVerdict): ReadonlyArray<string> => [
  `Accelerator: ${verdict.chosen?.accelerator ?? "none"}`,
  verdict.forced ? "Probe (AEGIS_BACKEND named the backend):" : "Probe:",
  ...verdict.attempts.flatMap((attempt) => [
    `  ${`${attempt.backend}/${attempt.accelerator}`.padEnd(14)} ${attempt.works ? "works" : "fails"}: ${escapeLine(attempt.evidence)}`,
    ...(attempt.remedy === undefined ? [] : [`    try: ${escapeLine(attempt.remedy)}`])
  ]),
  ...(verdict.attempts.length === 0 ? ["  nothing was tried"] : [])
]

export const capabilityLines = (status: DaemonStatus): ReadonlyArray<string> => {
  const yesNo = (value: boolean) => (value ? "yes" : "no")
  return [
    "Capabilities:",
    `  Pause/Resume:          ${yesNo(status.capabilities.pauseResume)}`,
    `  Boot from disk layers: ${yesNo(status.capabilities.bootFromDiskLayers)}`
  ]
}

/** Says it where the router is not there; elsewhere nothing (T-282). */
export const routerLines = ({ router }: DaemonStatus): ReadonlyArray<string> =>
  router._tag === "RouterServing"
    ? []
    : [`router: not there: ${escapeLine(router.reason)}`, `  try: ${escapeLine(router.remedy)}`]

export const verdictJson = (verdict: BackendVerdict) => ({
  backend: backendName(verdict),
  accelerator: verdict.chosen?.accelerator ?? "none",
  forced: verdict.forced,
  reason: backendReason(verdict) ?? null,
  attempts: verdict.attempts.map(({ accelerator, backend, evidence, remedy, works }) => ({
    backend,
    accelerator,
    works,
    evidence,
    remedy: remedy ?? null
  }))
})

export const statusJson = (status: DaemonStatus, verdict: BackendVerdict) => ({
  running: true,
  pid: status.pid,
  version: status.version,
  started_at: DateTime.formatIso(status.startedAt),
  instances: status.instances,
  capabilities: {
    pause_resume: status.capabilities.pauseResume,
    boot_from_disk_layers: status.capabilities.bootFromDiskLayers
  },
  router:
    status.router._tag === "RouterServing"
      ? { address: status.router.address }
      : { address: null, reason: status.router.reason },
  ...verdictJson(verdict)
})
