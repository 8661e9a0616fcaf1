/**
 * An agent's loop with budgets: a model says which command it wants next, the command runs in a microVM, and the model reads what it printed.
 * Each command has a fresh machine; files in /workspace stay from one to the next.
 */
import {
  Aegis,
  type DaemonUnreachable,
  InstanceSpec,
  NamedWorkspace,
  type StartError,
  type WorkspaceName
} from "@aegis/client"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** What a model wants. */
export type Step =
  | { readonly _tag: "Run"; readonly command: readonly [string, ...ReadonlyArray<string>] }
  | { readonly _tag: "Answer"; readonly text: string }

/** A command, and what the model is shown of its output. */
export interface Observation {
  readonly command: ReadonlyArray<string>
  readonly output: string
  readonly ended: string
}

/** The language model; one service, so that a test can put a script in its place. */
export class Model extends Context.Tag("examples/Model")<
  Model,
  { readonly next: (task: string, seen: ReadonlyArray<Observation>) => Effect.Effect<Step> }
>() {}

export interface Budget {
  readonly steps: number
  /** For all of it: thinking, booting, running. */
  readonly time: Duration.DurationInput
  /** How many characters of one command's output the model is shown. */
  readonly output: number
}

/** The agent had no answer within its budget; what it has seen until then is here. */
export class BudgetSpent extends Data.TaggedError("BudgetSpent")<{
  readonly of: "steps" | "time"
  readonly seen: ReadonlyArray<Observation>
}> {}

/** Works on the task until the model answers. When the time is over, the machine that runs is ended and removed. */
export const agent = (
  task: string,
  workspace: WorkspaceName,
  budget: Budget
): Effect.Effect<string, BudgetSpent | StartError | DaemonUnreachable, Aegis | Model> =>
  Effect.suspend(() => {
    const seen: Array<Observation> = []
    const loop = Effect.gen(function* () {
      const model = yield* Model
      for (let left = budget.steps; ; left--) {
        const step = yield* model.next(task, seen)
        if (step._tag === "Answer") return step.text
        if (left === 0) return yield* new BudgetSpent({ of: "steps", seen })
        seen.push(yield* observe(step.command, workspace, budget.output))
      }
    })
    return Effect.timeoutFail(loop, { duration: budget.time, onTimeout: () => new BudgetSpent({ of: "time", seen }) })
  })

const observe = (command: readonly [string, ...ReadonlyArray<string>], name: WorkspaceName, longest: number) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const spec = new InstanceSpec({ command, workspace: new NamedWorkspace({ name, readOnly: false }) })
    let output = ""
    let ended = "unknown"
    yield* Stream.runForEach(aegis.run(spec), (event) =>
      Effect.sync(() => {
        if (event._tag === "Output" && output.length < longest) output += Buffer.from(event.bytes).toString()
        if (event._tag === "Ended")
          ended = event.reason._tag === "Exited" ? `exit ${event.reason.code}` : event.reason._tag
      })
    )
    return { command, output: output.slice(0, longest), ended }
  })
