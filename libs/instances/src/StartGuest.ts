import {
  BootFailed,
  BootTimeout,
  compilePolicy,
  type EventCause,
  type InstanceId,
  type InstanceSpec,
  isUnreachable,
  parseImageSource,
  type PullProgress,
  type StartError
} from "@aegis/domain"
import type { ChannelError } from "@aegis/guest"
import { crashPoint } from "@aegis/host"
import { BaseRootfs, ImageStore } from "@aegis/images"
import type { InstanceRecords } from "@aegis/journal"
import type { Vault } from "@aegis/vault"
import { BackendChoice, bootLimit, type Vm } from "@aegis/vm"
import { Workspaces } from "@aegis/workspaces"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { bootMessage } from "./BootMessage.ts"
import { commandRefusal } from "./CommandRefusal.ts"
import { giveSecrets } from "./Secrets.ts"

/**
 * From a specification to a running command: disk, workspace, VM, boot message, in this order. Everything it makes belongs to
 * the scope. Succeeds once the command's `execve` has.
 */
export const startGuest = (
  id: InstanceId,
  spec: InstanceSpec,
  cause: EventCause,
  report: (progress: PullProgress) => void
): Effect.Effect<
  { readonly vm: Vm; readonly workspace: string },
  StartError,
  BaseRootfs | ImageStore | BackendChoice | InstanceRecords | Vault | Workspaces | Scope.Scope
> =>
  Effect.gen(function* () {
    const backend = yield* Effect.flatMap(BackendChoice, (choice) => choice.backend)
    const rootDisk = yield* rootDiskOf(spec, report)
    const workspace = yield* Effect.flatMap(Workspaces, (workspaces) => workspaces.acquire(id, spec.workspace))
    const { memoryMib, vcpus } = spec
    const network = isUnreachable(spec.network) ? undefined : compilePolicy(spec.network)
    yield* crashPoint("disk and workspace are there")
    const vm = yield* backend.boot({ id, memoryMib, vcpus, rootDisk, workspace, network })
    yield* crashPoint("the VM is up")
    const message = yield* bootMessage(id, spec, yield* giveSecrets(id, spec, cause), vm)
    const limit = yield* bootLimit
    yield* vm.guest.boot(message).pipe(
      Effect.catchAll((error) => Effect.flatMap(vm.consoleTail, (tail) => Effect.fail(refusal(error, spec, tail)))),
      Effect.timeoutFail({
        duration: limit,
        onTimeout: () => new BootTimeout({ stage: "command", seconds: Duration.toSeconds(limit), consoleTail: "" })
      })
    )
    yield* crashPoint("the command runs")
    return { vm, workspace: workspace.path }
  }).pipe(Effect.withSpan("Instance.start", { attributes: { id } }))

/** The disk of its image, which is brought here first where it has to be, or of the base root file system. */
const rootDiskOf = (spec: InstanceSpec, report: (progress: PullProgress) => void) =>
  Effect.gen(function* () {
    if (spec.image === undefined) return (yield* Effect.flatMap(BaseRootfs, (rootfs) => rootfs.current)).path
    const source = yield* parseImageSource(spec.image)
    return (yield* Effect.flatMap(ImageStore, (store) => store.resolve(source, report))).path
  })

const refusal = (error: ChannelError, spec: InstanceSpec, consoleTail: string): StartError => {
  if (error._tag !== "HarnessRefused") {
    return new BootFailed({
      stage: "channel",
      reason: error.message,
      consoleTail,
      remedy: "run it again; aegis doctor checks the backend"
    })
  }
  const notStarted = commandRefusal(spec.command[0], error)
  if (notStarted !== undefined) return notStarted
  switch (error.code) {
    case "mount":
      return new BootFailed({
        stage: "mount",
        reason: error.message,
        consoleTail,
        remedy:
          "the image has something in the way of a mount point: /proc, /dev, /tmp, /run, /var and /workspace must be directories or absent"
      })
    default:
      return new BootFailed({
        stage: "command",
        reason: error.message,
        consoleTail,
        remedy: "the harness and the daemon may be of different versions: build or install both anew"
      })
  }
}
