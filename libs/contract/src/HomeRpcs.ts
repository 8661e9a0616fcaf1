/**
 * The daemon's calls for what a home has beside its instances: images, the base root file system, secrets, workspaces.
 */
import {
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
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

const imageStore = Schema.Union(ImageStoreCorrupt, ImageStoreFailed, DiskFull)
const ImageSourceText = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4200))

/** What a local source was called by itself. */
export class ImageLoaded extends Schema.TaggedClass<ImageLoaded>()("Loaded", { names: Schema.Array(Schema.String) }) {}

export class HomeRpcs extends RpcGroup.make(
  /** Brings an image and builds its root disk; ends after `Pulled`. `source` is an image's name, or a local source with an absolute path. */
  Rpc.make("ImagePull", {
    payload: { source: ImageSourceText, refresh: Schema.Boolean },
    success: PullProgress,
    error: Schema.Union(ImageRefInvalid, PullError),
    stream: true
  }),
  /** Brings a local source and gives the image the names that the source has for it; the last element says them. */
  Rpc.make("ImageLoad", {
    payload: { source: ImageSourceText },
    success: Schema.Union(PullProgress, ImageLoaded),
    error: Schema.Union(ImageRefInvalid, PullError),
    stream: true
  }),
  Rpc.make("ImageList", { success: ImageList, error: imageStore }),
  Rpc.make("ImageInspect", {
    payload: { source: ImageSourceText },
    success: ImageDetails,
    error: Schema.Union(ImageRefInvalid, ImageNotFound, imageStore)
  }),
  /** Takes a name away, and what no other name needs. */
  Rpc.make("ImageRemove", {
    payload: { source: ImageSourceText },
    success: ImagesRemoved,
    error: Schema.Union(ImageRefInvalid, ImageNotFound, ImageInUse, imageStore, StoreError)
  }),
  /** Removes what no name needs; with `all` also the names that no instance needs. */
  Rpc.make("ImagePrune", {
    payload: { all: Schema.Boolean },
    success: ImagesRemoved,
    error: Schema.Union(imageStore, StoreError)
  }),
  /** Makes this variant of the base root file system and the active one; new instances boot from it. */
  Rpc.make("RootfsPull", {
    payload: { variant: RootfsVariant },
    success: RootfsProgress,
    error: Schema.Union(RootfsUnavailable, DiskFull),
    stream: true
  }),
  /** Stores secrets, all or none; those that are there are replaced. Instances have them from their next start on. */
  Rpc.make("SecretSet", {
    payload: { secrets: Schema.NonEmptyArray(NewSecret) },
    success: Schema.Array(SecretInfo),
    error: Schema.Union(InvalidArgument, ...VaultError.members)
  }),
  /** By name; never a value. There is no call that gives one. */
  Rpc.make("SecretList", { success: Schema.Array(SecretInfo), error: VaultUnavailable }),
  Rpc.make("SecretDelete", {
    payload: { name: Schema.String },
    error: Schema.Union(SecretUnknown, ...VaultError.members)
  }),
  /** Encrypts all of them anew with a new key; says how many there are. */
  Rpc.make("SecretRotateKey", {
    success: Schema.Int,
    error: Schema.Union(VaultCorrupt, ...VaultError.members)
  }),
  /** The named workspaces, with what they take and who uses them. */
  Rpc.make("WorkspaceList", { success: Schema.Array(WorkspaceInfo), error: StoreError }),
  Rpc.make("WorkspaceInspect", {
    payload: { name: WorkspaceName },
    success: WorkspaceInfo,
    error: Schema.Union(WorkspaceUnknown, StoreError)
  }),
  /** Removes it for good, unless an instance uses it, in whatever state; gives it as it was. */
  Rpc.make("WorkspaceRemove", {
    payload: { name: WorkspaceName },
    success: WorkspaceInfo,
    error: Schema.Union(WorkspaceUnknown, WorkspaceInUse, WorkspaceRefused, StoreError)
  })
) {}
