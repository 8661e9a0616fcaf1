/**
 * Everything that starting an instance can fail with before its command runs.
 */
import * as Schema from "effect/Schema"
import {
  BackendUnavailable,
  BootFailed,
  BootTimeout,
  CommandNotStarted,
  DiskFull,
  HandleTaken,
  InvalidArgument,
  ResourcesRefused,
  RootfsUnavailable,
  StateConflict,
  WorkspaceGone,
  WorkspaceRefused
} from "./Errors.ts"
import { PortTaken } from "./Errors.ts"
import { PullError } from "./ImageErrors.ts"
import { ImageRefInvalid } from "./ImageErrors.ts"
import { StoreBusy, StoreCorrupt, StoreUnavailable } from "./JournalErrors.ts"
import { LogUnavailable } from "./Errors.ts"
import { SecretUnknown, VaultCorrupt, VaultUnavailable } from "./SecretErrors.ts"

export const StartError = Schema.Union(
  InvalidArgument,
  HandleTaken,
  StateConflict,
  WorkspaceRefused,
  WorkspaceGone,
  RootfsUnavailable,
  ImageRefInvalid,
  ...PullError.members,
  BackendUnavailable,
  BootFailed,
  BootTimeout,
  CommandNotStarted,
  ResourcesRefused,
  PortTaken,
  DiskFull,
  StoreBusy,
  StoreCorrupt,
  StoreUnavailable,
  LogUnavailable,
  SecretUnknown,
  VaultCorrupt,
  VaultUnavailable
)
export type StartError = typeof StartError.Type
