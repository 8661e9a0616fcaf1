/**
 * How instances are shown: as a table, in full, and as JSON with the field names of the REST API.
 */
import { RestInstance } from "@aegis/contract"
import type { EndReason, Instance } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Match from "effect/Match"
import * as Schema from "effect/Schema"
import { escapeLine } from "./Escape.ts"

/** UTC, RFC 3339, whole seconds (S-017). */
export const formatTime = (time: DateTime.Utc): string => DateTime.formatIso(time).replace(/\.\d+Z$/, "Z")

/** Four columns, 30, 15, 10 and 20 wide (S-094, S-095), or `No instances` (S-099). */
export const instanceTable = (instances: ReadonlyArray<Instance>): string => {
  if (instances.length === 0) return "No instances\n"
  const row = (id: string, handle: string, state: string, stoppedAt: string) =>
    `${id.padEnd(30)} ${handle.padEnd(15)} ${state.padEnd(10)} ${stoppedAt.padEnd(20)}\n`
  return (
    row("ID", "HANDLE", "STATE", "STOPPED AT") +
    instances
      .map(({ handle, id, state, stoppedAt }) =>
        row(id, escapeLine(handle ?? "-"), state, stoppedAt === undefined ? "-" : formatTime(stoppedAt))
      )
      .join("")
  )
}

/** One line for each thing known, values from column 13 on (S-102, S-103). */
export const instanceDetails = (instance: Instance): string => {
  const line = (label: string, value: string | undefined) =>
    value === undefined ? "" : `${`${label}:`.padEnd(13)}${escapeLine(value)}\n`
  return [
    line("ID", instance.id),
    line("State", instance.state),
    line("Handle", instance.handle),
    line("Command", instance.command.join(" ")),
    line("Memory", `${instance.memoryMib} MiB`),
    line("CPUs", String(instance.vcpus)),
    line("Workspace", instance.workspace),
    line("Created", formatTime(instance.createdAt)),
    line("Stopped At", instance.stoppedAt === undefined ? undefined : formatTime(instance.stoppedAt)),
    line("Ended", instance.ended === undefined ? undefined : describeEnd(instance.ended))
  ].join("")
}

const describeEnd = Match.type<EndReason>().pipe(
  Match.tagsExhaustive({
    Exited: ({ code }) => `exit code ${code}`,
    Signaled: ({ outOfMemory, signal }) => `signal ${signal}${outOfMemory ? " (out of memory)" : ""}`,
    Stopped: () => "stopped",
    VmDied: ({ cause }) => `the machine died: ${cause}`,
    ChannelLost: ({ reason }) => `connection lost: ${reason}`,
    NotStarted: ({ message }) => `not started: ${message}`
  })
)

/** The instance as the REST API shows it (D-23). */
export const instanceJson = (instance: Instance): typeof RestInstance.Encoded =>
  Schema.encodeSync(RestInstance)(
    new RestInstance({
      id: instance.id,
      state: instance.state,
      command: instance.command,
      created_at: formatTime(instance.createdAt),
      memory_mb: instance.memoryMib,
      vcpus: instance.vcpus,
      ...(instance.handle === undefined ? {} : { handle: instance.handle }),
      ...(instance.stoppedAt === undefined ? {} : { stopped_at: formatTime(instance.stoppedAt) }),
      ...(instance.workspace === undefined ? {} : { workspace: instance.workspace }),
      ...(instance.ended === undefined ? {} : { ended: instance.ended })
    })
  )

/** One JSON document, indented, with a newline at its end. */
export const jsonDocument = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
