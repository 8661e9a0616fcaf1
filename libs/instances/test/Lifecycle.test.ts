import {
  ByGuest,
  Exited,
  type InstanceState,
  InstanceAdopted,
  InstanceEnded,
  InstancePaused,
  InstanceResumed,
  InstanceStarted,
  JournalEvent,
  StartRequested,
  StopRequested,
  Stopped,
  VmRecord,
  WakeUpsSuspended
} from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import { Action, crashLoop, decide, shortLives } from "../src/Lifecycle.ts"

const vm = new VmRecord({ pid: 7, pidStartTime: "1", detail: {} })
const states: ReadonlyArray<InstanceState> = ["starting", "running", "paused", "stopped"]
const end = Action.End({ reason: new Exited({ code: 0 }), shortLife: false, recentShortLives: 0 })

/** The whole table: for each action, the states in which it may happen and what is written there. */
const table: ReadonlyArray<readonly [Action, Partial<Record<InstanceState, ReadonlyArray<object>>>]> = [
  [Action.Restart(), { stopped: [new StartRequested()] }],
  [Action.Started({ bootMillis: 5, vm }), { starting: [new InstanceStarted({ bootMillis: 5, vm })] }],
  [Action.Pause(), { running: [new InstancePaused()] }],
  [Action.Resume(), { paused: [new InstanceResumed()] }],
  [
    Action.Stop({ graceSeconds: 5 }),
    {
      starting: [new StopRequested({ graceSeconds: 5 })],
      running: [new StopRequested({ graceSeconds: 5 })],
      paused: [new StopRequested({ graceSeconds: 5 })],
      stopped: []
    }
  ],
  [
    Action.Adopt({ vm, paused: true }),
    {
      running: [new InstanceAdopted({ vm, paused: true })],
      paused: [new InstanceAdopted({ vm, paused: true })]
    }
  ],
  [
    end,
    {
      starting: [new InstanceEnded({ reason: new Exited({ code: 0 }) })],
      running: [new InstanceEnded({ reason: new Exited({ code: 0 }) })],
      paused: [new InstanceEnded({ reason: new Exited({ code: 0 }) })]
    }
  ],
  [Action.Forget(), { stopped: [] }]
]

describe("the state machine of an instance", () => {
  for (const [action, allowed] of table) {
    it(`S-130 T-233 D-03 ${action._tag} happens in ${Object.keys(allowed).join(", ")} and in no other state`, () => {
      for (const state of states) {
        const wanted = allowed[state]
        const got = decide(state, action)
        if (wanted === undefined) {
          assert.deepInclude(Either.getOrNull(Either.flip(got)), { _tag: "NotNow", action: action._tag, state })
        } else assert.deepStrictEqual(Either.getOrNull(got), wanted)
      }
    })
  }

  it("T-238 the fifth short life within the time suspends wake-ups, and no long one ever does", () => {
    fc.assert(
      fc.property(fc.nat(20), fc.boolean(), (recentShortLives, shortLife) => {
        const changes = Either.getOrThrow(
          decide("running", Action.End({ reason: new Exited({ code: 1 }), shortLife, recentShortLives }))
        )
        const suspended = changes.some((change) => change instanceof WakeUpsSuspended)
        assert.strictEqual(suspended, shortLife && recentShortLives + 1 >= crashLoop.ends)
        assert.instanceOf(changes[0], InstanceEnded)
      })
    )
  })

  it("T-238 only lives under ten seconds count, and none that a person ended", () => {
    const begun = new StartRequested()
    const ended = new InstanceEnded({ reason: new Exited({ code: 1 }) })
    const stopped = new InstanceEnded({ reason: new Stopped() })
    const at = (...steps: ReadonlyArray<readonly [number, StartRequested | InstanceEnded]>) =>
      shortLives(
        steps.map(
          ([seconds, data], index) =>
            new JournalEvent({
              seq: index + 1,
              at: DateTime.unsafeMake(seconds * 1000),
              cause: new ByGuest(),
              data,
              previousHash: "0".repeat(64),
              hash: "0".repeat(64)
            })
        )
      )
    assert.strictEqual(at([0, begun], [1, ended], [2, begun], [11, ended]), 2)
    assert.strictEqual(at([0, begun], [10, ended], [20, begun], [21, stopped]), 0)
    // It began before what is looked at.
    assert.strictEqual(at([3, ended], [4, begun], [5, ended]), 1)
  })
})
