/** What is counted of exposed ports, from the client's bytes to the metrics of Effect. */
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import { once } from "node:events"
import * as http from "node:http"
import * as net from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { leading } from "./leading.ts"

/** What Effect's metrics say of an instance's endpoint, without their common prefix. */
const measured = (instance: string) =>
  Object.fromEntries(
    Metric.unsafeSnapshot().flatMap(({ metricKey: { name, tags }, metricState }) =>
      MetricState.isCounterState(metricState) && tags.some(({ key, value }) => key === "instance" && value === instance)
        ? [[name.replace("aegis_endpoint_", ""), Number(metricState.count)]]
        : []
    )
  )

describe("what is counted of exposed ports", () => {
  const aegis = leading()
  const server = http.createServer((request, response) => {
    request.resume()
    request.on("end", () => response.end("x".repeat(5000)))
  })
  let port = 0

  beforeAll(async () => {
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address()
    port = typeof address === "object" && address !== null ? address.port : 0
  })
  afterAll(async () => {
    await aegis.close()
    server.close()
  })

  const used = async (handle: string) => (await aegis.client.get(handle)).endpointUses?.[0]

  it("S-105 requests, bytes and wakes of an http port; one that is stopped keeps its counts, and one that is deleted has none", async () => {
    const exposed = await aegis.expose("counted", port, "http")
    const post = async () =>
      (await fetch(`http://127.0.0.1:${exposed}/`, { method: "POST", body: "y".repeat(3000) })).text()
    for (let i = 0; i < 3; i++) await post()
    await aegis.client.stop("counted")
    await post()
    // Bytes are told when an exchange is over, which is a moment after its client has all of it.
    let use = await used("counted")
    for (; use === undefined || use.sent < 20_000; use = await used("counted")) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.deepInclude(use, { guest: 80, connections: 4, requests: 4, wakes: 1, errors: 0 })
    // The bodies, and what heads there were.
    assert.isTrue(use.received > 12_000 && use.received < 16_000, `${use?.received} received`)
    assert.isTrue(use.sent > 20_000 && use.sent < 24_000, `${use?.sent} sent`)
    assert.deepStrictEqual(measured("counted"), {
      ...{ connections_total: 4, requests_total: 4, wakes_total: 1 },
      ...{ received_bytes_total: use.received, sent_bytes_total: use.sent }
    })
    await aegis.client.stop("counted")
    assert.deepStrictEqual(await used("counted"), use)
    await aegis.client.remove("counted")
    await aegis.expose("counted", port, "http")
    assert.isUndefined(await used("counted"))
  })

  it("S-105 bytes of a tcp port are seen while its connection is open; a port that nobody answers at is an error", async () => {
    const echo = net.createServer((connection) => connection.pipe(connection)).listen(0, "127.0.0.1")
    await once(echo, "listening")
    const address = echo.address()
    const exposed = await aegis.expose(
      "echo",
      typeof address === "object" && address !== null ? address.port : 0,
      "tcp"
    )
    const socket = net.connect(exposed, "127.0.0.1")
    socket.write("hello")
    await once(socket, "data")
    while ((await used("echo"))?.sent !== 5) await new Promise((resolve) => setTimeout(resolve, 50))
    assert.deepInclude(await used("echo"), { connections: 1, requests: 0, received: 5, sent: 5, errors: 0 })
    socket.destroy()
    echo.close()
    await aegis.client.expose("echo", { port: 81 })
    const silent = (await aegis.client.get("echo")).endpoints.find(({ guest }) => guest === 81)?.host
    await aegis.client.pause("echo")
    assert.strictEqual(
      (await fetch(`http://127.0.0.1:${silent}/`, { headers: { "sec-fetch-site": "cross-site" } })).status,
      403
    )
    const uses = (await aegis.client.get("echo")).endpointUses
    assert.deepInclude(
      uses?.find(({ guest }) => guest === 81),
      { connections: 1, requests: 1, wakes: 0, errors: 1 }
    )
  })
})
