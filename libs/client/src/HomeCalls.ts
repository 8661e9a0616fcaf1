/**
 * The typed client's calls for what a home has beside its instances: images, the base root file system, secrets, workspaces, the journal.
 */
import type { AuditVerdict, ImageLoaded } from "@aegis/contract"
import type {
  DaemonUnreachable,
  DiskFull,
  ImageDetails,
  ImageInUse,
  ImageList,
  ImageNotFound,
  ImageRefInvalid,
  ImagesRemoved,
  ImageStoreCorrupt,
  ImageStoreFailed,
  InvalidArgument,
  NewSecret,
  PullError,
  PullProgress,
  RootfsProgress,
  RootfsUnavailable,
  RootfsVariant,
  SecretInfo,
  SecretUnknown,
  StoreError,
  VaultCorrupt,
  VaultError,
  VaultUnavailable,
  WorkspaceInfo,
  WorkspaceInUse,
  WorkspaceName,
  WorkspaceRefused,
  WorkspaceUnknown
} from "@aegis/domain"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"

type ImageStoreError = ImageStoreCorrupt | ImageStoreFailed | DiskFull

export interface HomeCalls {
  readonly auditVerify: Effect.Effect<AuditVerdict, StoreError | DaemonUnreachable>
  /** Brings an image and builds its root disk; `source` as in `run --image`, local paths absolute. Ends after `Pulled`. */
  readonly imagePull: (
    source: string,
    options: { readonly refresh: boolean }
  ) => Stream.Stream<PullProgress, PullError | ImageRefInvalid | DaemonUnreachable>
  /** Brings a local source under the names that it has for itself; the last element says them. */
  readonly imageLoad: (
    source: string
  ) => Stream.Stream<PullProgress | ImageLoaded, PullError | ImageRefInvalid | DaemonUnreachable>
  readonly imageList: Effect.Effect<ImageList, ImageStoreError | DaemonUnreachable>
  readonly imageInspect: (
    source: string
  ) => Effect.Effect<ImageDetails, ImageRefInvalid | ImageNotFound | ImageStoreError | DaemonUnreachable>
  readonly imageRemove: (
    source: string
  ) => Effect.Effect<
    ImagesRemoved,
    ImageRefInvalid | ImageNotFound | ImageInUse | ImageStoreError | StoreError | DaemonUnreachable
  >
  readonly imagePrune: (options: {
    readonly all: boolean
  }) => Effect.Effect<ImagesRemoved, ImageStoreError | StoreError | DaemonUnreachable>
  /** Makes a variant of the base root file system and the active one. */
  readonly rootfsPull: (
    variant: RootfsVariant
  ) => Stream.Stream<RootfsProgress, RootfsUnavailable | DiskFull | DaemonUnreachable>
  /** Stores secrets, all or none; instances have them from their next start on. */
  readonly secretSet: (
    secrets: readonly [NewSecret, ...ReadonlyArray<NewSecret>]
  ) => Effect.Effect<ReadonlyArray<SecretInfo>, InvalidArgument | VaultError | DaemonUnreachable>
  /** By name. No call gives a value. */
  readonly secretList: Effect.Effect<ReadonlyArray<SecretInfo>, VaultUnavailable | DaemonUnreachable>
  readonly secretDelete: (name: string) => Effect.Effect<void, SecretUnknown | VaultError | DaemonUnreachable>
  /** Encrypts all secrets anew with a new key; says how many there are. */
  readonly secretRotateKey: Effect.Effect<number, VaultCorrupt | VaultError | DaemonUnreachable>
  /** The named workspaces, with what they take and who uses them. */
  readonly workspaceList: Effect.Effect<ReadonlyArray<WorkspaceInfo>, StoreError | DaemonUnreachable>
  readonly workspaceInspect: (
    name: WorkspaceName
  ) => Effect.Effect<WorkspaceInfo, WorkspaceUnknown | StoreError | DaemonUnreachable>
  /** Removes it for good, unless an instance uses it, in whatever state; gives it as it was. */
  readonly workspaceRemove: (
    name: WorkspaceName
  ) => Effect.Effect<
    WorkspaceInfo,
    WorkspaceUnknown | WorkspaceInUse | WorkspaceRefused | StoreError | DaemonUnreachable
  >
}
