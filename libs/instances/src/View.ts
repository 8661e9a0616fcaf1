import { Instance } from "@aegis/domain"
import type { InstanceRecord } from "@aegis/journal"
import type { Usage } from "./Usage.ts"

/** A record as it is shown: without its environment, and without what only the daemon needs to find its VM. */
export const instanceOf = (record: InstanceRecord, usage: Pick<Usage, "connections" | "lastActive">): Instance =>
  new Instance(
    {
      id: record.id,
      handle: record.handle,
      state: record.state,
      command: record.spec.command,
      memoryMib: record.spec.memoryMib,
      vcpus: record.spec.vcpus,
      image: record.image,
      ...(record.spec.secrets.length === 0 ? {} : { secrets: record.spec.secrets }),
      network: record.spec.network,
      workspace: record.workspace,
      createdAt: record.createdAt,
      startedAt: record.startedAt,
      endpoints: record.ports,
      connections: usage.connections(record.id),
      keepalive: record.keepalive,
      lastActiveAt: usage.lastActive(record),
      stoppedAt: record.stoppedAt,
      ended: record.ended
    },
    true
  )
