import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { mkdtempSync, rmSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { optionValue, qemuArguments } from "../src/QemuCommand.ts"
import * as Qmp from "../src/Qmp.ts"
import { MemoryMib, VcpuCount } from "@aegis/domain"

/** A control socket that answers with these lines, one for each command it gets. */
const monitor = (greeting: string, answers: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.async<{ file: string; close: () => void }>((resume) => {
      const directory = mkdtempSync(path.join(tmpdir(), "aegis-qmp-"))
      const file = path.join(directory, "qmp.sock")
      const left = [...answers]
      const server = net.createServer((socket) => {
        socket.write(`${greeting}\n`)
        socket.on("data", () => socket.write(left.shift() ?? ""))
      })
      const close = () => {
        server.close()
        rmSync(directory, { recursive: true })
      }
      server.listen(file, () => resume(Effect.succeed({ file, close })))
    }),
    ({ close }) => Effect.sync(close)
  )

const greeting = '{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}'

describe("QMP", () => {
  it.scopedLive("an answer is told apart from the greeting, events and errors", () =>
    Effect.gen(function* () {
      const event =
        '{"timestamp": {"seconds": 1}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}'
      const { file } = yield* monitor(greeting, [
        '{"return": {}}\n',
        `${event}\n{"return": {"status": "running"}}\n`,
        '{"error": {"class": "GenericError", "desc": "no"}}\n'
      ])
      const qmp = yield* Qmp.connect(file)
      assert.deepStrictEqual(yield* qmp.execute("query-status"), { status: "running" })
      assert.deepInclude(qmp.shutdownReason(), { _tag: "Some", value: "guest-reset" })
      assert.strictEqual((yield* Effect.flip(qmp.execute("quit"))).message, "GenericError: no")
    })
  )

  it.scopedLive("T-240 garbage and a socket that goes away are typed errors", () =>
    Effect.gen(function* () {
      const { file } = yield* monitor(greeting, ["{]\n"])
      assert.strictEqual((yield* Effect.flip(Qmp.connect(file)))._tag, "QmpFailed")
      assert.strictEqual((yield* Effect.flip(Qmp.connect("/nowhere/qmp.sock")))._tag, "QmpFailed")
    })
  )
})

describe("QEMU's arguments", () => {
  it("T-241 a comma in a path stays in the path", () => {
    assert.strictEqual(optionValue("/a,b=c"), "/a,,b=c")
    const args = qemuArguments({
      accelerator: "tcg",
      memoryMib: MemoryMib.make(128),
      vcpus: VcpuCount.make(1),
      name: "x,y",
      kernel: "/k",
      counterKhz: Option.some(2_445_411),
      harnessDisk: "/h,readonly=off.ext4",
      channelSocket: "/run/a,b/channel.sock",
      qmpSocket: "/run/a,b/qmp.sock"
    })
    assert.include(args, "guest=x,,y,process=aegis-qemu,debug-threads=off")
    assert.include(args, "socket,id=channel,path=/run/a,,b/channel.sock,server=on,wait=off")
    assert.match(args[args.indexOf("-append") + 1] ?? "", / tsc_early_khz=2445411$/)
    assert.isTrue(args.some((word) => word.includes('"filename":"/h,readonly=off.ext4"')))
  })
})
