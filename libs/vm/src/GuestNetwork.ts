/**
 * The network of one VM: `aegis-net` (native-bridge/aegis-net), a process of its own that outlives the daemon as its VM does.
 */
import { BootFailed, type CompiledPolicy } from "@aegis/domain"
import { giveWay, Process, ProcessTable, UnixSocket } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Helper } from "./AwaitGuest.ts"

/** What a VM's network is known by: its largest packet, and the socket at which it takes a policy and tells what it refused. */
export const GuestNetwork = Schema.Struct({ mtu: Schema.Int, controlSocket: Schema.String })
export type GuestNetwork = typeof GuestNetwork.Type

/** The guest's network device; each guest is alone on its network. */
export const guestMac = "5a:94:ef:e4:0c:ee"

/** What the guest's device is given (`native-bridge/aegis-net/addresses.go` is the other side). */
export const guestAddresses = {
  addresses: ["192.168.127.2/24", "fd7f:ae61:5::2/64"],
  gateways: ["192.168.127.1", "fd7f:ae61:5::1"],
  nameservers: ["192.168.127.1"]
}

export interface GuestNetworkOptions {
  readonly program: string
  readonly policy: CompiledPolicy
  /** The VM's run directory, where the process is recorded. */
  readonly directory: string
  /** Where the frames go: a socket of the VMM's, or one that the VMM connects to. */
  readonly link: { readonly dial: string } | { readonly listen: string }
  readonly mtu: number
}

export interface StartedNetwork {
  readonly network: GuestNetwork
  readonly helper: Helper
  /** Succeeds when the VMM may connect, and the control socket answers. */
  readonly ready: Effect.Effect<void, BootFailed>
}

/** Starts it and does not wait for it: the VMM can be started meanwhile. It ends with the scope, or when the VMM's end of the link has gone. */
export const startNetwork = (options: GuestNetworkOptions): Effect.Effect<StartedNetwork, BootFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const controlSocket = `${options.directory}/network.sock`
    const process = yield* Process.spawn({
      command: options.program,
      args: [controlSocket],
      detached: true,
      stdin: "pipe",
      stdout: "ignore",
      stderr: "tail"
    }).pipe(Effect.mapError(({ message, remedy }) => failed(message, remedy)))
    // Its VMM is released first, and it ends by itself when that has gone.
    yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(process.exit), "1 second"))
    const { link, mtu, policy } = options
    Option.map(process.stdin, (stdin) => stdin.end(`${JSON.stringify({ ...link, mtu, policy })}\n`))
    yield* giveWay(process.pid)
    yield* ProcessTable.record(`${options.directory}/network.pid`, process.pid)
    const sockets = "listen" in link ? [controlSocket, link.listen] : [controlSocket]
    const died = Effect.flatMap(process.exit, () =>
      Effect.flatMap(process.stderrTail, (text) => failed(`aegis-net ended: ${text.trim()}`))
    )
    const ready = Effect.forEach(sockets, UnixSocket.untilListening, { discard: true }).pipe(
      Effect.raceFirst(died),
      Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => failed("aegis-net did not listen within 10 s") })
    )
    return { network: { mtu, controlSocket }, helper: { name: "aegis-net", process }, ready }
  }).pipe(Effect.withSpan("GuestNetwork.start"))

const failed = (reason: string, remedy = "run it again; --network none starts it without a network") =>
  new BootFailed({ stage: "network", reason, consoleTail: "", remedy })
