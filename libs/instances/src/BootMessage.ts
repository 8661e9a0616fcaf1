import { type InstanceId, type InstanceSpec, isReadOnly } from "@aegis/domain"
import { BootMessage, protocolVersion } from "@aegis/guest"
import { Machine } from "@aegis/host"
import type { RevealedSecret } from "@aegis/vault"
import { guestAddresses, type Vm } from "@aegis/vm"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

/** The environment every command begins with (contract D-09). An image's own ENV is not part of it (S-021). */
const baseEnvironment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  TERM: "linux"
}

/** What the guest is told, once. What the caller set with `--env` wins over everything else (S-078). */
export const bootMessage = (
  id: InstanceId,
  spec: InstanceSpec,
  secrets: ReadonlyArray<RevealedSecret>,
  vm: Vm
): Effect.Effect<BootMessage> =>
  Effect.gen(function* () {
    const given = Object.fromEntries(secrets.map(({ value, variable }) => [variable, Redacted.value(value)]))
    const handle = spec.handle === undefined ? {} : { AEGIS_HANDLE: spec.handle }
    return new BootMessage({
      protocol: protocolVersion,
      argv: spec.command,
      env: Redacted.make({ ...baseEnvironment, ...given, AEGIS_INSTANCE_ID: id, ...handle, ...spec.env }),
      cwd: "/workspace",
      hostname: spec.handle ?? id,
      clockMs: yield* Clock.currentTimeMillis,
      seed: yield* Machine.randomBytes(64),
      rootDevice: vm.rootDevice,
      workspace:
        vm.workspaceTag === undefined ? undefined : { tag: vm.workspaceTag, readOnly: isReadOnly(spec.workspace) },
      network: vm.network === undefined ? undefined : { mtu: vm.network.mtu, ...guestAddresses },
      stdin: spec.interactive ? "pipe" : "null"
    })
  })
