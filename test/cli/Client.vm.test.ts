/**
 * `@aegis/client` as its users have it: packed, and in projects outside of this one; and what it says of a daemon that is not there,
 * stops, is killed, and comes back.
 */
import { type Client, connect, DaemonUnreachable } from "@aegis/client/promise"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Product, start } from "../product/Product.ts"

const root = path.resolve(import.meta.dirname, "../..")
const outside = path.join(root, "test/product/outside")

describe("the client's package, with a daemon", () => {
  let product: Product
  let project: string
  const node = async (...args: ReadonlyArray<string>) => {
    const { code, stderr, stdout } = await start(process.execPath, args, { cwd: project, env: product.env }).ended
    assert.deepStrictEqual([code, stderr], [0, ""], stdout)
    return stdout
  }
  const place = (name: string, to: string) => {
    mkdirSync(path.dirname(path.join(project, "node_modules", to)), { recursive: true })
    symlinkSync(path.join(root, "node_modules", name), path.join(project, "node_modules", to))
  }

  beforeAll(async () => {
    product = await Product.make()
    project = mkdtempSync(path.join(tmpdir(), "aegis-outside-"))
    const packed = await start(process.execPath, ["apps/setup/main.mjs", "pack", project], { cwd: root }).ended
    assert.strictEqual(packed.code, 0, packed.stderr)
    const own = path.join(project, "node_modules/@aegis/client")
    mkdirSync(own, { recursive: true })
    await start("tar", ["-xzf", packed.stdout.trim(), "-C", own, "--strip-components=1"]).ended
    const { dependencies } = JSON.parse(readFileSync(path.join(own, "package.json"), "utf8"))
    // What its manifest names and nothing else, as an installation would bring it.
    for (const name of Object.keys(dependencies)) place(name, name)
    place("@types/node", "@types/node")
    writeFileSync(path.join(project, "package.json"), `{ "type": "module" }`)
    for (const name of ["plain.mjs", "typed.ts"]) {
      writeFileSync(path.join(project, name), readFileSync(path.join(outside, name)))
    }
    const up = await product.run(["up"])
    assert.strictEqual(up.code, 0, up.stderr)
  })
  afterAll(async () => {
    await product?.remove()
    if (project !== undefined) rmSync(project, { recursive: true, force: true })
  })

  it("serves a project in plain JavaScript", async () => {
    assert.deepStrictEqual(JSON.parse(await node("plain.mjs")), {
      running: ["running"],
      said: { reason: { _tag: "Exited", code: 3 }, exitCode: 3, stdout: "FED TWICE\n", stderr: "warned\n" },
      beside: "beside it\n",
      pieces: 3,
      aborted: "enough",
      programs: ["plain"],
      notFound: [true, true, "NotFound", `instance "nobody" not found`, "aegis instance list shows what there is"],
      invalid: [true, "instance"],
      absent: [true, "absent", "aegis up"],
      left: 0,
      closed: "this client has been closed"
    })
  })

  it("serves a project in strict TypeScript, with promises and with Effect", async () => {
    const compilerOptions = { module: "NodeNext", target: "ES2022", strict: true, skipLibCheck: true, outDir: "out" }
    const options = { ...compilerOptions, types: ["node"], exactOptionalPropertyTypes: true }
    writeFileSync(
      path.join(project, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, files: ["typed.ts", "readme.ts"] })
    )
    const [, example = ""] = /^```ts\n(.*?)^```$/ms.exec(readFileSync(path.join(root, "README.md"), "utf8")) ?? []
    writeFileSync(path.join(project, "readme.ts"), example)
    await node(path.join(root, "node_modules/typescript/bin/tsc"), "-p", ".")
    assert.deepStrictEqual(JSON.parse(await node("out/typed.js")), {
      finished: { reason: { _tag: "Exited", code: 0 }, exitCode: 0, stdout: "42\n", stderr: "running" },
      effect: ["NotFound", "effect\n"]
    })
    const [, said = ""] = /console\.log.*\/\/ (.*)$/m.exec(example) ?? []
    assert.strictEqual(await node("out/readme.js"), `${said}\n\n`)
  })

  it("tells a daemon that was killed from one that stops and one that is not there, and finds the next one", async () => {
    const aegis = connect({ home: product.home })
    const { instance } = await aegis.start({ command: ["sleep", "600"] })
    const killed = pending(aegis, instance.id)
    process.kill((await aegis.status()).pid, "SIGKILL")
    assert.deepStrictEqual(await killed, ["lost", "lost", "lost"])
    assert.strictEqual(await unreachable(aegis.status()), "absent")

    assert.strictEqual((await product.run(["up"])).code, 0)
    // At once, with the client that saw the old one die.
    assert.strictEqual((await aegis.get(instance.id)).id, instance.id)
    const stopped = pending(aegis, instance.id)
    await aegis.status()
    const down = product.run(["down"])
    const [waited, ...streams] = await stopped
    // A daemon that stops ends its instances first: that is what was waited for.
    assert.include(["no failure", "stopping", "lost"], waited)
    for (const reason of streams) assert.include(["stopping", "lost"], reason)
    await down
    assert.strictEqual(await unreachable(aegis.status()), "absent")
    assert.strictEqual(await unreachable(aegis.run({ command: ["true"] })), "absent")
    await aegis.close()
  })
})

/** A unary call and two streams that would go on, and what each of them ended with. */
const pending = (aegis: Client, target: string) =>
  Promise.all([
    unreachable(aegis.wait(target)),
    unreachable(drained(aegis.stream((service) => service.watch))),
    unreachable(drained(aegis.events({ follow: true })))
  ])

const drained = async (items: AsyncIterable<unknown>) => {
  for await (const _ of items);
}

const unreachable = (call: Promise<unknown>) =>
  call.then(
    () => "no failure",
    (error: unknown) => (error instanceof DaemonUnreachable ? error.reason : error)
  )
