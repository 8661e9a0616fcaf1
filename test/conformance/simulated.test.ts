import { simulatedBackend, type SimulatedProcess } from "@aegis/vm"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { conformance } from "./conformance.ts"

type Script = (process: SimulatedProcess) => Effect.Effect<number | { readonly signal: number }>

const cat: Script = (process) =>
  Effect.flatMap(
    process.read,
    Option.match({
      onNone: () => Effect.succeed<number | { readonly signal: number }>(0),
      onSome: (bytes) => Effect.zipRight(process.write("stdout", bytes), cat(process))
    })
  )

/** What the suite's shell scripts do, by their text: a simulated guest has no shell. */
const scripts: ReadonlyArray<readonly [RegExp, Script]> = [
  [/^echo out;/, ({ write }) => Effect.as(Effect.zipRight(write("stdout", "out\n"), write("stderr", "err\n")), 42)],
  [
    /^printf "%s\|"/,
    ({ argv, env, write }) =>
      Effect.as(write("stdout", [argv[3], argv[4], env["A"], env["B"], env["C"]].map((word) => `${word}|`).join("")), 0)
  ],
  [/^cat$/, cat],
  [/^kill -9/, () => Effect.succeed({ signal: 9 })],
  [/^exit 0/, () => Effect.succeed(0)],
  [/^head -c 4194304/, ({ write }) => Effect.as(Effect.repeatN(write("stdout", Buffer.alloc(65_536)), 63), 0)],
  [
    /^printf one/,
    ({ read, write }) =>
      Effect.as(write("stdout", "one").pipe(Effect.zipRight(read), Effect.zipRight(write("stdout", "two"))), 0)
  ],
  [
    /^trap/,
    ({ signal, write }) =>
      Effect.as(
        write("stdout", "ready\n").pipe(Effect.zipRight(signal), Effect.zipRight(write("stdout", "caught\n"))),
        3
      )
  ],
  [/^sleep 1000/, ({ signal }) => Effect.map(signal, (number) => ({ signal: number }))],
  [/^while :/, () => Effect.never],
  [/^echo (one|two)$/, ({ argv, write }) => Effect.as(write("stdout", `${argv[2]?.slice(5)}\n`), 0)]
]

conformance("simulated", {
  backend: Effect.succeed(
    simulatedBackend({
      programs: (argv) =>
        argv[0] === "/bin/sh"
          ? Option.fromNullable(scripts.find(([pattern]) => pattern.test(argv[2] ?? ""))?.[1])
          : Option.none()
    })
  ),
  rootDisk: undefined,
  runDirectory: undefined,
  patience: 1
})
