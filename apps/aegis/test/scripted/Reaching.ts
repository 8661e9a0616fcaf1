/**
 * Ports, leases and networks of the scripted daemon's instances: kept and shown, and nothing leads anywhere.
 */
import {
  AlreadyExposed,
  type Exposure,
  Instance,
  Keepalive,
  type KeepaliveRequest,
  type NetworkPolicy,
  NotExposed,
  PortBinding
} from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { find, put } from "./Guests.ts"

const change = (target: string, changes: Partial<Instance>) =>
  Effect.gen(function* () {
    const guest = yield* find(target)
    const instance = new Instance({ ...guest.instance, ...changes })
    yield* put({ ...guest, instance })
    return instance
  })

export const expose = (target: string, { hostPort, port, protocol }: Exposure) =>
  Effect.gen(function* () {
    const { endpoints } = (yield* find(target)).instance
    const there = endpoints.find(({ guest }) => guest === port)
    if (there !== undefined) return yield* new AlreadyExposed({ target, port, host: there.host, protocol })
    const host = hostPort ?? 49_152 + endpoints.length
    return yield* change(target, { endpoints: [...endpoints, new PortBinding({ guest: port, host, protocol })] })
  })

export const unexpose = (target: string, port: number) =>
  Effect.gen(function* () {
    const { endpoints } = (yield* find(target)).instance
    const left = endpoints.filter(({ guest }) => guest !== port)
    if (left.length === endpoints.length) return yield* new NotExposed({ target, port })
    return yield* change(target, { endpoints: left })
  })

export const keepAlive = (target: string, { reason, seconds }: KeepaliveRequest) =>
  Effect.gen(function* () {
    const until = DateTime.add(yield* DateTime.now, { seconds })
    const keepalive = new Keepalive({ until, ...(reason === undefined ? {} : { reason }) })
    return yield* change(target, { keepalive: seconds === 0 ? undefined : keepalive })
  })

export const setNetwork = (target: string, network: NetworkPolicy) => change(target, { network })
