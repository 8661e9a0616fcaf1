/**
 * The state machine of an instance, as one pure function: what may happen to it in which state, and what is written down then.
 */
import {
  type EndReason,
  InstanceAdopted,
  InstanceEnded,
  InstancePaused,
  InstanceResumed,
  InstanceStarted,
  type InstanceState,
  type JournalEvent,
  StartRequested,
  StopRequested,
  type VmRecord,
  WakeUpsSuspended
} from "@aegis/domain"
import type { InstanceChange } from "@aegis/journal"
import * as Data from "effect/Data"
import * as Either from "effect/Either"

/** What is asked of an instance, or has happened to it. */
export type Action = Data.TaggedEnum<{
  /** Start it again, from its own configuration. */
  Restart: {}
  /** Its guest runs its command. */
  Started: { readonly bootMillis: number; readonly vm: VmRecord }
  Pause: {}
  Resume: {}
  Stop: { readonly graceSeconds: number }
  /** A daemon that has just begun goes on with its VM. */
  Adopt: { readonly vm: VmRecord; readonly paused: boolean }
  /** Its VM is gone. `recentShortLives` counts the ends before this one that were part of a crash loop. */
  End: { readonly reason: EndReason; readonly shortLife: boolean; readonly recentShortLives: number }
  /** Remove its record. */
  Forget: {}
}>
export const Action = Data.taggedEnum<Action>()

/** It may not happen in this state. */
export class NotNow extends Data.TaggedError("NotNow")<{
  readonly action: Action["_tag"]
  readonly state: InstanceState
}> {}

/** Ends of lives under 10 s within 2 minutes, after which nothing but a person starts it again (T-238). */
export const crashLoop = { ends: 5, withinSeconds: 120, lifeSeconds: 10 }

/** How many lives in these events, one instance's, were so short, were not ended by a person, and have come to their end. */
export const shortLives = (events: ReadonlyArray<JournalEvent>): number => {
  let began = -Infinity
  let count = 0
  for (const { at, data } of events) {
    if (data._tag === "InstanceCreated" || data._tag === "StartRequested") began = at.epochMillis
    if (data._tag !== "InstanceEnded" || data.reason._tag === "Stopped") continue
    if (at.epochMillis - began < crashLoop.lifeSeconds * 1000) count++
  }
  return count
}

const nothing: ReadonlyArray<InstanceChange> = []

/**
 * What is written when `action` happens in `state`: one event as a rule, none where it is so already, or a refusal. The state after
 * it follows from the events alone (`recordAfter` of the journal).
 */
export const decide = (state: InstanceState, action: Action): Either.Either<ReadonlyArray<InstanceChange>, NotNow> => {
  const only = (states: ReadonlyArray<InstanceState>, changes: ReadonlyArray<InstanceChange>) =>
    states.includes(state) ? Either.right(changes) : Either.left(new NotNow({ action: action._tag, state }))
  const alive: ReadonlyArray<InstanceState> = ["starting", "running", "paused"]
  switch (action._tag) {
    case "Restart":
      return only(["stopped"], [new StartRequested()])
    case "Started":
      return only(["starting"], [new InstanceStarted({ bootMillis: action.bootMillis, vm: action.vm })])
    case "Pause":
      return only(["running"], [new InstancePaused()])
    case "Resume":
      return only(["paused"], [new InstanceResumed()])
    case "Stop":
      // Idempotent (D-03).
      return state === "stopped"
        ? Either.right(nothing)
        : only(alive, [new StopRequested({ graceSeconds: action.graceSeconds })])
    case "Adopt":
      return only(["running", "paused"], [new InstanceAdopted({ vm: action.vm, paused: action.paused })])
    case "End": {
      const ended = new InstanceEnded({ reason: action.reason })
      const ends = action.recentShortLives + 1
      const loops = action.shortLife && ends >= crashLoop.ends
      return only(
        alive,
        loops ? [ended, new WakeUpsSuspended({ ends, withinSeconds: crashLoop.withinSeconds })] : [ended]
      )
    }
    case "Forget":
      return only(["stopped"], nothing)
  }
}
