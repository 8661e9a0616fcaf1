/**
 * The parts of the daemon's calls: a program loads the Schemas of those that it uses.
 */
import type { DaemonRpcs } from "@aegis/contract/daemon"
import type { ExecRpcs } from "@aegis/contract/exec"
import type { FileRpcs } from "@aegis/contract/file"
import type { HistoryRpcs } from "@aegis/contract/history"
import type { HomeRpcs } from "@aegis/contract/home"
import type { InstanceRpcs } from "@aegis/contract/instance"
import type { RunRpcs } from "@aegis/contract/run"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Effect from "effect/Effect"
import { type Client, connector, type ConnectorOptions } from "./Connection.ts"

type Part<Group> = Effect.Effect<Client<RpcGroup.Rpcs<Group>>>

export interface Parts {
  readonly daemon: Part<typeof DaemonRpcs>
  readonly run: Part<typeof RunRpcs>
  readonly exec: Part<typeof ExecRpcs>
  readonly file: Part<typeof FileRpcs>
  readonly instance: Part<typeof InstanceRpcs>
  readonly history: Part<typeof HistoryRpcs>
  readonly home: Part<typeof HomeRpcs>
}

/** All of them at a daemon's socket; the first call connects. */
export const partsOf = (options: ConnectorOptions) =>
  Effect.map(connector(options), (part): Parts => ({
    daemon: part(async () => (await import("@aegis/contract/daemon")).DaemonRpcs),
    run: part(async () => (await import("@aegis/contract/run")).RunRpcs),
    exec: part(async () => (await import("@aegis/contract/exec")).ExecRpcs),
    file: part(async () => (await import("@aegis/contract/file")).FileRpcs),
    instance: part(async () => (await import("@aegis/contract/instance")).InstanceRpcs),
    history: part(async () => (await import("@aegis/contract/history")).HistoryRpcs),
    home: part(async () => (await import("@aegis/contract/home")).HomeRpcs)
  }))
