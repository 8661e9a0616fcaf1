/**
 * The tables, one migration after the other. What was released is never changed: a new shape is a new migration.
 */
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { zeroHash } from "./HashChain.ts"

export type Migrations = Readonly<Record<string, Effect.Effect<void, SqlError, SqlClient.SqlClient>>>

const statements = (texts: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.forEach(texts, (text) => sql.unsafe(text), { discard: true }))

const journal = statements([
  `CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    instance_id TEXT,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    cause TEXT NOT NULL,
    data TEXT NOT NULL
  ) STRICT`,
  "CREATE INDEX events_of_instance ON events (instance_id, seq) WHERE instance_id IS NOT NULL",
  "CREATE INDEX events_at ON events (at)",
  `CREATE TRIGGER events_are_kept BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END`,
  `CREATE TRIGGER events_stay_as_they_are BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END`,
  `CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    last_instance TEXT NOT NULL
  ) STRICT`,
  `INSERT INTO head (one, seq, hash, last_instance) VALUES (1, 0, '${zeroHash}', '0')`,
  `CREATE TABLE instances (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    handle TEXT UNIQUE,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    stopped_at INTEGER,
    last_active_at INTEGER NOT NULL,
    cursor INTEGER,
    wake_ups_suspended INTEGER NOT NULL,
    image TEXT,
    workspace TEXT,
    ports TEXT NOT NULL,
    vm TEXT,
    ended TEXT,
    spec TEXT NOT NULL
  ) STRICT`,
  "CREATE INDEX instances_by_state ON instances (state, number)"
])

/** Who paused those that are paused: the events know, also of those that an older version has paused. */
const idle = statements([
  "ALTER TABLE instances ADD COLUMN paused_by TEXT",
  "ALTER TABLE instances ADD COLUMN keepalive TEXT",
  `UPDATE instances SET paused_by = (
    SELECT cause FROM events
    WHERE instance_id = instances.id AND json_extract(data, '$._tag') = 'InstancePaused'
    ORDER BY seq DESC LIMIT 1
  ) WHERE state = 'paused'`
])

/** Bundled with the program: nothing is looked for on disk. */
export const current: Migrations = { "1_journal": journal, "2_idle": idle }

/** The newest schema that `migrations` know. */
export const newest = (migrations: Migrations): number =>
  Math.max(0, ...Object.keys(migrations).map((name) => Number.parseInt(name, 10)))

/** "AegJ" in the file's header: the mark that a database is ours. */
export const applicationId = 0x4165674a

/** Brings the tables up to date in one transaction, and writes the schema's number into the file's header. */
export const migrate = (sql: SqlClient.SqlClient, migrations: Migrations) =>
  Migrator.make({})({ loader: Migrator.fromRecord(migrations), table: "migrations" }).pipe(
    Effect.provideService(SqlClient.SqlClient, sql),
    Effect.zipRight(sql.unsafe(`PRAGMA application_id = ${applicationId}`)),
    Effect.zipRight(sql.unsafe(`PRAGMA user_version = ${newest(migrations)}`)),
    Effect.asVoid
  )
