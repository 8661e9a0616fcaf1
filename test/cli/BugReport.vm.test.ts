/**
 * `aegis bug-report`: what a person sends to people they do not know.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { inState } from "../product/Fleet.ts"
import { Product, start } from "../product/Product.ts"

describe("aegis bug-report", () => {
  let product: Product
  let scratch = ""

  beforeAll(async () => {
    product = await Product.make()
    scratch = mkdtempSync(path.join(tmpdir(), "aegis-report-"))
    assert.strictEqual((await product.run(["up"])).code, 0)
  })
  afterAll(async () => {
    await product?.remove()
    rmSync(scratch, { recursive: true, force: true })
  })

  /** Makes a report, and gives the text of each of its files. */
  const report = async (name: string) => {
    const env = { MY_TOKEN: 'token-"quoted"-tail-of-it', EDITOR: "vi" }
    const made = await product.run(["bug-report", name], { cwd: scratch, env })
    assert.deepStrictEqual([made.code, made.stderr], [0, ""], made.stdout)
    const file = path.join(scratch, name)
    assert.include(made.stdout, file)
    assert.strictEqual(statSync(file).mode & 0o777, 0o600)
    const folder = mkdtempSync(path.join(scratch, "out-"))
    assert.strictEqual((await start("tar", ["-xzf", file, "-C", folder]).ended).stderr, "")
    return new Map(readdirSync(folder).map((entry) => [entry, readFileSync(path.join(folder, entry), "utf8")]))
  }

  it("holds what happened, and no secret, command, variable, name or output of a guest", async () => {
    await product.run(["secret", "set", "API_KEY", "secret-value-4711"])
    const script = "echo output-of-guest $API_KEY $MODE; echo word-of-command > /dev/console; exec sleep 600"
    const args = ["--name", "handle-of-mine", "--secret", "API_KEY", "--env", "MODE=value-of-variable"]
    await product.says("instance", "start", ...args, "--", "sh", "-c", script)
    await inState(product, "handle-of-mine", "running")

    const files = await report("report.tar.gz")
    assert.sameMembers(
      [...files.keys()],
      ["README.txt", "machine.json", "daemon.json", "instances.json", "events.json", "aegisd.log"]
    )
    const [instance] = JSON.parse(files.get("instances.json") ?? "").instances
    assert.strictEqual(instance.state, "running")
    const events = JSON.parse(files.get("events.json") ?? "").events as ReadonlyArray<{ event: string }>
    assert.includeMembers(
      events.map(({ event }) => event),
      ["SecretsSet", "InstanceCreated"]
    )
    assert.strictEqual(JSON.parse(files.get("daemon.json") ?? "").running, true)

    const all = [...files.values()].join("\n")
    for (const hidden of [
      ...["secret-value-4711", "API_KEY", "value-of-variable", "MODE", "output-of-guest", "word-of-command"],
      ...["handle-of-mine", "token-", "tail-of-it", product.home, process.env["HOME"] ?? product.home]
    ]) {
      assert.notInclude(all, hidden)
    }
  })

  it("is made without a daemon, too, and never over a file that is there", async () => {
    await product.run(["down"])
    const again = await product.run(["bug-report", "report.tar.gz"], { cwd: scratch })
    assert.strictEqual(again.code, 1)
    assert.include(again.stderr, "try: name another file")
    const files = await report("second.tar.gz")
    assert.deepStrictEqual(JSON.parse(files.get("daemon.json") ?? ""), { running: false })
    assert.include(JSON.parse(files.get("instances.json") ?? "").error, "aegisd is not running")
  })
})
