/** Programs for the simulated guest, by the first word of their argv. */
import type { SimulatedProcess, SimulatedPrograms } from "@aegis/vm"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

type Script = (process: SimulatedProcess) => Effect.Effect<number | { readonly signal: number }>

const scripts: Readonly<Record<string, Script>> = {
  echo: ({ argv, write }) => Effect.as(write("stdout", `${argv.slice(1).join(" ")}\n`), 0),
  exit: ({ argv }) => Effect.succeed(Number(argv[1])),
  signal: ({ argv }) => Effect.succeed({ signal: Number(argv[1]) }),
  env: ({ env, write }) => Effect.as(write("stdout", JSON.stringify(env)), 0),
  both: ({ write }) => write("stdout", "out").pipe(Effect.zipRight(write("stderr", "err")), Effect.as(0)),
  sleep: () => Effect.never,
  "on-term": ({ signal, write }) =>
    Effect.flatMap(signal, (number) => Effect.as(write("stdout", `signal ${number}\n`), 3)),
  flood: ({ argv, write }) =>
    Effect.as(Effect.repeatN(write("stdout", Buffer.alloc(65_536, "x")), Number(argv[1]) * 16 - 1), 0),
  cat: ({ read, write }) => {
    const loop: Effect.Effect<number> = Effect.flatMap(
      read,
      Option.match({
        onNone: () => Effect.succeed(0),
        onSome: (bytes) => Effect.zipRight(write("stdout", bytes), loop)
      })
    )
    return loop
  },
  "serve-echo": ({ argv, listen }) =>
    Effect.zipRight(
      Effect.forEach(argv.slice(1), (port) => listen(Number(port), (connection) => connection.pipe(connection))),
      Effect.never
    ),
  crash: ({ crash, flushed, write }) =>
    write("stdout", "before").pipe(Effect.zipRight(flushed), Effect.zipRight(crash)),
  garble: ({ garble }) => Effect.zipRight(garble(Buffer.from("\xff".repeat(64), "latin1")), Effect.never)
}

export const programs: SimulatedPrograms = (argv) => Option.fromNullable(scripts[argv[0] ?? ""])
