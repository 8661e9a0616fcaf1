// A program in strict TypeScript: both faces, and that their types say what they give.
import { Aegis, type DaemonUnreachable, InstanceSpec, type NotFound, type StoreError } from "@aegis/client"
import { connect, type Finished, StateConflict } from "@aegis/client/promise"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const withPromises = async (): Promise<Finished> => {
  await using aegis = connect()
  await using sandbox = await aegis.run({
    command: ["python3", "-c", "input(); print(6 * 7)"],
    memoryMib: 256,
    interactive: true
  })
  // @ts-expect-error a command is words, not a line
  void (() => aegis.run({ command: "python3 -c 1" }))
  const conflict = await aegis.resume(sandbox.id).then(
    () => undefined,
    (error: unknown) => (error instanceof StateConflict ? error.state : undefined)
  )
  await sandbox.write("go on\n")
  const finished = await sandbox.result()
  return { ...finished, stderr: String(conflict) }
}

const withEffect = Effect.gen(function* () {
  const aegis = yield* Aegis
  const failure: NotFound | StoreError | DaemonUnreachable = yield* Effect.flip(aegis.get("nobody"))
  const events = yield* Stream.runCollect(aegis.run(new InstanceSpec({ command: ["echo", "effect"] })))
  const output = [...events].flatMap((event) => (event._tag === "Output" ? [Buffer.from(event.bytes).toString()] : []))
  return [failure._tag, ...output]
})

const finished = await withPromises()
const effect = await Effect.runPromise(Effect.provide(withEffect, Aegis.layer))
console.log(JSON.stringify({ finished, effect }))
