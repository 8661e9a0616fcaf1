// A program in plain JavaScript that has the package and nothing else of ours. It prints what it found out.
import { connect, DaemonUnreachable, InvalidArgument, NotFound } from "@aegis/client/promise"

const aegis = connect()
const refused = async (promise) => {
  try {
    return await promise
  } catch (error) {
    return error
  }
}

const sandbox = await aegis.run({
  command: [
    "python3",
    "-c",
    "import sys; print(sys.stdin.read().upper()); print('warned', file=sys.stderr); sys.exit(3)"
  ],
  interactive: true
})
const listed = await aegis.list()
const beside = await aegis.exec(sandbox.id, { command: ["sh", "-c", "echo beside $WHO"], env: { WHO: "it" } })
const besideSaid = await beside.result()
const looping = await aegis.exec(sandbox.id, { command: ["sh", "-c", "while echo x; do sleep 0.1; done"] })
let pieces = 0
for await (const piece of looping.output) if (piece.bytes.length > 0 && ++pieces === 3) break
await looping.close()

const aborting = new AbortController()
const sleeping = await aegis.exec(sandbox.id, { command: ["sleep", "600"] })
const slept = refused(sleeping.result({ signal: aborting.signal }))
aborting.abort(new Error("enough"))
const aborted = await slept
await sleeping.close()

await sandbox.write("fed ")
await sandbox.write(new TextEncoder().encode("twice"))
await sandbox.end()
const said = await sandbox.result()
await sandbox.close()

// What it did is written down under its own name: this script's.
const programs = new Set()
for await (const { cause } of aegis.events({ follow: false })) if (cause._tag === "Program") programs.add(cause.name)

const nobody = await refused(aegis.get("nobody"))
const invalid = await refused(aegis.run({ command: [] }))
const gone = await aegis.list()
await aegis.close()
const closed = await refused(aegis.list())

const nowhere = connect({ home: "/nonexistent/aegis" })
const absent = await refused(nowhere.status())
await nowhere.close()

console.log(
  JSON.stringify({
    running: listed.map(({ state }) => state),
    said,
    beside: besideSaid.stdout,
    pieces,
    aborted: aborted.message,
    programs: [...programs],
    notFound: [nobody instanceof NotFound, nobody instanceof Error, nobody._tag, nobody.message, nobody.remedy],
    invalid: [invalid instanceof InvalidArgument, invalid.argument],
    absent: [absent instanceof DaemonUnreachable, absent.reason, absent.remedy],
    left: gone.length,
    closed: closed.message
  })
)
