/**
 * What `aegis-vmm` is asked on its standard input, and how it answers: one JSON document per line. Secrets, environment and
 * the guest's command are not in it; they travel on the guest's channel.
 */
import * as Schema from "effect/Schema"
import { maxPathBytes, maxSocketPathBytes } from "./Arguments.ts"

const bounded = (maxBytes: number) =>
  Schema.NonEmptyString.pipe(
    Schema.filter((text) =>
      text.includes("\0")
        ? "a NUL byte cannot be part of a name"
        : Buffer.byteLength(text) > maxBytes
          ? `${Buffer.byteLength(text)} bytes; at most ${maxBytes} are possible`
          : undefined
    )
  )

const absolute = <S extends Schema.Schema<string, string>>(schema: S) =>
  schema.pipe(Schema.filter((path) => (path.startsWith("/") ? undefined : "an absolute path is needed")))

const AbsolutePath = absolute(bounded(maxPathBytes))
const SocketPath = absolute(bounded(maxSocketPathBytes))

/** An absolute path, or a bare name that the loader searches for. */
const LibraryPath = bounded(maxPathBytes)

const libraries = { libkrun: LibraryPath, libkrunfw: LibraryPath }

/** Load the libraries now and wait for the next line. Only as the first line. */
export const PreloadRequest = Schema.Struct({ op: Schema.Literal("preload"), ...libraries })
export type PreloadRequest = typeof PreloadRequest.Type

/** Become this VM. */
export const BootRequest = Schema.Struct({
  op: Schema.Literal("boot"),
  /** libkrun takes a uint8. */
  vcpus: Schema.Int.pipe(Schema.between(1, 255)),
  memoryMib: Schema.Int.pipe(Schema.between(1, 0xffff_ffff)),
  /** A directory of empty mount points; shared read-only as the guest's first root. */
  rootDir: AbsolutePath,
  /** The program that becomes `/init.krun`, the guest's PID 1. */
  harness: AbsolutePath,
  /** Raw images, read-only, in the order in which the guest numbers them. */
  disks: Schema.Array(Schema.Struct({ id: bounded(20), path: AbsolutePath })).pipe(Schema.maxItems(16)),
  /** The socket for the guest's channel; made by libkrun, must not exist. */
  vsockPath: SocketPath,
  workspace: Schema.NullOr(Schema.Struct({ path: AbsolutePath, readOnly: Schema.Boolean })),
  /** Where somebody listens for the guest's frames, and the device's hardware address. */
  network: Schema.NullOr(
    Schema.Struct({ socket: SocketPath, mac: Schema.String.pipe(Schema.pattern(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)) })
  ),
  ...libraries
})
export type BootRequest = typeof BootRequest.Type

/** Take the kernel out of libkrunfw and write it to `out` for QEMU. */
export const KernelRequest = Schema.Struct({
  op: Schema.Literal("kernel"),
  libkrunfw: LibraryPath,
  out: AbsolutePath
})
export type KernelRequest = typeof KernelRequest.Type

/** Load both libraries and tell which they are. */
export const CheckRequest = Schema.Struct({ op: Schema.Literal("check"), ...libraries })
export type CheckRequest = typeof CheckRequest.Type

export const VmmRequest = Schema.Union(PreloadRequest, BootRequest, KernelRequest, CheckRequest)
export type VmmRequest = typeof VmmRequest.Type

/** The tag under which the workspace is shared with the guest. */
export const workspaceTag = "workspace"

/** The vsock port on which the harness serves its channel. */
export const channelPort = 1024

/** The largest request in bytes. */
export const maxRequestBytes = 64 * 1024

/** One line to a request; an unknown field is an error. */
export const decodeVmmRequest = Schema.decodeUnknown(Schema.parseJson(VmmRequest), { onExcessProperty: "error" })

/** A request to its line, newline included; what could not be decoded again is refused here. */
export const encodeVmmRequest = Schema.encode(Schema.parseJson(VmmRequest), { onExcessProperty: "error" })

/** The answer to `kernel`, on standard output. */
export const KernelAnswer = Schema.Struct({ kernel: Schema.String, version: Schema.String })

/** The answer to `check`, on standard output: files as the loader resolved them, libkrunfw with its kernel's version. */
export const CheckAnswer = Schema.Struct({
  libkrun: Schema.Struct({ path: Schema.String, version: Schema.optional(Schema.String) }),
  libkrunfw: Schema.Struct({ path: Schema.String, version: Schema.String })
})
export type CheckAnswer = typeof CheckAnswer.Type

/** The last line of standard error when `aegis-vmm` exits with `failureExitCode`: no guest has begun. */
export const VmmFailure = Schema.Struct({
  error: Schema.Struct({ _tag: Schema.String, message: Schema.String, remedy: Schema.String })
})
export type VmmFailure = typeof VmmFailure.Type

export const failureExitCode = 3
