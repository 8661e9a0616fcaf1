/**
 * Pages in a real browser against the whole runtime: guests are simulated, the router and all that wakes them is not.
 */
import { Client } from "@aegis/client/promise"
import { routerAddress } from "@aegis/domain"
import { Runtime } from "@aegis/runtime"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import * as http from "node:http"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { WebSocketServer } from "ws"
import { bridge } from "../../client/src/promise/Bridge.ts"
import { type Browser, browser } from "./Browser.ts"

/** What reached the guests, as `web GET /path`. */
const seen: Array<string> = []

/** A web application: a page, server-sent events, a WebSocket, a cookie. */
const site = (name: string) => {
  const server = http.createServer((request, response) => {
    seen.push(`${name} ${request.method} ${request.url}`)
    request.resume()
    if (request.url === "/events") {
      response.writeHead(200, { "Content-Type": "text/event-stream" })
      response.write("data: one\n\n")
      return setTimeout(() => response.write("data: two\n\n"), 20)
    }
    if (request.url === "/cookie") response.setHeader("Set-Cookie", `from=${name}`)
    response.setHeader("Content-Type", "text/html")
    return response.end(`<title>${name}</title>${request.headers.cookie ?? "no cookie"}`)
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on("upgrade", (request, socket, head) => {
    seen.push(`${name} WebSocket ${request.url}`)
    sockets.handleUpgrade(request, socket, head, (one) =>
      one.on("message", (text: Buffer) => one.send(`heard ${text}`))
    )
  })
  return server
}

/** All that a page can send without asking. Gives `answered` for each where the browser says that an answer came. */
const everything = (base: string) => `
  const to = ${JSON.stringify(base)}
  const kinds = {
    get: () => fetch(to + "/get", { mode: "no-cors" }),
    post: () => fetch(to + "/post", { mode: "no-cors", method: "POST", body: "x" }),
    read: () => fetch(to + "/read"),
    form: () => new Promise((resolve) => {
      const frame = Object.assign(document.createElement("iframe"), { name: "f" + Math.random() })
      document.body.append(frame)
      const form = Object.assign(document.createElement("form"), { method: "POST", action: to + "/form", target: frame.name })
      document.body.append(form)
      frame.onload = resolve
      form.submit()
    }),
    frame: () => new Promise((resolve) => {
      document.body.append(Object.assign(document.createElement("iframe"), { src: to + "/frame", onload: resolve }))
    }),
    image: () => new Promise((resolve) => { Object.assign(new Image(), { src: to + "/image", onerror: resolve }) }),
    socket: () => new Promise((resolve, reject) => {
      Object.assign(new WebSocket(to.replace("http", "ws") + "/socket"), { onopen: resolve, onerror: () => reject() })
    })
  }
  const results = {}
  for (const [kind, send] of Object.entries(kinds)) {
    results[kind] = await send().then(() => "answered", () => "failed")
  }
  return results`

/** Of these `read` needs the guest's leave, and `socket` is refused. */
const unread = {
  ...{ get: "answered", post: "answered", form: "answered", frame: "answered", image: "answered" },
  ...{ read: "failed", socket: "failed" }
}

describe("the router, seen by a browser", { timeout: 60_000 }, () => {
  const home = mkdtempSync(path.join(tmpdir(), "aegis-pages-"))
  let chromium: Browser
  let client: Client
  let router = ""
  let foreign = 0
  const elsewhere = http.createServer((_, response) => {
    response.writeHead(200, { "Content-Type": "text/html" })
    response.end("<title>elsewhere</title><body>")
  })
  const ports = new Map<string, number>()

  beforeAll(async () => {
    elsewhere.listen(0, "127.0.0.1")
    await once(elsewhere, "listening")
    const address = elsewhere.address()
    foreign = typeof address === "object" && address !== null ? address.port : 0
    const runtime = Runtime.layerSimulated({
      home,
      bootTime: "50 millis",
      settings: { AEGIS_ROUTER_ORIGINS: `http://friend.test:${foreign}` },
      programs: ([, name = ""]) =>
        Option.some(({ listen }) => {
          const server = site(name)
          return Effect.zipRight(
            listen(80, (connection) => server.emit("connection", connection)),
            Effect.never
          )
        })
    })
    client = new Client(bridge(ManagedRuntime.make(runtime)))
    for (const handle of ["web", "other"]) {
      const { instance } = await client.start({ command: ["serve", handle], handle, exposes: [{ port: 80 }] })
      ports.set(handle, instance.endpoints[0]?.host ?? 0)
    }
    router = routerAddress((await client.status()).router) ?? ""
    chromium = await browser(["evil.test", "friend.test"])
  }, 60_000)
  afterAll(async () => {
    await chromium.close()
    await client.close()
    elsewhere.close()
    rmSync(home, { recursive: true, force: true })
  })

  const named = (handle: string) => `http://${handle}.localhost:${new URL(router).port}`
  const own = (handle: string) => `http://127.0.0.1:${ports.get(handle)}`
  const states = async () => (await client.list()).map(({ handle, state }) => `${handle} ${state}`).toSorted()
  const stopped = async () => {
    for (const handle of ["web", "other"]) await client.stop(handle).catch(() => undefined)
    seen.length = 0
  }

  it("T-170 T-171 T-172 T-173 a page of another origin wakes nothing, whatever it sends; a person who goes there does", async () => {
    await stopped()
    // Of another site, and of the same: to a browser, ports of one host are one site.
    for (const origin of [`http://evil.test:${foreign}`, `http://127.0.0.1:${foreign}`]) {
      const page = await chromium.open(origin)
      for (const base of [named("web"), own("web"), `${router}/web`]) {
        assert.deepStrictEqual(await page.run(everything(base)), unread, `${origin} to ${base}`)
      }
    }
    assert.deepStrictEqual(seen, [])
    assert.deepStrictEqual(await states(), ["other stopped", "web stopped"])
    const person = await chromium.open(named("web"))
    assert.strictEqual(await person.run("return document.title"), "web")
    // A link is followed by a person as well.
    const reader = await chromium.open(`http://evil.test:${foreign}`)
    await reader.run(`setTimeout(() => { location.href = ${JSON.stringify(own("other"))} })`)
    await waited(async () => (await states()).join() === "other running,web running")
  })

  it("T-171 T-172 T-173 S-203 while it runs a foreign page gets no further than safe requests, and never to the control API", async () => {
    const person = await chromium.open(named("web"))
    seen.length = 0
    const page = await chromium.open(`http://evil.test:${foreign}`)
    for (const base of [named("web"), own("web")]) {
      assert.deepStrictEqual(await page.run(everything(base)), unread)
    }
    const safe = ["get", "read", "frame", "image"].map((kind) => `web GET /${kind}`)
    assert.deepStrictEqual(seen, [...safe, ...safe])
    const before = await states()
    for (const target of ["/v1/instances", "/v1/status", "/web/v1/instances"]) {
      for (const base of [router, named("web"), own("web")]) {
        await page.run(
          `await fetch(${JSON.stringify(base + target)}, { mode: "no-cors", method: "POST", body: '{"command":["x"]}' })`
        )
      }
      // Its own page may ask: it is the guest that answers.
      const body = await person.run(`return await (await fetch(${JSON.stringify(target)})).text()`)
      assert.strictEqual(body, "<title>web</title>no cookie")
    }
    assert.deepStrictEqual(await states(), before)
  })

  it("T-170 an origin that the owner names wakes it, sends what it likes, and has WebSockets", async () => {
    await stopped()
    const page = await chromium.open(`http://friend.test:${foreign}`)
    assert.deepStrictEqual(await page.run(everything(named("web"))), { ...unread, socket: "answered" })
    assert.deepStrictEqual(
      seen,
      ["GET /get", "POST /post", "GET /read", "POST /form", "GET /frame", "GET /image", "WebSocket /socket"].map(
        (one) => `web ${one}`
      )
    )
  })

  it("S-199 T-180 T-181 a page of web.localhost has its events and its WebSocket, and wakes its guest itself", async () => {
    await stopped()
    const page = await chromium.open(named("web"))
    const used = `
      const events = new EventSource("/events")
      const heard = []
      await new Promise((resolve) => { events.onmessage = ({ data }) => { heard.push(data); if (heard.length === 2) resolve() } })
      const socket = new WebSocket("ws://" + location.host + "/socket")
      await new Promise((resolve) => { socket.onopen = resolve })
      socket.send("hello")
      heard.push(await new Promise((resolve) => { socket.onmessage = ({ data }) => resolve(data) }))
      const posted = await fetch("/post", { method: "POST", body: "x" })
      return [...heard, posted.status]`
    assert.deepStrictEqual(await page.run(used), ["one", "two", "heard hello", 200])
    await client.stop("web")
    assert.strictEqual(await page.run(`return (await fetch("/again", { method: "POST" })).status`), 200)
    assert.include(await states(), "web running")
  })

  it("T-176 a cookie of one guest reaches the others of 127.0.0.1, as docs/ROUTER.md says, and not those of *.localhost", async () => {
    const page = await chromium.open(`${own("web")}/cookie`)
    const says = async (url: string) => {
      await page.visit(url)
      return page.run("return document.body.textContent")
    }
    assert.strictEqual(await says(own("other")), "from=web")
    await page.visit(`${named("other")}/cookie`)
    assert.strictEqual(await says(named("web")), "no cookie")
    assert.strictEqual(await says(named("other")), "from=other")
  })
})

const waited = async (look: () => Promise<boolean>) => {
  for (let left = 500; !(await look()); left--) {
    assert.isAbove(left, 0, "it did not come")
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
