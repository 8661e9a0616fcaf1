import { type BackendName, BackendUnavailable } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"

/** A part of the product, or what is said when it is not there. */
export const productPart = (backend: BackendName, path: string): Effect.Effect<string, BackendUnavailable> =>
  Effect.tryPromise({
    try: () => fs.access(path),
    catch: () =>
      new BackendUnavailable({
        backend,
        reason: `${path} is missing`,
        remedy: "build or install aegis anew: npm run build"
      })
  }).pipe(Effect.as(path))

/** Linux's hypervisor device may be opened: it proves nothing more. */
export const kvmDevice = (backend: BackendName, device = "/dev/kvm"): Effect.Effect<void, BackendUnavailable> =>
  Effect.tryPromise({
    try: () => fs.access(device, fs.constants.R_OK | fs.constants.W_OK),
    catch: (cause) =>
      String(cause).includes("ENOENT")
        ? new BackendUnavailable({
            backend,
            reason: `${device} is not there`,
            remedy: "turn virtualization on in the firmware, or nested virtualization in the host"
          })
        : new BackendUnavailable({
            backend,
            reason: `${device} may not be opened`,
            remedy: "add yourself to the group kvm: usermod -aG kvm $USER, then log in again"
          })
  })
