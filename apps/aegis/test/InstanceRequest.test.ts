import { assert, describe, it } from "@effect/vitest"
import { networkPolicyText } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type InstanceFlags, instanceRequest } from "../src/InstanceRequest.ts"

const none: InstanceFlags = {
  name: Option.none(),
  image: Option.none(),
  env: [],
  expose: [],
  workspace: Option.none(),
  network: Option.none(),
  allow: [],
  deny: [],
  allowHost: [],
  memory: Option.none(),
  cpus: Option.none(),
  idlePause: Option.none(),
  idleStop: Option.none(),
  interactive: false
}

const request = (
  flags: Partial<InstanceFlags>,
  argv: ReadonlyArray<string> = ["true"],
  cwd: string | undefined = "/home/me"
) => instanceRequest({ ...none, ...flags }, argv, cwd)

const refusal = (flags: Partial<InstanceFlags>, argv?: ReadonlyArray<string>) =>
  Effect.map(Effect.flip(request(flags, argv)), (error) => {
    assert.strictEqual(error._tag, "UsageError")
    assert.isNotEmpty(error.remedy)
    return error.message
  })

describe("instanceRequest", () => {
  it.effect("D-19 defaults are 512 MiB, one processor and a temporary workspace", () =>
    Effect.gen(function* () {
      const spec = yield* request({})
      assert.deepStrictEqual([Number(spec.memoryMib), Number(spec.vcpus), spec.interactive], [512, 1, false])
      assert.strictEqual(spec.workspace._tag, "Temporary")
    })
  )

  it.effect("S-072 T-6 --env keeps further = and empty values, and refuses what has no name", () =>
    Effect.gen(function* () {
      const spec = yield* request({ env: ["A=x=y", "B=", "C=\n", "A=2"] })
      assert.deepStrictEqual(spec.env, { A: "2", B: "", C: "\n" })
      assert.strictEqual(yield* refusal({ env: ["NOEQ"] }), "invalid --env format: NOEQ (expected KEY=VALUE)")
      assert.strictEqual(yield* refusal({ env: ["=x"] }), "invalid --env format: =x (expected KEY=VALUE)")
      assert.include(yield* refusal({ env: ["__proto__=x"] }), "invalid --env format")
    })
  )

  it.effect("S-073 T-7 T-118 --secret is KEY, KEY=NAME or *, any number of them; what is no name is refused", () =>
    Effect.gen(function* () {
      const spec = yield* request({ secret: ["A", "B=C", "*", "A"] })
      assert.deepStrictEqual(
        spec.secrets.map((one) => (one._tag === "All" ? "*" : `${one.variable} from ${one.name}`)),
        ["A from A", "C from B", "*", "A from A"]
      )
      for (const bad of ["", "=", "A=", "=A", "A=B=C", "A=AEGIS_X", "a/b", "1A", "**", "A B", "__proto__"]) {
        assert.include(yield* refusal({ secret: [bad] }), `invalid --secret: ${bad}`)
      }
    })
  )

  it.effect("D-16 T-9 --name is a handle, in lower case", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* request({ name: Option.some("Web") })).handle, "web")
      for (const bad of ["..", "a/b", "-x", "a".repeat(300), "é", "inst-1234", "__proto__", ""]) {
        assert.include(yield* refusal({ name: Option.some(bad) }), `invalid --name: ${bad}`)
      }
    })
  )

  it.effect("D-19 T-29 T-30 memory and processors out of range are refused with the range", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* request({ memory: Option.some("64") })).memoryMib, 64)
      for (const bad of ["63", "0", "1.5", "0x40", "512M", "1e3", "99999999999", "٥", " 64"]) {
        const message = yield* refusal({ memory: Option.some(bad) })
        assert.include(message, `--memory: ${bad}: `)
        assert.include(message, "at least 64")
      }
      for (const bad of ["0", "9", "256", "0.5"]) {
        assert.include(yield* refusal({ cpus: Option.some(bad) }), `--cpus: ${bad}: cpus is a whole number from 1 to 8`)
      }
    })
  )

  it.effect("S-074 a word without / and without a leading . is a workspace's name, anything else a path", () =>
    Effect.gen(function* () {
      const workspace = (text: string) =>
        Effect.map(request({ workspace: Option.some(text) }), (spec): object => ({ ...spec.workspace }))
      assert.deepStrictEqual(yield* workspace("claw"), { _tag: "Named", name: "claw", readOnly: false })
      assert.deepStrictEqual(yield* workspace("claw:ro"), { _tag: "Named", name: "claw", readOnly: true })
      assert.deepStrictEqual(yield* workspace("/srv/x:ro"), { _tag: "HostPath", path: "/srv/x", readOnly: true })
    })
  )

  it.effect("S-075 a relative path is resolved against the caller's directory", () =>
    Effect.gen(function* () {
      for (const [text, path] of [
        ["./myapp", "/home/me/myapp"],
        [".", "/home/me"],
        ["..", "/home"],
        ["sub/dir", "/home/me/sub/dir"]
      ] as const) {
        const { workspace } = yield* request({ workspace: Option.some(text) })
        assert.deepStrictEqual({ ...workspace } as object, { _tag: "HostPath", path, readOnly: false })
      }
      const gone = yield* Effect.flip(instanceRequest({ ...none, workspace: Option.some("./x") }, ["true"], undefined))
      assert.include(gone.message, "nor an absolute path")
    })
  )

  it.effect("S-081 T-10 --image is a name that stays as typed, or files with the absolute path they have here", () =>
    Effect.gen(function* () {
      const image = (text: string) => Effect.map(request({ image: Option.some(text) }), (spec) => spec.image)
      for (const [text, sent] of [
        ["alpine:3.21", "alpine:3.21"],
        ["ghcr.io/a/b@sha256:" + "0".repeat(64), "ghcr.io/a/b@sha256:" + "0".repeat(64)],
        ["oci:layout", "oci:/home/me/layout"],
        ["oci:./layout:latest", "oci:/home/me/layout:latest"],
        ["oci-archive:../a.tar:v1", "oci-archive:/home/a.tar:v1"],
        ["docker-archive:a.tar:alpine:3.21", "docker-archive:/home/me/a.tar:alpine:3.21"],
        ["rootfs:a b:c.tar", "rootfs:/home/me/a b:c.tar"],
        ["oci:/srv/layout", "oci:/srv/layout"]
      ] as const) {
        assert.strictEqual(yield* image(text), sent)
      }
      assert.isUndefined((yield* request({})).image)
      for (const bad of ["UPPER/case", "alpine:", "a//b", "alpine@sha256:123", "oci:", "oci:dir:t ag", "-x"]) {
        assert.include(yield* refusal({ image: Option.some(bad) }), `invalid --image: ${bad} (`)
      }
      const colon = yield* Effect.flip(request({ image: Option.some("oci:dir") }, ["true"], "/home/a:b"))
      assert.include(colon.message, "holds a colon")
      const lost = { ...none, image: Option.some("oci:dir") }
      assert.include((yield* Effect.flip(instanceRequest(lost, ["true"], undefined))).message, "no longer exists")
    })
  )

  it.effect("T-13 a command of 2 MiB and one of 100 000 words are refused with their size", () =>
    Effect.gen(function* () {
      const size = "invalid COMMAND: the command has 2097"
      assert.include(yield* refusal({}, ["echo", "x".repeat(2 * 1024 * 1024)]), size)
      const words = Array.from({ length: 100_000 }, () => "0123456789")
      assert.include(yield* refusal({}, words), "the command has 1100000 bytes")
      assert.include(yield* refusal({ env: [`A=${"x".repeat(1024 * 1024)}`] }), "and its environment have")
    })
  )

  it.effect("an empty first word is refused", () =>
    Effect.gen(function* () {
      assert.include(yield* refusal({}, [""]), "first word is empty")
    })
  )

  it.effect("the network's flags become its policy, and say what is wrong with them", () =>
    Effect.gen(function* () {
      const { network } = yield* request({
        network: Option.some("none"),
        allow: ["Example.com:443", "10.0.0.0/8"],
        deny: ["10.1.2.3"],
        allowHost: ["8080"]
      })
      assert.strictEqual(
        networkPolicyText(network),
        "none --allow example.com:443 --allow 10.0.0.0/8 --deny 10.1.2.3 --allow-host 8080"
      )
      assert.strictEqual(networkPolicyText((yield* request({})).network), "public")
      assert.strictEqual(networkPolicyText((yield* request({ networkLog: true })).network), "public --network-log")
      assert.include(yield* refusal({ network: Option.some("private") }), "invalid --network: private (it is public")
      assert.include(yield* refusal({ allow: ["127.1"] }), "invalid --allow: 127.1 (a rule is HOST")
      assert.include(yield* refusal({ deny: ["10.0.0.1/8"] }), "invalid --deny: 10.0.0.1/8")
      assert.include(yield* refusal({ allowHost: ["0"] }), "invalid --allow-host: 0 (a port is a whole number")
      assert.include(yield* refusal({ allow: Array.from({ length: 257 }, () => "a.b") }), "at most 256")
    })
  )
})
