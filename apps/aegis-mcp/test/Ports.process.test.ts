/**
 * The tools for ports, leases and networks against the scripted daemon.
 */
import { assert, describe, it } from "vitest"
import { agentWithInstance } from "./Agent.ts"

describe("the tools for what reaches a guest, and what it reaches", () => {
  const { ask, refusal } = agentWithInstance()
  const shown = async (name: string, args: Record<string, unknown>) =>
    (await ask(name, { target: "web", ...args }))["instance"] as Record<string, unknown>

  it("S-189 a port is exposed, shown where this machine has it, and taken back", async () => {
    const first = await shown("instance_expose", { port: 80 })
    assert.deepStrictEqual(first["endpoints"], [{ guest: 80, host: 49_152, protocol: "http" }])
    const second = await shown("instance_expose", { port: 5432, protocol: "tcp", host_port: 15_432 })
    assert.deepStrictEqual(second["expose_ports"], [80, 5432])
    assert.deepInclude(second["endpoints"] as ReadonlyArray<unknown>, { guest: 5432, host: 15_432, protocol: "tcp" })
    assert.deepInclude(await refusal("instance_expose", { target: "web", port: 80 }), {
      code: "AlreadyExposed",
      remedy: "aegis unexpose web 80, then expose it again"
    })
    assert.deepStrictEqual((await shown("instance_unexpose", { port: 80 }))["expose_ports"], [5432])
    assert.deepInclude(await refusal("instance_unexpose", { target: "web", port: 80 }), { code: "NotExposed" })
    for (const wrong of [
      { port: 0 },
      { port: 65_536 },
      { port: 1, protocol: "udp" },
      { port: 1, host_port: 1.5 },
      {}
    ]) {
      assert.deepInclude(await refusal("instance_expose", { target: "web", ...wrong }), { code: "InvalidArgument" })
    }
  })

  it("S-189 an instance is started with ports, none of them twice", async () => {
    const expose = [{ port: 80 }, { port: 53, protocol: "tcp", host_port: 5353 }]
    const { stdout } = await ask("run", { command: ["env"], expose })
    assert.deepStrictEqual(JSON.parse((stdout as { text: string }).text).exposes, [
      { port: 80, protocol: "http" },
      { port: 53, protocol: "tcp", hostPort: 5353 }
    ])
    const { code, message } = await refusal("run", { command: ["env"], expose: [{ port: 80 }, { port: 80 }] })
    assert.deepStrictEqual([code, /expose: port 80 is exposed twice/.test(message)], ["InvalidArgument", true], message)
  })

  it("S-189 an instance is kept from idling for a while, with a reason, and no more", async () => {
    const kept = await shown("instance_keepalive", { seconds: 600, reason: "a build runs in it" })
    assert.nestedPropertyVal(kept, "keepalive.reason", "a build runs in it")
    assert.notProperty(await shown("instance_keepalive", { seconds: 0 }), "keepalive")
    for (const seconds of [-1, 86_401, 1.5]) {
      assert.deepInclude(await refusal("instance_keepalive", { target: "web", seconds }), { code: "InvalidArgument" })
    }
  })

  it("S-189 what its network reaches is said anew, all of it, and can be asked", async () => {
    const narrow = await shown("network_set", {
      network: "none",
      network_allow: ["example.com:443"],
      allow_host: [5432]
    })
    assert.deepInclude(narrow["network"] as object, {
      ...{ profile: "none", allow: ["example.com:443"], allow_host: [5432] },
      deny: []
    })
    assert.deepInclude((await shown("network_set", {}))["network"] as object, { profile: "public", allow: [] })
    assert.deepInclude(await refusal("network_set", { target: "web", network_allow: ["a b"] }), {
      code: "InvalidArgument"
    })
    assert.deepStrictEqual(await ask("network_check", { target: "web", host: "10.0.0.1", port: 80 }), {
      ...{ verdict: "refuse", why: "a private address", addresses: [] }
    })
    assert.deepInclude(await refusal("network_check", { target: "nobody", host: "a", port: 1 }), { code: "NotFound" })
  })
})
