/**
 * Records of instances as rows of the table and back.
 */
import {
  EndReason,
  EventCause,
  InstanceId,
  InstanceSpec,
  InstanceState,
  Keepalive,
  PortBinding,
  VmRecord
} from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type InstanceRecord, trusted } from "./InstanceRecord.ts"

export type Row = Readonly<Record<string, unknown>>

/** Milliseconds since 1970. */
const Millis = Schema.transform(Schema.Int, Schema.DateTimeUtcFromSelf, {
  strict: true,
  decode: (millis) => DateTime.unsafeMake(millis),
  encode: DateTime.toEpochMillis
})

const InstanceRow = Schema.Struct({
  id: InstanceId,
  handle: Schema.NullOr(Schema.String),
  state: InstanceState,
  created_at: Millis,
  started_at: Schema.NullOr(Millis),
  stopped_at: Schema.NullOr(Millis),
  last_active_at: Millis,
  cursor: Schema.NullOr(Schema.Int),
  wake_ups_suspended: Schema.transform(Schema.Literal(0, 1), Schema.Boolean, {
    strict: true,
    decode: (bit) => bit === 1,
    encode: (flag) => (flag ? 1 : 0)
  }),
  image: Schema.NullOr(Schema.String),
  workspace: Schema.NullOr(Schema.String),
  ports: Schema.parseJson(Schema.Array(PortBinding)),
  vm: Schema.NullOr(Schema.parseJson(VmRecord)),
  ended: Schema.NullOr(Schema.parseJson(EndReason)),
  paused_by: Schema.NullOr(Schema.parseJson(EventCause)),
  keepalive: Schema.NullOr(Schema.parseJson(Keepalive)),
  spec: Schema.parseJson(InstanceSpec)
})

const encodeRow = Schema.encode(InstanceRow)
const decodeRow = Schema.decodeUnknown(InstanceRow)

/** The row of a record. A record that its own schema refuses is a bug. */
export const write = (record: InstanceRecord) =>
  Effect.orDie(
    encodeRow({
      id: record.id,
      handle: record.handle ?? null,
      state: record.state,
      created_at: record.createdAt,
      started_at: record.startedAt ?? null,
      stopped_at: record.stoppedAt ?? null,
      last_active_at: record.lastActiveAt,
      cursor: record.cursor ?? null,
      wake_ups_suspended: record.wakeUpsSuspended,
      image: record.image ?? null,
      workspace: record.workspace ?? null,
      ports: record.ports,
      vm: record.vm ?? null,
      ended: record.ended ?? null,
      paused_by: record.pausedBy ?? null,
      keepalive: record.keepalive ?? null,
      spec: record.spec
    })
  )

/** The record of a row; fails for one that this version cannot read. */
export const read = (row: Row) =>
  Effect.map(decodeRow(row), (decoded) =>
    trusted({
      id: decoded.id,
      state: decoded.state,
      spec: decoded.spec,
      ports: decoded.ports,
      createdAt: decoded.created_at,
      lastActiveAt: decoded.last_active_at,
      wakeUpsSuspended: decoded.wake_ups_suspended,
      startedAt: decoded.started_at ?? undefined,
      stoppedAt: decoded.stopped_at ?? undefined,
      cursor: decoded.cursor ?? undefined,
      image: decoded.image ?? undefined,
      workspace: decoded.workspace ?? undefined,
      vm: decoded.vm ?? undefined,
      ended: decoded.ended ?? undefined,
      pausedBy: decoded.paused_by ?? undefined,
      keepalive: decoded.keepalive ?? undefined
    })
  )
