/**
 * docs/examples/sandbox-service.main.ts as its reader starts it: the runtime embedded in a program, and a real guest.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { existsSync } from "node:fs"
import * as path from "node:path"
import { Product, type Running, start, until } from "../product/Product.ts"

const root = path.resolve(import.meta.dirname, "../..")

describe("a program that embeds the runtime", () => {
  let product: Product
  let service: Running
  let url: string
  let said: string | undefined

  beforeAll(async () => {
    product = await Product.make()
    const { AEGIS_BACKEND } = product.env
    service = start(process.execPath, ["--import", "tsx", "docs/examples/sandbox-service.main.ts"], {
      cwd: root,
      env: { SANDBOX_HOME: product.home, PORT: "0", AEGIS_BACKEND: AEGIS_BACKEND ?? "qemu" }
    })
    void service.ended.then(({ stderr, stdout }) => (said = `${stdout}${stderr}`))
    url = await until("the service listens", () => said ?? /http:\/\/\S*:\d+/.exec(service.stdout())?.[0])
    assert.match(url, /^http/)
  })
  afterAll(async () => {
    service?.child.kill("SIGTERM")
    await service?.ended
    await product?.remove()
  })

  it("runs a request's Python in a machine of its own and leaves nothing", async () => {
    const answer = await fetch(`${url}/python`, {
      method: "POST",
      body: "import platform; print(6 * 7, platform.node())"
    })
    const { ended, output } = (await answer.json()) as { ended: object; output: string }
    assert.deepStrictEqual(ended, { _tag: "Exited", code: 0 })
    assert.match(output, /^42 \S+\n$/)

    // A client that goes away: its machine goes too.
    const leaving = new AbortController()
    const left = fetch(`${url}/python`, { method: "POST", body: "while True: pass", signal: leaving.signal }).catch(
      (error: unknown) => error
    )
    await until("its machine is there", async () => (await product.left()).length > 0)
    leaving.abort()
    await left
    await until("its machine is gone", async () => (await product.left()).length === 0)
    assert.isFalse(existsSync(path.join(product.home, "aegisd.sock")))
  })
})
