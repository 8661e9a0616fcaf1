import { Machine, type Process, ProcessTable } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Helper } from "./AwaitGuest.ts"
import { VmTraces } from "./VmBackend.ts"

/** What is to be written down of a VM that has just been booted. A process that is gone already has no start time to tell. */
export const tracesOf = (
  vm: {
    readonly vmm: Process.Process
    readonly helpers: ReadonlyArray<Helper>
  } & Pick<VmTraces, "directory" | "channelSocket" | "rootDevice" | "workspaceTag" | "network">
): Effect.Effect<VmTraces> =>
  Effect.gen(function* () {
    const trace = (name: string, { pid }: Process.Process) =>
      Effect.map(ProcessTable.read(pid), (entry) => ({
        name,
        pid,
        startTime: Option.match(entry, { onNone: () => "", onSome: ({ startTime }) => startTime })
      }))
    const { channelSocket, directory, network, rootDevice, workspaceTag } = vm
    return new VmTraces({
      bootId: yield* Machine.bootId,
      vmm: yield* trace("vmm", vm.vmm),
      helpers: yield* Effect.forEach(vm.helpers, ({ name, process }) => trace(name, process)),
      directory,
      channelSocket,
      rootDevice,
      workspaceTag,
      network
    })
  })
