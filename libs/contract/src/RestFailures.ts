/**
 * What the REST routes can fail with: the domain's errors, each with the status that its class names.
 */
import {
  AlreadyExposed,
  BackendUnavailable,
  BootFailed,
  BootTimeout,
  CommandNotStarted,
  DigestMismatch,
  DiskFull,
  ExecLimit,
  ExecLost,
  ExecUnanswered,
  HandleTaken,
  ImageInvalid,
  ImageNotFound,
  ImageRefInvalid,
  ImageStoreCorrupt,
  ImageStoreFailed,
  ImageTooLarge,
  InvalidArgument,
  LogUnavailable,
  NotExposed,
  NotFound,
  PlatformNotFound,
  PortTaken,
  PullStalled,
  RegistryDenied,
  RegistryProtocol,
  RegistryUnavailable,
  ResourcesRefused,
  RootfsUnavailable,
  SecretUnknown,
  StateConflict,
  StoreBusy,
  StoreCorrupt,
  StoreUnavailable,
  VaultCorrupt,
  VaultUnavailable,
  WorkspaceGone,
  WorkspaceInUse,
  WorkspaceRefused,
  WorkspaceUnknown
} from "@aegis/domain"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { asRest } from "./RestError.ts"

const failure = <Self extends { readonly _tag: string; readonly message: string; readonly remedy: string }, I>(
  error: Schema.Schema<Self, I>
) => asRest(error, HttpApiSchema.getStatusError(error))

/** The journal could not be read or written. */
export const StoreFailure = Schema.Union(
  failure(StoreBusy),
  failure(StoreCorrupt),
  failure(StoreUnavailable),
  failure(DiskFull)
)

/** As `StoreFailure`, or there is no such instance. */
export const TargetFailure = Schema.Union(failure(NotFound), ...StoreFailure.members)

/** As `TargetFailure`, or the instance is not in a state in which this can be done. */
export const StateFailure = Schema.Union(failure(StateConflict), ...TargetFailure.members)

/** As `TargetFailure`, or the port cannot be exposed. */
export const ExposeFailure = Schema.Union(
  failure(AlreadyExposed),
  failure(PortTaken),
  failure(InvalidArgument),
  ...TargetFailure.members
)

/** As `TargetFailure`, or the port is not exposed. */
export const UnexposeFailure = Schema.Union(failure(NotExposed), ...TargetFailure.members)

/** Everything that a start can fail with. */
export const StartFailure = Schema.Union(
  ...StateFailure.members,
  failure(InvalidArgument),
  failure(HandleTaken),
  failure(WorkspaceRefused),
  failure(WorkspaceGone),
  failure(RootfsUnavailable),
  failure(ImageRefInvalid),
  failure(ImageNotFound),
  failure(ImageInvalid),
  failure(ImageTooLarge),
  failure(ImageStoreCorrupt),
  failure(ImageStoreFailed),
  failure(PlatformNotFound),
  failure(DigestMismatch),
  failure(PullStalled),
  failure(RegistryDenied),
  failure(RegistryProtocol),
  failure(RegistryUnavailable),
  failure(BackendUnavailable),
  failure(BootFailed),
  failure(BootTimeout),
  failure(CommandNotStarted),
  failure(ResourcesRefused),
  failure(PortTaken),
  failure(LogUnavailable),
  failure(SecretUnknown),
  failure(VaultCorrupt),
  failure(VaultUnavailable)
)

/** What using the store of secrets can fail with. */
export const VaultFailure = Schema.Union(failure(VaultUnavailable), failure(DiskFull))

/** As `VaultFailure`, or the name or the value cannot be a secret's. */
export const SecretFailure = Schema.Union(failure(InvalidArgument), ...VaultFailure.members)

/** As `VaultFailure`, or there is no such secret. */
export const SecretNameFailure = Schema.Union(failure(SecretUnknown), ...VaultFailure.members)

/** As `StoreFailure`, or there is no such workspace. */
export const WorkspaceNameFailure = Schema.Union(failure(WorkspaceUnknown), ...StoreFailure.members)

/** As `WorkspaceNameFailure`, or it cannot be removed. */
export const WorkspaceRemoveFailure = Schema.Union(
  failure(WorkspaceInUse),
  failure(WorkspaceRefused),
  ...WorkspaceNameFailure.members
)

/** Everything that an exec can fail with before it runs. */
export const ExecFailure = Schema.Union(
  ...StartFailure.members,
  failure(ExecLimit),
  failure(ExecLost),
  failure(ExecUnanswered)
)
