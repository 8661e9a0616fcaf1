/**
 * The REST routes as schemathesis sees them: it makes requests out of their own OpenAPI, good ones and bad ones, and holds each answer
 * against it. The runtime is the real one on simulated machines.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import * as net from "node:net"
import { homedir, tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { setupModule } from "../../../test/setup/program.ts"
import { servedOn } from "./served.ts"

interface CacheModule {
  readonly cacheDirectory: (env: NodeJS.ProcessEnv, home: string) => string
  readonly makeCache: (root: string) => object
}
interface ToolsModule {
  readonly ensureSchemathesis: (root: string, cache: object) => Promise<string>
}

const root = path.resolve(import.meta.dirname, "../../..")
const directory = mkdtempSync(path.join(tmpdir(), "aegisd-schema-"))
const socket = path.join(directory, "s")

/** What there is, and what there is not. */
const known: Readonly<Record<string, ReadonlyArray<string>>> = {
  id: ["box", "asleep", "nobody"],
  name: ["files", "nothing"],
  key: ["KEY", "OTHER"],
  port: ["80", "8080"]
}
/** Where `box` would be waited for without end, or would be gone for all who come after. */
const narrower: Readonly<Record<string, ReadonlyArray<string>>> = {
  "get /v1/instances/{id}/wait": ["asleep", "nobody"],
  "delete /v1/instances/{id}": ["other", "nobody"]
}

/** No registry is asked for what a random name may mean. */
const withoutImages = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutImages)
  if (!Predicate.isRecord(value)) return value
  const { image_ref: _, ...rest } = value
  return Object.fromEntries(Object.entries(rest).map(([name, field]) => [name, withoutImages(field)]))
}

/** The description with parameters that mostly lead to something: a random id is nobody's. A stream that goes on is left out. */
const withKnown = (description: unknown): unknown => {
  const parameter = (operation: string, one: unknown) => {
    if (!Predicate.isRecord(one) || one["in"] !== "path") return one
    const values = one["name"] === "id" ? (narrower[operation] ?? known["id"]) : known[String(one["name"])]
    return { ...one, schema: { type: "string", enum: values } }
  }
  const changed = (operation: string, value: unknown) =>
    Predicate.isRecord(value) && Array.isArray(value["parameters"])
      ? {
          ...value,
          ...(value["requestBody"] === undefined ? {} : { requestBody: withoutImages(value["requestBody"]) }),
          parameters: value["parameters"]
            .filter((one) => !Predicate.isRecord(one) || one["name"] !== "follow")
            .map((one) => parameter(operation, one))
        }
      : value
  const fields = (value: unknown, change: (name: string, field: unknown) => unknown) =>
    Predicate.isRecord(value)
      ? Object.fromEntries(Object.entries(value).map(([name, field]) => [name, change(name, field)]))
      : value
  if (!Predicate.isRecord(description)) return description
  const paths = fields(description["paths"], (route, operations) =>
    fields(operations, (method, operation) => changed(`${method} ${route}`, operation))
  )
  return { ...description, paths }
}

/**
 * Checks that would not hold, and why:
 * - positive_data_acceptance: rules that JSON Schema has no words for, such as a time's form or names that are kept, are refused with 400;
 * - unsupported_method: Node's server answers TRACE before it comes to us;
 * - allow_header_conformance: `/v1/instances/prune` is also an instance's address, whose methods `Allow` names;
 * - use_after_free, ensure_resource_availability: a handle is free again once its instance is gone, and `create` starts a stopped one.
 */
const left = [
  "positive_data_acceptance",
  "unsupported_method",
  "allow_header_conformance",
  "use_after_free",
  "ensure_resource_availability"
]

describe("REST, held against its own description", () => {
  const ended = Effect.runSync(Deferred.make<void>())
  const http = createServer()
  let served: Promise<void>
  let bridge: net.Server
  let url: string
  let python: string
  const put = async (method: string, route: string, body: object) => {
    const headers = { "content-type": "application/json" }
    const { status } = await fetch(`${url}${route}`, { method, headers, body: JSON.stringify(body) })
    assert.include([200, 201], status, route)
  }

  beforeAll(async () => {
    const { cacheDirectory, makeCache } = await setupModule<CacheModule>("cache.mjs")
    const { ensureSchemathesis } = await setupModule<ToolsModule>("testtools.mjs")
    python = await ensureSchemathesis(root, makeCache(cacheDirectory(process.env, homedir())))
    const ready = Effect.runSync(Deferred.make<void>())
    served = Effect.runPromise(
      Layer.build(servedOn(http, socket)).pipe(
        Effect.zipRight(Deferred.succeed(ready, undefined)),
        Effect.zipRight(Deferred.await(ended)),
        Effect.scoped
      )
    )
    await Promise.race([served, Effect.runPromise(Deferred.await(ready))])
    bridge = net.createServer((near) => {
      const far = net.connect(socket)
      near.pipe(far).pipe(near)
      near.on("error", () => far.destroy())
      far.on("error", () => near.destroy())
    })
    await new Promise<void>((resolve) => bridge.listen(0, "127.0.0.1", resolve))
    const address = bridge.address()
    assert.isObject(address)
    url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`
    for (const handle of ["box", "other"]) await put("POST", "/v1/instances", { handle, command: ["sleep"] })
    await put("POST", "/v1/instances", { handle: "asleep", command: ["exit", "0"], workspace: "files" })
    await put("PUT", "/v1/secrets/KEY", { value: "x" })
  }, 600_000)
  afterAll(async () => {
    bridge?.close()
    await Effect.runPromise(Deferred.succeed(ended, undefined))
    await served
    rmSync(directory, { recursive: true, force: true })
  })

  it("no request is answered with 5xx, or with what the description does not say", async () => {
    const description = path.join(directory, "openapi.json")
    const own: unknown = await (await fetch(`${url}/v1/openapi.json`)).json()
    writeFileSync(description, JSON.stringify(withKnown(own)))
    const { code, said } = await new Promise<{ code: unknown; said: string }>((resolve) => {
      const args = [
        ...["-m", "schemathesis.cli", "run", description, "-u", url, "--seed", "1", "--no-color"],
        ...["--phases", "coverage,fuzzing", "--max-examples", "8", "--request-timeout", "30"],
        ...["--exclude-checks", left.join(","), "--generation-database", "none"]
      ]
      const env = { PATH: process.env["PATH"], HOME: directory, PYTHONDONTWRITEBYTECODE: "1" }
      execFile(python, args, { cwd: directory, env, maxBuffer: 1e8 }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : error.code, said: stdout + stderr })
      )
    })
    assert.strictEqual(code, 0, said.slice(-8000))
    assert.match(said, /Tested: 23/)
    assert.isAbove(Number(/generated, (\d+) passed/.exec(said)?.[1]), 400, said)
    // It came to what there is, and not only to refusals.
    const events = await (await fetch(`${url}/v1/events?target=box`)).text()
    for (const event of ["InstancePaused", "KeepaliveGiven", "PortExposed"]) assert.include(events, event)
  }, 300_000)
})
