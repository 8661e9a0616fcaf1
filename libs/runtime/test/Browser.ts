/** Debian's Chromium without a screen, spoken to through two pipes (the DevTools protocol). */
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Duplex, Readable, Writable } from "node:stream"

const Message = Schema.parseJson(
  Schema.Struct({
    id: Schema.optional(Schema.Int),
    result: Schema.optional(Schema.Unknown),
    error: Schema.optional(Schema.Struct({ message: Schema.String }))
  })
)

const Evaluated = Schema.Struct({
  result: Schema.Struct({ value: Schema.optional(Schema.Unknown) }),
  exceptionDetails: Schema.optional(
    Schema.Struct({ exception: Schema.optional(Schema.Struct({ description: Schema.optional(Schema.String) })) })
  )
})

export interface Page {
  /** Goes there as a person does who types an address; succeeds when all of it is there. */
  readonly visit: (url: string) => Promise<void>
  /** What a script's promise gives in the page. */
  readonly run: (script: string) => Promise<unknown>
}

export interface Browser {
  /** A new window. */
  readonly open: (url: string) => Promise<Page>
  readonly close: () => Promise<void>
}

/** A browser in which each of `hosts` leads to 127.0.0.1. Its sandbox needs what containers and root have not; its pages are ours. */
export const browser = async (hosts: ReadonlyArray<string>): Promise<Browser> => {
  const profile = mkdtempSync(path.join(tmpdir(), "aegis-browser-"))
  const flags = [
    ...[
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking"
    ],
    `--host-resolver-rules=${hosts.map((host) => `MAP ${host} 127.0.0.1`).join(",")}`,
    `--user-data-dir=${profile}`,
    "--remote-debugging-pipe"
  ]
  const child = spawn("chromium-headless-shell", flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] })
  const ended = once(child, "exit")
  const [, , , words, answers] = child.stdio
  if (!(words instanceof Writable) || !(answers instanceof Readable || answers instanceof Duplex)) {
    throw new Error("Chromium has no pipes")
  }
  words.on("error", () => undefined)
  const waiting = new Map<number, (message: typeof Message.Type) => void>()
  let rest = ""
  answers.setEncoding("utf8").on("data", (piece: string) => {
    const whole = (rest + piece).split("\0")
    rest = whole.pop() ?? ""
    for (const text of whole) {
      const message = Schema.decodeSync(Message)(text)
      if (message.id !== undefined) waiting.get(message.id)?.(message)
    }
  })
  let last = 0
  const call = (method: string, params: object, sessionId?: string) =>
    new Promise<unknown>((resolve, reject) => {
      const id = ++last
      waiting.set(id, ({ error, result }) => {
        waiting.delete(id)
        if (error === undefined) resolve(result)
        else reject(new Error(`${method}: ${error.message}`))
      })
      words.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    })
  const decode = <A, I>(schema: Schema.Schema<A, I>, what: Promise<unknown>) =>
    what.then(Schema.decodeUnknownPromise(schema))

  const open = async (url: string): Promise<Page> => {
    const { targetId } = await decode(
      Schema.Struct({ targetId: Schema.String }),
      call("Target.createTarget", { url: "about:blank" })
    )
    const { sessionId } = await decode(
      Schema.Struct({ sessionId: Schema.String }),
      call("Target.attachToTarget", { targetId, flatten: true })
    )
    const run = async (script: string) => {
      const params = { expression: `(async () => { ${script} })()`, awaitPromise: true, returnByValue: true }
      const { exceptionDetails, result } = await decode(Evaluated, call("Runtime.evaluate", params, sessionId))
      if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? "it threw")
      return result.value
    }
    const visit = async (to: string) => {
      const { errorText } = await decode(
        Schema.Struct({ errorText: Schema.optional(Schema.String) }),
        call("Page.navigate", { url: to }, sessionId)
      )
      if (errorText !== undefined) throw new Error(`${to}: ${errorText}`)
      await run(`if (document.readyState !== "complete") await new Promise((resolve) => { onload = resolve })`)
    }
    await visit(url)
    return { visit, run }
  }

  return {
    open,
    close: async () => {
      await call("Browser.close", {})
      await ended
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
    }
  }
}
