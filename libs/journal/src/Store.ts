/**
 * The one SQLite database: opened with care, written in transactions that are on the disk when they are answered.
 */
import { StoreBusy, StoreCorrupt, type StoreError, type StoreOpenError, StoreUnavailable } from "@aegis/domain"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { stat } from "node:fs/promises"
import * as Migrations from "./Migrations.ts"
import * as Reserve from "./Reserve.ts"
import * as StoreFile from "./StoreFile.ts"
import { codeOf, mapSqlError, storeError } from "./StoreFailure.ts"

export class Store extends Context.Tag("@aegis/journal/Store")<
  Store,
  {
    readonly file: string
    /** For statements in `read` and `transaction`. */
    readonly sql: SqlClient.SqlClient
    /** Gives the failures of statements outside of a transaction their meaning. */
    readonly read: <A, E>(
      statements: Effect.Effect<A, E | SqlError>
    ) => Effect.Effect<A, Exclude<E, SqlError> | StoreError>
    /**
     * All of it or nothing, one at a time; synced to the disk when it succeeds. Waits up to 5 s while another process writes. Once
     * begun it is not interrupted, and neither is `committed`, which runs after the commit. `statements` may be run again.
     */
    readonly transaction: <A, E>(
      statements: Effect.Effect<A, E | SqlError>,
      committed?: (result: A) => Effect.Effect<void>
    ) => Effect.Effect<A, Exclude<E, SqlError> | StoreError>
    readonly reserve: Reserve.Reserve
  }
>() {
  /** Opens `file`, or makes it; its directory is made private. */
  static readonly layer = (options: {
    readonly file: string
    readonly migrations?: Migrations.Migrations
  }): Layer.Layer<Store, StoreOpenError> =>
    Layer.scoped(this, open(options.file, options.migrations ?? Migrations.current))
  /** In memory, gone with its scope: for embedding and for tests. */
  static readonly memory: Layer.Layer<Store, StoreOpenError> = Layer.scoped(
    this,
    Effect.suspend(() => openMemory)
  )
}

const memory = ":memory:"

/** Blocks the thread, so short; `transaction` tries again without blocking. */
const busyTimeoutMillis = 5

const whileBusy = Schedule.spaced("25 millis").pipe(
  Schedule.upTo("5 seconds"),
  Schedule.whileInput((error: unknown) => error instanceof StoreBusy)
)

const pragmas = [
  `busy_timeout = ${busyTimeoutMillis}`,
  "synchronous = FULL",
  "foreign_keys = ON",
  "trusted_schema = OFF",
  "cell_size_check = ON",
  // What is deleted is overwritten: records hold the values of environments.
  "secure_delete = ON"
]

const openMemory = Effect.gen(function* () {
  const client = yield* connect({ filename: memory })
  yield* migrate(memory, client, Migrations.current)
  return makeStore(memory, client, Effect.void, Reserve.none)
})

const open = (file: string, migrations: Migrations.Migrations) =>
  Effect.gen(function* () {
    const known = Migrations.newest(migrations)
    yield* StoreFile.prepareDirectory(file)
    if (!(yield* StoreFile.exists(file))) {
      yield* StoreFile.createWhole(file, (temporary) =>
        Effect.scoped(
          // Filled without a log: one that cannot be emptied into the file as the connection closes is lost, and no error says so.
          Effect.flatMap(connect({ filename: temporary, disableWAL: true }), (client) =>
            Effect.zipRight(
              migrate(temporary, client, migrations),
              mapSqlError(temporary)(client.unsafe("PRAGMA journal_mode = WAL"))
            )
          )
        )
      )
    }
    yield* StoreFile.check(file, known)
    // A connection that may write would empty the log into the file when it closes: a damaged one is only looked at.
    yield* Effect.scoped(
      Effect.flatMap(connect({ filename: file, readonly: true, disableWAL: true }), (client) =>
        inspect(file, client, known)
      )
    )
    const client = yield* connect({ filename: file })
    const version = yield* userVersion(file, client)
    if (version < known) {
      yield* StoreFile.backup(file, version, (copy) => client.backup(copy))
      yield* migrate(file, client, migrations)
    }
    const opened = yield* identity(file)
    const untouched = Effect.filterOrFail(
      Effect.orElseSucceed(identity(file), () => "gone"),
      (found) => found === opened,
      () =>
        new StoreUnavailable({
          path: file,
          reason: "was removed or replaced while aegisd had it open",
          remedy: "put the file back, then start aegisd again (aegis down --keep leaves the VMs running)"
        })
    )
    const reserve = Reserve.at(file)
    yield* reserve.keep
    return makeStore(file, client, Effect.asVoid(untouched), reserve)
  }).pipe(Effect.withSpan("Store.open", { attributes: { file } }))

/** An opening that fails is a defect of the client. */
const connect = (
  config: SqliteClient.SqliteClientConfig
): Effect.Effect<SqliteClient.SqliteClient, StoreError, Scope.Scope> =>
  // A statement that could not be prepared is remembered as such for as long as this.
  SqliteClient.make({ ...config, prepareCacheTTL: "10 seconds" }).pipe(
    Effect.provide(Reactivity.layer),
    Effect.catchAllDefect((defect) => storeError(config.filename, defect)),
    Effect.tap((client) =>
      mapSqlError(config.filename)(
        Effect.forEach(pragmas, (pragma) => client.unsafe(`PRAGMA ${pragma}`), { discard: true })
      )
    )
  )

const migrate = (file: string, client: SqliteClient.SqliteClient, migrations: Migrations.Migrations) =>
  // Its commit and its migrations fail with defects.
  Migrations.migrate(client, migrations).pipe(Effect.catchAllCause((cause) => storeError(file, Cause.squash(cause))))

const userVersion = (file: string, client: SqliteClient.SqliteClient) =>
  mapSqlError(file)(
    Effect.map(client<{ user_version: number }>`PRAGMA user_version`, (rows) => rows[0]?.user_version ?? 0)
  )

const inspect = (file: string, client: SqliteClient.SqliteClient, known: number) =>
  Effect.gen(function* () {
    yield* StoreFile.checkVersion(file, yield* userVersion(file, client), known)
    const problems = yield* mapSqlError(file)(client<{ quick_check: string }>`PRAGMA quick_check(1)`)
    const problem = problems[0]?.quick_check
    if (problem !== "ok") return yield* new StoreCorrupt({ path: file, reason: `is damaged: ${problem}` })
  })

const identity = (file: string) =>
  Effect.map(
    Effect.tryPromise({ try: () => stat(file, { bigint: true }), catch: (cause) => cause }),
    ({ dev, ino }) => `${dev}:${ino}`
  ).pipe(Effect.catchAll((cause) => storeError(file, cause)))

const makeStore = (
  file: string,
  sql: SqlClient.SqlClient,
  untouched: Effect.Effect<void, StoreUnavailable>,
  reserve: Reserve.Reserve
): Context.Tag.Service<typeof Store> => {
  // After a failed fsync nobody knows what is on the disk, and a second one that succeeds says nothing about the first.
  let unsynced: StoreError | undefined
  const usable = Effect.suspend(() => (unsynced === undefined ? untouched : Effect.fail(unsynced)))
  const rememberFailedSync = (cause: unknown) =>
    /^SQLITE_IOERR_(FSYNC|DIR_FSYNC)$/.test(codeOf(cause))
      ? Effect.flip(storeError(file, cause)).pipe(Effect.map((error) => void (unsynced = error)))
      : Effect.void

  const once = <A, E>(
    statements: Effect.Effect<A, E | SqlError>,
    committed: (result: A) => Effect.Effect<void>
  ): Effect.Effect<A, E | SqlError | StoreError> =>
    Effect.gen(function* () {
      yield* usable
      const connection = yield* sql.reserve
      const run = (statement: string) =>
        Effect.tapError(connection.execute(statement, [], undefined), rememberFailedSync)
      // It may have been rolled back already by what failed.
      const rollback = Effect.ignore(connection.execute("ROLLBACK", [], undefined))
      yield* run("BEGIN IMMEDIATE")
      const exit = yield* Effect.exit(
        Effect.provideService(statements, SqlClient.TransactionConnection, [connection, 0])
      )
      if (Exit.isFailure(exit)) {
        yield* rollback
        return yield* exit
      }
      yield* Effect.tapError(run("COMMIT"), () => rollback)
      yield* committed(exit.value)
      return exit.value
    }).pipe(Effect.scoped, Effect.uninterruptible)

  return Store.of({
    file,
    sql,
    reserve,
    read: mapSqlError(file),
    transaction: (statements, committed = () => Effect.void) =>
      Effect.retry(mapSqlError(file)(once(statements, committed)), whileBusy)
  })
}
