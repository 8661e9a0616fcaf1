/**
 * The REST routes over HTTP on a Unix socket, answered by the real runtime on the simulated backend.
 */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { createServer, request } from "node:http"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { servedOn } from "./served.ts"

const socket = path.join(mkdtempSync(path.join(tmpdir(), "aegisd-rest-")), "s")

const http = createServer()

const served = servedOn(http, socket)

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: Record<string, unknown>
  readonly text: string
}

/** `onText` sees what has come so far and says whether that is enough. */
const call = (method: string, route: string, payload?: object, onText: (text: string) => boolean = () => false) =>
  Effect.async<Answer>((resume) => {
    const asked = request({ socketPath: socket, method, path: route, headers: { "content-type": "application/json" } })
    asked.on("error", (error) => resume(Effect.die(error)))
    asked.on("response", (response) => {
      let text = ""
      const answer = () => {
        const type = response.headers["content-type"] ?? ""
        const body = type.includes("application/json") ? (JSON.parse(text) as Record<string, unknown>) : {}
        resume(Effect.succeed({ status: response.statusCode ?? 0, type, body, text }))
      }
      response.on("data", (bytes: Buffer) => {
        text += bytes.toString()
        if (!onText(text)) return
        answer()
        asked.destroy()
      })
      response.on("end", answer)
    })
    asked.end(payload === undefined ? undefined : JSON.stringify(payload))
  })

const create = (payload: object) => call("POST", "/v1/instances", payload)

const stateOf = (target: string) => Effect.map(call("GET", `/v1/instances/${target}`), ({ body }) => body["state"])

const inState = (target: string, state: string): Effect.Effect<void> =>
  Effect.flatMap(stateOf(target), (seen) =>
    seen === state ? Effect.void : Effect.andThen(Effect.sleep("10 millis"), inState(target, state))
  )

describe("REST", () => {
  layer(served, { excludeTestServices: true })((it) => {
    it.effect("S-083 S-087 S-088 D-23 create answers 201, a restart 200, one that runs 409", () =>
      Effect.gen(function* () {
        const made = yield* create({ handle: "Web", command: ["sleep"], memory_mb: 128 })
        assert.strictEqual(made.status, 201, made.text)
        assert.deepInclude(made.body, { state: "starting", handle: "web", command: ["sleep"], memory_mb: 128 })
        yield* inState("web", "running")
        for (const payload of [{ handle: "web" }, { handle: "web", command: ["exit", "0"] }]) {
          const taken = yield* create(payload)
          assert.strictEqual(taken.status, 409)
          assert.strictEqual(taken.body["error"], 'instance "web" is running')
          assert.include(["StateConflict", "HandleTaken"], taken.body["code"])
          assert.isString(taken.body["remedy"])
        }
        assert.deepStrictEqual((yield* call("POST", "/v1/instances/web/stop")).body, { status: "stopped" })
        const again = yield* create({ handle: "web" })
        assert.deepStrictEqual([again.status, again.body["id"]], [200, made.body["id"]])
        assert.deepStrictEqual(again.body["command"], ["sleep"])
      })
    )

    it.effect(
      "S-084 T-10 neither command nor a known handle is 400 command is required, and a bad image reference is named",
      () =>
        Effect.gen(function* () {
          for (const payload of [{}, { handle: "nobody" }]) {
            const refused = yield* create(payload)
            assert.strictEqual(refused.status, 400)
            assert.match(String(refused.body["error"]), /command is required$/)
            assert.strictEqual(refused.body["code"], "InvalidArgument")
          }
          const bad = yield* create({ command: [] })
          assert.deepStrictEqual([bad.status, bad.body["code"]], [400, "InvalidArgument"])
          const image = yield* create({ command: ["exit", "0"], image_ref: "No/Such" })
          assert.deepStrictEqual([image.status, image.body["code"]], [400, "ImageRefInvalid"])
        })
    )

    it.effect(
      "S-074 T-133 T-137 a workspace is said as with --workspace: a name or an absolute path, either with :ro",
      () =>
        Effect.gen(function* () {
          const directory = mkdtempSync(path.join(tmpdir(), "aegisd-rest-ws-"))
          for (const [text, asked] of [
            ["claw", { _tag: "Named", name: "claw", readOnly: false }],
            ["claw:ro", { _tag: "Named", name: "claw", readOnly: true }],
            [directory, { _tag: "HostPath", path: directory, readOnly: false }],
            [`${directory}:ro`, { _tag: "HostPath", path: directory, readOnly: true }]
          ] as const) {
            const made = yield* create({ command: ["exit", "0"], workspace: text })
            assert.strictEqual(made.status, 201, made.text)
            const id = String(made.body["id"])
            yield* inState(id, "stopped")
            const { text: events } = yield* call("GET", `/v1/events?target=${id}`)
            for (const word of Object.entries(asked)) assert.include(events, `"${word[0]}":${JSON.stringify(word[1])}`)
          }
          for (const text of ["", "..", "a/b", "../x:ro", ":ro", "-x", "run-inst-1"]) {
            const refused = yield* create({ command: ["exit", "0"], workspace: text })
            assert.deepStrictEqual([refused.status, refused.body["code"]], [400, "InvalidArgument"], text)
          }
          const { body } = yield* create({ command: ["exit", "0"], handle: "gone", workspace: directory })
          yield* inState("gone", "stopped")
          rmSync(directory, { recursive: true })
          const again = yield* call("POST", "/v1/instances/gone/start")
          assert.deepStrictEqual([again.status, again.body["code"]], [409, "WorkspaceGone"], again.text)
          assert.deepStrictEqual([yield* stateOf(String(body["id"])), existsSync(directory)], ["stopped", false])
        })
    )

    it.effect("S-098 U-003 list filters by state, with the original's field names", () =>
      Effect.gen(function* () {
        yield* create({ handle: "done", command: ["exit", "3"] })
        yield* inState("done", "stopped")
        const stopped = JSON.parse((yield* call("GET", "/v1/instances?state=stopped")).text) as ReadonlyArray<object>
        assert.isTrue(stopped.every((one) => "state" in one && one.state === "stopped"))
        const done = stopped.find((one) => "handle" in one && one.handle === "done") ?? {}
        for (const name of ["id", "created_at", "last_active_at", "stopped_at", "ended"]) assert.property(done, name)
        assert.strictEqual((yield* call("GET", "/v1/instances?state=busy")).status, 400)
      })
    )

    it.effect("S-015 S-120 S-109 U-006 U-007 every action takes handle or id, and an unknown one is 404", () =>
      Effect.gen(function* () {
        const made = yield* create({ handle: "turns", command: ["sleep"] })
        yield* inState("turns", "running")
        const id = String(made.body["id"])
        assert.deepStrictEqual((yield* call("POST", `/v1/instances/${id}/pause`)).body, { status: "paused" })
        assert.strictEqual(yield* stateOf("turns"), "paused")
        const twice = yield* call("POST", "/v1/instances/turns/pause")
        assert.deepStrictEqual([twice.status, twice.body["error"]], [409, 'instance "turns" is paused'])
        assert.deepStrictEqual((yield* call("POST", "/v1/instances/turns/resume")).body, { status: "running" })
        for (let times = 0; times < 2; times++) {
          const stopped = yield* call("POST", `/v1/instances/${id}/stop?timeout=1s`)
          assert.deepStrictEqual([stopped.status, stopped.body], [200, { status: "stopped" }])
        }
        const started = yield* call("POST", `/v1/instances/${id}/start`)
        assert.deepStrictEqual([started.status, started.body["state"]], [200, "starting"])
        assert.strictEqual((yield* call("POST", `/v1/instances/turns/stop?timeout=2h`)).status, 400)
        assert.deepStrictEqual((yield* call("DELETE", "/v1/instances/turns")).body, { status: "deleted" })
        for (const [method, route] of [
          ["GET", "turns"],
          ["DELETE", "turns"],
          ["POST", "turns/stop"],
          ["POST", "turns/start"],
          ["POST", "turns/pause"],
          ["POST", "turns/resume"],
          ["GET", "turns/wait"],
          ["POST", "No%20Such/start"]
        ] as const) {
          const gone = yield* call(method, `/v1/instances/${route}`)
          assert.deepStrictEqual([gone.status, gone.body["code"]], [404, "NotFound"], route)
        }
      })
    )

    it.effect("wait answers when it is stopped, with how it ended", () =>
      Effect.gen(function* () {
        yield* create({ handle: "waited", command: ["exit", "7"] })
        const ended = yield* call("GET", "/v1/instances/waited/wait")
        assert.strictEqual(ended.status, 200)
        assert.deepInclude(ended.body, { state: "stopped", ended: { _tag: "Exited", code: 7 } })
      })
    )

    it.effect("S-146 D-07 T-20 prune answers how many and which, and refuses what is no duration", () =>
      Effect.gen(function* () {
        yield* create({ handle: "old", command: ["exit", "0"] })
        const { body } = yield* call("GET", "/v1/instances/old/wait")
        assert.deepStrictEqual((yield* call("POST", "/v1/instances/prune")).body, { pruned: 0, ids: [] })
        for (const bad of ["7", "-1d", "1e9d", "7%20d", "d", "99999999999d"]) {
          const refused = yield* call("POST", `/v1/instances/prune?older_than=${bad}`)
          assert.deepStrictEqual([refused.status, refused.body["code"]], [400, "InvalidArgument"], bad)
        }
        yield* Effect.sleep("20 millis")
        const pruned = yield* call("POST", "/v1/instances/prune?older_than=0h")
        assert.include(pruned.body["ids"] as ReadonlyArray<unknown>, body["id"])
        assert.strictEqual(pruned.body["pruned"], (pruned.body["ids"] as ReadonlyArray<unknown>).length)
        assert.strictEqual((yield* call("GET", "/v1/instances/old")).status, 404)
      })
    )

    it.effect("events are NDJSON, of one that is gone too, without values of variables, and follow what comes", () =>
      Effect.gen(function* () {
        yield* create({ handle: "noted", command: ["exit", "0"], env: { TOKEN: "s3cret" } })
        yield* call("GET", "/v1/instances/noted/wait")
        yield* call("DELETE", "/v1/instances/noted")
        const told = yield* call("GET", "/v1/events?target=noted")
        assert.strictEqual(told.status, 200)
        assert.include(told.type, "application/x-ndjson")
        assert.notInclude(told.text, "s3cret")
        const events = told.text
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as { readonly data: { readonly _tag: string }; readonly cause: unknown })
        assert.deepStrictEqual(
          events.map(({ data }) => data._tag),
          ["InstanceCreated", "InstanceStarted", "InstanceEnded", "InstanceDeleted"]
        )
        assert.deepStrictEqual(events[0]?.cause, { _tag: "Rest", route: "POST /v1/instances" })
        assert.deepStrictEqual(events[3]?.cause, { _tag: "Rest", route: "DELETE /v1/instances/{id}" })
        for (const target of ["ghost", "inst-1"]) {
          assert.strictEqual((yield* call("GET", `/v1/events?target=${target}`)).status, 404)
        }
        assert.strictEqual((yield* call("GET", "/v1/events?since=2999-01-01T00:00:00Z")).text, "")
        assert.strictEqual((yield* call("GET", "/v1/events?since=yesterday")).status, 400)
        const [followed] = yield* Effect.all(
          [
            call("GET", "/v1/events?follow=1", undefined, (text) => text.includes('"handle":"later"')),
            Effect.delay(create({ handle: "later", command: ["exit", "0"] }), "50 millis")
          ],
          { concurrency: 2 }
        )
        assert.include(followed.text, "InstanceDeleted")
      })
    )

    it.effect(
      "U-057 a keepalive is given, replaced and ended; not to one that is stopped, and not for more than a day",
      () =>
        Effect.gen(function* () {
          yield* create({ handle: "kept", command: ["sleep"] })
          yield* inState("kept", "running")
          const keep = (payload: object) => call("POST", "/v1/instances/kept/keepalive", payload)
          const given = yield* keep({ seconds: 600, reason: "a build" })
          assert.strictEqual(given.status, 200, given.text)
          const { reason, until } = given.body["keepalive"] as { readonly reason: string; readonly until: string }
          assert.strictEqual(reason, "a build")
          assert.closeTo(Date.parse(until) - Date.now(), 600_000, 10_000)
          assert.deepStrictEqual((yield* call("GET", "/v1/instances/kept")).body["keepalive"], { reason, until })
          assert.notProperty((yield* keep({ seconds: 60 })).body["keepalive"], "reason")
          for (const _ of [1, 2]) assert.notProperty((yield* keep({ seconds: 0 })).body, "keepalive")
          const { text } = yield* call("GET", "/v1/events?target=kept")
          assert.deepStrictEqual(
            [...text.matchAll(/"_tag":"(Keepalive\w+)"/g)].map(([, tag]) => tag),
            ["KeepaliveGiven", "KeepaliveGiven", "KeepaliveEnded"]
          )
          assert.include(text, '"route":"POST /v1/instances/{id}/keepalive"')
          for (const payload of [
            ...[{ seconds: 86_401 }, { seconds: -1 }, { seconds: 1.5 }, {}, { reason: "why" }],
            ...[
              { seconds: 1, reason: "" },
              { seconds: 1, reason: "x".repeat(201) },
              { seconds: 1, more: 1 }
            ]
          ]) {
            const refused = yield* keep(payload)
            assert.deepStrictEqual([refused.status, refused.body["code"]], [400, "InvalidArgument"], refused.text)
          }
          yield* keep({ seconds: 600 })
          yield* call("POST", "/v1/instances/kept/stop?timeout=0")
          assert.notProperty((yield* call("GET", "/v1/instances/kept")).body, "keepalive")
          const stopped = yield* keep({ seconds: 60 })
          assert.deepStrictEqual([stopped.status, stopped.body["code"]], [409, "StateConflict"])
          assert.include(stopped.body["remedy"] as string, "aegis instance start --name kept")
          assert.strictEqual((yield* keep({ seconds: 0 })).status, 200)
          assert.strictEqual((yield* call("POST", "/v1/instances/ghost/keepalive", { seconds: 1 })).status, 404)
        })
    )

    it.effect(
      "S-070 U-071 a port is exposed and unexposed by the guest's number; what cannot be is 400, 404 or 409",
      () =>
        Effect.gen(function* () {
          yield* create({ handle: "open", command: ["sleep"] })
          const route = "/v1/instances/open/expose"
          const made = yield* call("POST", route, { port: 80 })
          assert.strictEqual(made.status, 200, made.text)
          const [endpoint] = made.body["endpoints"] as ReadonlyArray<{ guest: number; host: number; protocol: string }>
          assert.deepStrictEqual([endpoint?.guest, endpoint?.protocol], [80, "http"])
          assert.deepStrictEqual(made.body["expose_ports"], [80])
          assert.strictEqual((yield* call("POST", route, { port: 80, host_port: endpoint?.host })).status, 200)
          for (const [payload, status, code] of [
            [{ port: 80, protocol: "tcp" }, 409, "AlreadyExposed"],
            [{ port: 81, host_port: endpoint?.host }, 409, "PortTaken"],
            [{ port: 0 }, 400, "InvalidArgument"],
            [{ port: 81, protocol: "udp" }, 400, "InvalidArgument"],
            [{ port: 81, hostPort: 8080 }, 400, "InvalidArgument"],
            [{}, 400, "InvalidArgument"]
          ] as const) {
            const refused = yield* call("POST", route, payload)
            assert.deepStrictEqual([refused.status, refused.body["code"]], [status, code], refused.text)
            assert.isNotEmpty(refused.body["remedy"])
          }
          for (const port of ["0", "080", "65536", "0x50", "%2080", "http"]) {
            const refused = yield* call("DELETE", `${route}/${port}`)
            assert.deepStrictEqual([refused.status, refused.body["code"]], [400, "InvalidArgument"], refused.text)
          }
          const gone = yield* call("DELETE", `${route}/80`)
          assert.deepStrictEqual([gone.status, gone.body["endpoints"], gone.body["expose_ports"]], [200, [], []])
          const again = yield* call("DELETE", `${route}/80`)
          assert.deepStrictEqual([again.status, again.body["code"]], [404, "NotExposed"])
          assert.strictEqual((yield* call("POST", "/v1/instances/ghost/expose", { port: 80 })).status, 404)
          const { text } = yield* call("GET", "/v1/events?target=open")
          const tags = [...text.matchAll(/"_tag":"(Port\w+)"/g)].map(([, tag]) => tag)
          assert.deepStrictEqual(tags, ["PortExposed", "PortUnexposed"])
          assert.include(text, '"route":"DELETE /v1/instances/{id}/expose/{port}"')
        })
    )

    it.effect("S-120 the routes are described in the OpenAPI document", () =>
      Effect.gen(function* () {
        const { body } = yield* call("GET", "/v1/openapi.json")
        assert.includeMembers(Object.keys(body["paths"] as object), [
          ...["/v1/instances", "/v1/instances/{id}", "/v1/instances/prune", "/v1/events", "/v1/status", "/v1/metrics"],
          ...["start", "stop", "pause", "resume", "wait", "keepalive", "expose", "expose/{port}"].map(
            (name) => `/v1/instances/{id}/${name}`
          )
        ])
      })
    )

    it.effect(
      "S-176 S-179 S-181 U-023 a secret is put, listed without its value, and deleted; no route gives a value",
      () =>
        Effect.gen(function* () {
          const made = yield* call("PUT", "/v1/secrets/API_KEY", { value: "planted-1" })
          assert.strictEqual(made.status, 200, made.text)
          assert.deepInclude(made.body, { name: "API_KEY", version: 1 })
          assert.match(String(made.body["created_at"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
          // A client may write any letter in percent.
          const again = yield* call("PUT", "/v1/secrets/%41PI_KEY", { value: "planted-2" })
          assert.deepInclude(again.body, { name: "API_KEY", version: 2 })
          const list = yield* call("GET", "/v1/secrets")
          assert.deepStrictEqual(
            (JSON.parse(list.text) as ReadonlyArray<{ name: string }>).map(({ name }) => name),
            ["API_KEY"]
          )
          for (const method of ["GET", "POST", "PATCH"]) {
            const refused = yield* call(method, "/v1/secrets/API_KEY")
            assert.include([404, 405], refused.status)
          }
          const events = yield* call("GET", "/v1/events")
          for (const { text } of [made, again, list, events]) assert.notInclude(text, "planted")
          assert.include(events.text, '"SecretsSet"')
          const refusals: ReadonlyArray<readonly [string, object]> = [
            ["/v1/secrets/API_KEY", { value: "" }],
            ["/v1/secrets/API_KEY", { value: "planted\0" }],
            ["/v1/secrets/API_KEY", { value: { planted: 1 } }],
            ["/v1/secrets/API_KEY", ["planted"]],
            ["/v1/secrets/API_KEY", { secret: "planted" }],
            ["/v1/secrets/a%2Fb", { value: "planted" }],
            ["/v1/secrets/A%3DB", { value: "planted" }],
            ["/v1/secrets/AEGIS_VSOCK_PORT", { value: "planted" }]
          ]
          for (const [route, payload] of refusals) {
            const refused = yield* call("PUT", route, payload)
            const code = Array.isArray(payload) ? "InvalidJson" : "InvalidArgument"
            assert.deepStrictEqual([refused.status, refused.body["code"]], [400, code], refused.text)
            assert.notInclude(refused.text, "planted")
          }
          const deleted = yield* call("DELETE", "/v1/secrets/API_KEY")
          assert.deepStrictEqual([deleted.status, deleted.body], [200, { status: "deleted" }])
          for (const name of ["API_KEY", "a%2Fb"]) {
            const unknown = yield* call("DELETE", `/v1/secrets/${name}`)
            assert.deepStrictEqual([unknown.status, unknown.body["code"]], [404, "SecretUnknown"])
          }
        })
    )

    it.effect("S-064 workspaces are listed with who has them, and removed only when nobody does", () =>
      Effect.gen(function* () {
        const made = yield* create({ command: ["sleep"], handle: "worker", workspace: "project" })
        assert.strictEqual(made.status, 201, made.text)
        yield* inState("worker", "running")
        const all: ReadonlyArray<Record<string, unknown>> = JSON.parse((yield* call("GET", "/v1/workspaces")).text)
        const project = all.find(({ name }) => name === "project")
        const expected = {
          entries: 0,
          complete: true,
          used_by: [{ id: made.body["id"], handle: "worker", state: "running" }]
        }
        assert.deepInclude(project, expected)
        assert.deepInclude((yield* call("GET", "/v1/workspaces/project")).body, expected)
        const refused = yield* call("DELETE", "/v1/workspaces/project")
        assert.deepStrictEqual([refused.status, refused.body["code"]], [409, "WorkspaceInUse"])
        assert.match(String(refused.body["remedy"]), /aegis instance delete worker/)
        yield* call("DELETE", "/v1/instances/worker")
        const removed = yield* call("DELETE", "/v1/workspaces/project")
        assert.strictEqual(removed.status, 200, removed.text)
        assert.deepInclude(removed.body, { name: "project", used_by: [] })
        assert.isFalse(existsSync(String(removed.body["path"])))
        for (const name of ["project", "a%2Fb", "..", "%2e%2e", "UPPER%00"]) {
          for (const method of ["GET", "DELETE"]) {
            const unknown = yield* call(method, `/v1/workspaces/${name}`)
            assert.strictEqual(unknown.status, 404, `${method} ${name}: ${unknown.text}`)
          }
        }
        assert.include((yield* call("GET", "/v1/events")).text, '"route":"DELETE /v1/workspaces/{name}"')
      })
    )

    it.effect(
      "S-073 S-175 D-05 D-23 secrets of a new instance are names, KEY=VARIABLE or *; an unknown one is 404",
      () =>
        Effect.gen(function* () {
          yield* call("PUT", "/v1/secrets/TOKEN", { value: "planted" })
          const unknown = yield* create({ command: ["sleep"], secrets: ["NO_SUCH"] })
          assert.deepStrictEqual([unknown.status, unknown.body["code"]], [404, "SecretUnknown"])
          for (const secrets of [[""], ["A=B=C"], ["TOKEN=AEGIS_X"], [7]]) {
            const refused = yield* create({ command: ["sleep"], secrets })
            assert.deepStrictEqual([refused.status, refused.body["code"]], [400, "InvalidArgument"])
          }
          const made = yield* create({ command: ["sleep"], handle: "holder", secrets: ["TOKEN=T", "*"] })
          assert.deepStrictEqual(made.body["secrets"], ["TOKEN=T", "*"])
          yield* inState("holder", "running")
          const events = yield* call("GET", "/v1/events?target=holder")
          assert.include(
            events.text,
            '"secrets":[{"name":"TOKEN","variable":"TOKEN","version":1},{"name":"TOKEN","variable":"T","version":1}]'
          )
          assert.include(events.text, '"route":"POST /v1/instances"')
          assert.notInclude(events.text, "planted")
          yield* call("DELETE", "/v1/instances/holder")
          yield* call("DELETE", "/v1/secrets/TOKEN")
        })
    )
  })
})
