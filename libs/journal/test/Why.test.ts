import {
  ByCli,
  ByDaemon,
  ByGuest,
  ByIdleTimer,
  ByRecovery,
  ByMcp,
  ByProgram,
  ByRest,
  ByRouter,
  ByUnknown,
  ChannelLost,
  type EndReason,
  type EventCause,
  type EventData,
  Exited,
  InstanceAdopted,
  InstanceDeleted,
  InstancePaused,
  InstancePruned,
  InstanceResumed,
  Keepalive,
  KeepaliveEnded,
  NetworkCrashed,
  KeepaliveGiven,
  NotStarted,
  PortBinding,
  PortsAssigned,
  SecretsGiven,
  Signaled,
  StartRequested,
  StopRequested,
  Stopped,
  UnreadableEvent,
  VmDied,
  WakeUpsSuspended,
  withoutEnvironmentValues
} from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { next } from "../src/EventRows.ts"
import { why } from "../src/index.ts"
import { created, ended, id, started } from "./sample.ts"

const cli = (command: string) => new ByCli({ command })
const guest = new ByGuest()
const daemon = new ByDaemon({ because: "the guest answered" })

/** The events, ten seconds apart. */
const history = (...steps: ReadonlyArray<readonly [EventCause, EventData]>) =>
  steps.map(([cause, data], index) => {
    const at = Date.UTC(2026, 10, 24, 10, 0, index * 10)
    const previous = { seq: index, hash: "0".repeat(64) }
    return Effect.runSync(next(previous, at, { instanceId: id(1), cause, data })).event
  })

const begun = [
  [cli("instance start"), created("web", { TOKEN: "s3cret" })],
  [daemon, started]
] as const

const after = (...steps: ReadonlyArray<readonly [EventCause, EventData]>) => why(history(...begun, ...steps))

describe("why", () => {
  it("tells the whole chain", () => {
    const restarted = after(
      [guest, ended(new Exited({ code: 3 }))],
      [new ByRouter({ port: 80 }), new StartRequested()],
      [daemon, new PortsAssigned({ ports: [new PortBinding({ guest: 80, host: 49152, protocol: "http" })] })],
      [daemon, started],
      [new ByIdleTimer({ idleSeconds: 1200 }), new StopRequested({ graceSeconds: 10 })],
      [daemon, ended(new Stopped())]
    )
    assert.deepStrictEqual(restarted, [
      `web (${id(1)}) is stopped: it was stopped by the idle timer (nothing had happened for 20 min).`,
      "2026-11-24T10:00:30Z A connection to its port 80 started it again.",
      "2026-11-24T10:00:40Z These ports lead to it: 49152 to its 80 (http).",
      "2026-11-24T10:00:50Z Its guest answered after 812 ms and runs its command.",
      "2026-11-24T10:01:00Z The idle timer (nothing had happened for 20 min) asked it to stop within 10 s.",
      "2026-11-24T10:01:10Z It ended: it was stopped by the idle timer (nothing had happened for 20 min), 20 s after its command began.",
      "Before that it ended once, last at 2026-11-24T10:00:20Z: its command exited with code 3."
    ])
  })

  const ends: ReadonlyArray<readonly [string, EventCause, EndReason, string]> = [
    ["Exited 0", guest, new Exited({ code: 0 }), "its command was done (exit code 0)"],
    ["Exited", guest, new Exited({ code: 42 }), "its command exited with code 42"],
    ["Signaled", guest, new Signaled({ signal: 11, outOfMemory: false }), "was killed by signal 11 inside the guest"],
    ["out of memory", guest, new Signaled({ signal: 9, outOfMemory: true }), "the guest ran out of memory"],
    ["Stopped by a person", cli("instance stop"), new Stopped(), "it was stopped by aegis instance stop"],
    [
      "Stopped by REST",
      new ByRest({ route: "POST /v1/instances/web/stop" }),
      new Stopped(),
      "by a REST client (POST /v1"
    ],
    [
      "Stopped by an agent",
      new ByMcp({ tool: "instance_stop" }),
      new Stopped(),
      "by an MCP client (tool instance_stop)"
    ],
    ["Stopped by a program", new ByProgram({ name: "worker" }), new Stopped(), "it was stopped by the program worker"],
    ["Stopped by some program", new ByProgram({}), new Stopped(), "it was stopped by a program"],
    ["Stopped by down", new ByDaemon({ because: "aegis down" }), new Stopped(), "by the daemon (aegis down)"],
    ["Stopped by somebody", new ByUnknown({ text: "?" }), new Stopped(), "by somebody this version does not know"],
    [
      "VmDied",
      daemon,
      new VmDied({ cause: "its process was killed by SIGKILL", consoleTail: "one\r\nKernel panic\u001b[2J!\n\n" }),
      "its VM died: its process was killed by SIGKILL; its console said last: Kernel panic [2J!."
    ],
    [
      "VmDied, host lost",
      new ByRecovery({ found: "the machine has booted since" }),
      new VmDied({ cause: "its process is gone", consoleTail: "" }),
      "its VM died: its process is gone, as the daemon found when it started (the machine has booted since)"
    ],
    [
      "ChannelLost",
      daemon,
      new ChannelLost({ reason: "a frame of 3 GiB" }),
      "lost and the VM was ended: a frame of 3 GiB"
    ],
    [
      "NotStarted",
      daemon,
      new NotStarted({ code: "BootFailed", message: "no disk" }),
      "it did not start: no disk (BootFailed)"
    ]
  ]
  it.each(ends)("explains the end %s", (_, cause, reason, text) => {
    const [state, ...rest] = after([cause, ended(reason)])
    assert.include(state, "web (")
    assert.include(state, text)
    assert.include(rest.at(-1), "It ended: ")
  })

  it("explains every other state", () => {
    const state = (...steps: ReadonlyArray<readonly [EventCause, EventData]>) => after(...steps)[0] ?? ""
    assert.match(state(), / is running\.$/)
    assert.match(state([cli("instance pause"), new InstancePaused()]), / is paused by aegis instance pause\.$/)
    assert.match(
      state([cli("instance pause"), new InstancePaused()], [cli("exec"), new InstanceResumed()]),
      / is running\.$/
    )
    const recovery = new ByRecovery({ found: "its process" })
    assert.match(state([recovery, new InstanceAdopted({ vm: started.vm, paused: true })]), / is paused\.$/)
    assert.match(
      state([cli("instance delete"), ended(new Stopped())], [cli("instance delete"), new InstanceDeleted()]),
      /is no more: it was deleted by aegis instance delete\.$/
    )
    assert.match(
      state([cli("prune"), new InstancePruned({ stoppedForSeconds: 700_000 })]),
      /is no more: it was pruned by aegis prune\.$/
    )
    assert.match(why(history(begun[0]))[0] ?? "", / is starting: aegis instance start asked for it\.$/)
    assert.match(
      state([guest, ended(new Exited({ code: 1 }))], [daemon, new WakeUpsSuspended({ ends: 5, withinSeconds: 100 })]),
      /Connections do not wake it until it is started by hand\.$/
    )
    assert.deepStrictEqual(why([]), [])
    assert.include(after([daemon, new UnreadableEvent({ text: "{}" })]).join(), "cannot read")
  })

  it("tells of crashes of its network, and of the one that was the last", () => {
    const said = after(
      [daemon, new NetworkCrashed({ count: 1, why: "killed by SIGKILL" })],
      [daemon, new NetworkCrashed({ count: 7, why: "exit 2: panic:\u001b x", down: true })]
    ).join("\n")
    assert.include(said, "Its network crashed (killed by SIGKILL) and was started anew.")
    assert.include(said, "Its network crashed 7 times (exit 2: panic:  x) and stays down until it is started again.")
  })

  it("U-057 tells until when and why it is kept from idling", () => {
    const keepalive = new Keepalive({ until: DateTime.unsafeMake("2026-11-24T11:00:00Z"), reason: "a\nbuild" })
    const said = after(
      [cli("keepalive"), new KeepaliveGiven({ keepalive })],
      [new ByDaemon({ because: "it is over" }), new KeepaliveEnded()]
    ).join("\n")
    assert.include(said, "aegis keepalive keeps it from idling until 2026-11-24T11:00:00Z: a build.")
    assert.include(said, "The daemon (it is over) lets it idle again.")
  })

  it("P4 tells which secrets a guest was given, and under which names", () => {
    const given = new SecretsGiven({
      secrets: [
        { name: "API_KEY", variable: "API_KEY", version: 2 },
        { name: "DB", variable: "PGPASSWORD", version: 1 }
      ]
    })
    assert.include(
      after([cli("instance start"), given]).join("\n"),
      "Its guest was given the secrets API_KEY, DB as PGPASSWORD."
    )
  })

  it("neither why nor a shown event tells a value of the environment; a guest's control characters and long texts are cut", () => {
    const nasty = "\u001b]0;owned\u0007" + "x".repeat(100_000)
    const sentences = after([guest, ended(new VmDied({ cause: nasty, consoleTail: nasty }))])
    assert.notInclude(sentences.join(), "s3cret")
    assert.notMatch(sentences.join(""), /\p{Cc}/u)
    assert.isBelow(sentences.join().length, 3000)
    const shown = history(...begun).map(withoutEnvironmentValues)
    assert.notInclude(JSON.stringify(shown), "s3cret")
    assert.include(JSON.stringify(shown), "TOKEN")
  })
})
