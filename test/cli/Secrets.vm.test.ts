import { createHash, randomBytes } from "node:crypto"
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { inState, killDaemon, rest, vmOf } from "../product/Fleet.ts"
import { Product } from "../product/Product.ts"

const sha = (text: string) => createHash("sha256").update(text).digest("hex")

/** Says what its variable is without saying it. */
const tellHash = 'printf %s "$KEY" | sha256sum; exec sleep 1000'

/** Each place where one of these texts, or its base64, can be found: files of the home, command lines and environments of the machine. */
const found = (home: string, texts: ReadonlyArray<string>) => {
  const needles = texts.flatMap((text) => [text, Buffer.from(text).toString("base64").slice(0, 16)])
  const files = readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
  const processes = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`])
  const bytes = (file: string) => {
    try {
      return readFileSync(file)
    } catch {
      // It ended, or is another user's.
      return Buffer.alloc(0)
    }
  }
  assert.isAbove(files.length, 5)
  return [...files, ...processes].filter((file) => {
    const content = bytes(file)
    return needles.some((needle) => content.includes(needle))
  })
}

describe("secrets", () => {
  let aegis: Product
  const first = `planted-${randomBytes(12).toString("hex")}`
  const second = `planted-${randomBytes(12).toString("hex")}`
  const plain = `plain-${randomBytes(12).toString("hex")}`
  const start = ["instance", "start", "--memory", "64"]

  beforeAll(async () => {
    aegis = await Product.make()
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  })
  afterAll(() => aegis.remove())

  const told = async (args: ReadonlyArray<string>) => {
    const { code, stderr, stdout } = await aegis.run(args)
    assert.strictEqual(code, 0, stderr)
    return stdout
  }

  const store = async (name: string, value: string) =>
    assert.strictEqual(
      (await aegis.run(["secret", "set", name], { input: `${value}\n` })).stdout,
      `Secret ${name} set\n`
    )

  it("S-176 S-177 S-178 the reference's examples, as printed", async () => {
    assert.strictEqual(await told(["secret", "list"]), "No secrets\n")
    assert.strictEqual(await told(["secret", "set", "API_KEY", "sk-test123"]), "Secret API_KEY set\n")
    assert.strictEqual(await told(["secret", "set", "DB_PASSWORD", "x y"]), "Secret DB_PASSWORD set\n")
    assert.strictEqual(await told(["secret", "list"]), "Secrets:\n  API_KEY\n  DB_PASSWORD\n")
    assert.strictEqual(await told(["secret", "delete", "API_KEY"]), "Secret API_KEY deleted\n")
    const again = await aegis.run(["secret", "delete", "API_KEY"])
    assert.deepStrictEqual([again.code, again.stdout], [1, ""])
    assert.include(again.stderr, 'secret "API_KEY" not found')
    assert.strictEqual(statSync(path.join(aegis.home, "master.key")).mode & 0o777, 0o600)
  })

  it("S-076 S-077 D-05 T-8 none is given unless it is named, and an unknown one is refused before anything is made", async () => {
    await store("KEY", first)
    const env = await told(["run", "--memory", "64", "--", "env"])
    assert.notMatch(env, /KEY|DB_PASSWORD/)
    const unknown = await aegis.run(["run", "--secret", "KEY", "--secret", "NO_SUCH", "--", "env"])
    assert.deepStrictEqual([unknown.code, unknown.stdout], [125, ""])
    assert.include(unknown.stderr, 'secret "NO_SUCH" not found')
    assert.include(unknown.stderr, "aegis secret set NO_SUCH")
    const created = await rest(aegis, "POST", "/v1/instances", { command: ["env"], handle: "no", secrets: ["NO_SUCH"] })
    assert.deepStrictEqual([created.status, created.body.code], [404, "SecretUnknown"])
    assert.strictEqual(await told(["instance", "list"]), "No instances\n")
    assert.notInclude(await told(["events", "--json"]), "NO_SUCH")
  })

  it("S-073 S-078 T-130 all, renamed, and --env wins", async () => {
    const flags = ["--secret", "*", "--secret", "KEY=RENAMED", "--env", "DB_PASSWORD=mine"]
    const env = await told(["run", "--memory", "64", ...flags, "--", "env"])
    const lines = env.split("\n")
    for (const line of [`KEY=${first}`, `RENAMED=${first}`, "DB_PASSWORD=mine"]) assert.include(lines, line)
  })

  it("S-172 S-175 T-126 P4 a running guest has it, and nothing of the host: no file, log, journal, command line, environment, answer", async () => {
    const made = await told([
      ...start,
      "--name",
      "box",
      "--secret",
      "KEY",
      "--env",
      `PLAIN=${plain}`,
      "--",
      "sh",
      "-c",
      tellHash
    ])
    assert.match(made, /^Instance started: /)
    const { id } = await inState(aegis, "box", "running")
    assert.include(await waitForLog(aegis, sha(first)), sha(first))
    assert.deepStrictEqual(found(aegis.home, [first]), [])
    for (const pid of [aegis.daemonPid, await vmOf(aegis, id)]) {
      assert.match(readFileSync(`/proc/${pid}/limits`, "utf8"), /^Max core file size +0 +0 /m)
    }
    const answers = await Promise.all([
      ...["info box", "list", "info box --json"].map((words) => told(["instance", ...words.split(" ")])),
      ...["secret list --json", "secret export --names", "events", "events --json", "why box"].map((words) =>
        told(words.split(" "))
      ),
      ...["/v1/secrets", "/v1/instances", `/v1/instances/${id}`, "/v1/events"].map(async (route) =>
        JSON.stringify((await rest(aegis, "GET", route)).body)
      )
    ])
    for (const answer of answers) {
      assert.notInclude(answer, first)
      assert.notInclude(answer, plain)
    }
    assert.include(await told(["instance", "info", "box"]), "Secrets:     KEY\n")
    assert.match(await told(["events", "box"]), /given KEY \(version 1\) \(aegis instance start\)/)
    assert.include(await told(["why", "box"]), "Its guest was given the secret KEY.")
  })

  it("S-091 T-125 a guest that runs keeps its value; a restart has the new one, and one that was deleted refuses it", async () => {
    await store("KEY", second)
    assert.strictEqual(await told(["secret", "rotate-key"]), "Key rotated, 2 secrets encrypted anew\n")
    // S-180: another daemon, the same secrets.
    await killDaemon(aegis)
    await told(["up"])
    assert.strictEqual((await inState(aegis, "box", "running")).state, "running")
    await told(["instance", "stop", "box", "--timeout", "0"])
    assert.match(await told(["instance", "start", "--name", "box"]), /^Instance restarted: /)
    assert.include(await waitForLog(aegis, sha(second)), sha(second))
    assert.match(await told(["events", "box"]), /given KEY \(version 2\)/)
    assert.deepStrictEqual(found(aegis.home, [first, second]), [])
    await told(["instance", "stop", "box", "--timeout", "0"])
    await told(["secret", "delete", "KEY"])
    const refused = await aegis.run(["instance", "start", "--name", "box"])
    assert.strictEqual(refused.code, 1)
    assert.include(refused.stderr, 'secret "KEY" not found')
    await inState(aegis, "box", "stopped")
  })

  it("values of --env are gone with their instance, from the journal too", async () => {
    assert.isAbove(found(aegis.home, [plain]).length, 0)
    await told(["instance", "delete", "box"])
    assert.deepStrictEqual(found(aegis.home, [plain]), [])
    assert.strictEqual((await aegis.run(["audit", "verify"])).code, 0)
  })

  it("T-114 a key that others can read: what needs no secret goes on, the rest says what to do", async () => {
    const key = path.join(aegis.home, "master.key")
    assert.isTrue(existsSync(key))
    chmodSync(key, 0o644)
    assert.strictEqual(await told(["run", "--memory", "64", "--", "echo", "fine"]), "fine\n")
    const refused = await aegis.run(["run", "--secret", "DB_PASSWORD", "--", "env"])
    assert.strictEqual(refused.code, 125)
    assert.include(refused.stderr, `chmod 600 ${key}`)
    chmodSync(key, 0o600)
  })
})

const waitForLog = async (aegis: Product, text: string) => {
  for (;;) {
    const { stdout } = await aegis.run(["logs", "box"])
    if (stdout.includes(text)) return stdout
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
