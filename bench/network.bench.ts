/**
 * A guest's TCP to a server on its host's loopback: through aegis-net against QEMU's own user-mode network (slirp), two devices of one
 * guest of QEMU's without a hypervisor, in turn. And what aegis-net takes while nothing passes.
 */
import { compilePolicy, MemoryMib, NetworkPolicy, PortNumber, VcpuCount } from "@aegis/domain"
import { BootMessage, protocolVersion } from "@aegis/guest"
import { AegisPaths, giveWay, Process } from "@aegis/host"
import { awaitGuest, guestMac, runDirectory, startNetwork } from "@aegis/vm"
import { qemuArguments } from "@aegis/vm-qemu"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { readdirSync, readFileSync } from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { counterKhz } from "../libs/vm-qemu/src/GuestClock.ts"
import { findParts } from "../libs/vm-qemu/src/Parts.ts"
import { networkMtu } from "../libs/vm-qemu/src/QemuCommand.ts"
import { dist, Product } from "../test/product/Product.ts"
import { median, report } from "./measure.ts"

const runs = Number(process.env["AEGIS_BENCH_RUNS"] ?? 10)
const mebibytes = Number(process.env["AEGIS_BENCH_MIB"] ?? 64)
const slirpMac = "52:54:00:12:34:56"

/**
 * Gives both devices their addresses and measures: `c` takes bytes, `d` sends as many, `p` sends back what comes. What it prints is one line a
 * measurement: the device, what, and a number (MB/s or ms).
 */
const script = String.raw`
import fcntl, os, socket, struct, sys, time
port, mebibytes, runs = (int(x) for x in sys.argv[1:4])
def device(mac):
    for name in os.listdir("/sys/class/net"):
        if open(f"/sys/class/net/{name}/address").read().strip() == mac: return name
def ioctl(name, request, payload):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, request, struct.pack("16s16s", name.encode(), payload))
def inet(text): return struct.pack("<HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))
def up(mac, address, mtu):
    name = device(mac)
    ioctl(name, 0x8922, struct.pack("i12x", mtu))
    ioctl(name, 0x8916, inet(address))
    ioctl(name, 0x891c, inet("255.255.255.0"))
    ioctl(name, 0x8914, struct.pack("h14x", 0x1 | 0x40))
up(sys.argv[4], "192.168.127.2", int(sys.argv[5]))
up(sys.argv[6], "10.0.2.15", 1500)
hosts = {"aegis-net": "192.168.127.254", "slirp": "10.0.2.2"}
piece = bytes(1 << 20)
memory = bytearray(1 << 20)
def begin(host, kind):
    s = socket.create_connection((host, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(kind)
    assert s.recv(1) == b"k"
    return s
def sent(host):
    with begin(host, b"c") as s:
        began = time.monotonic()
        for _ in range(mebibytes): s.sendall(piece)
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b"k"
        return mebibytes * 1.048576 / (time.monotonic() - began)
def received(host):
    with begin(host, b"d") as s:
        began, left = time.monotonic(), mebibytes << 20
        s.sendall(struct.pack(">I", left))
        while left > 0:
            size = s.recv_into(memory)
            assert size > 0
            left -= size
        return mebibytes * 1.048576 / (time.monotonic() - began)
def trip(host):
    times = []
    with begin(host, b"p") as s:
        for _ in range(300):
            began = time.monotonic()
            s.sendall(b"x")
            s.recv(1)
            times.append(time.monotonic() - began)
    return sorted(times)[150] * 1000
def connection(host):
    times = []
    for _ in range(30):
        began = time.monotonic()
        socket.create_connection((host, port)).close()
        times.append(time.monotonic() - began)
    return sorted(times)[15] * 1000
print("up", flush=True)
sys.stdin.readline()
for run in range(runs + 1):
    for name, host in hosts.items():
        for what in (sent, received, trip, connection):
            value = what(host)
            if run > 0: print(name, what.__name__, value, flush=True)
print("done", flush=True)
sys.stdin.readline()
`

/** The server: `c` counts until the end, `d` sends as much as is asked for, `p` sends back; each says `k` when it is ready. */
const serve = () => {
  const zeros = Buffer.alloc(1 << 20)
  const pourInto = (socket: net.Socket, left: number): void => {
    if (left <= 0) return void socket.end()
    const piece = zeros.subarray(0, Math.min(left, zeros.length))
    if (socket.write(piece)) setImmediate(() => pourInto(socket, left - piece.length))
    else socket.once("drain", () => pourInto(socket, left - piece.length))
  }
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    let last = ""
    socket.on("error", () => socket.destroy())
    socket.once("data", (first) => {
      const kind = first.toString("latin1", 0, 1)
      if (kind === "c") {
        last = "k"
        socket.on("data", () => undefined)
      } else if (kind === "d") {
        socket.once("data", (length) => pourInto(socket, length.readUInt32BE(0)))
      } else {
        socket.on("data", (piece) => socket.write(piece))
      }
      socket.write("k")
    })
    socket.once("end", () => socket.end(last))
  })
  return new Promise<net.Server>((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)))
}

/** A process and those below it. */
const family = (pid: number): ReadonlyArray<number> => {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number)
  )
  return [pid, ...children.flatMap(family)]
}

/** In MB: what a process alone has of memory, and its share of what it has together with others. */
const memoryOf = (pid: number) => {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1]) / 1000
  return { pss: of("Pss"), rss: of("Rss") }
}
const memory = (pid: number) => {
  const each = family(pid).map(memoryOf)
  const sum = (which: "pss" | "rss") => each.reduce((total, one) => total + one[which], 0).toFixed(1)
  return `${sum("pss")} MB in ${each.length} processes (Pss; Rss ${each.map(({ rss }) => rss.toFixed(1)).join(" and ")} MB)`
}

const measure = (port: number, rootDisk: string) =>
  Effect.gen(function* () {
    const { harnessDisk, kernel, net: program, qemu } = yield* findParts("tcg")
    const directory = yield* runDirectory("inst-bench")
    const [networkSocket, channelSocket] = [`${directory}/net.sock`, `${directory}/channel.sock`]
    const policy = compilePolicy(new NetworkPolicy({ hostPorts: [PortNumber.make(port)] }))
    const link = { dial: networkSocket }
    const network = yield* startNetwork({ program, policy, directory, link, mtu: networkMtu })
    const vmm = yield* Process.spawn({
      command: qemu,
      args: [
        ...qemuArguments({
          ...{ accelerator: "tcg", name: "bench", kernel, harnessDisk, rootDisk, channelSocket, networkSocket },
          memoryMib: MemoryMib.make(512),
          vcpus: VcpuCount.make(1),
          counterKhz: yield* counterKhz,
          qmpSocket: `${directory}/qmp.sock`
        }),
        ...["-netdev", "user,id=slirp", "-device", `virtio-net-device,netdev=slirp,mac=${slirpMac}`]
      ],
      detached: true,
      stdin: "ignore",
      stdout: "tail",
      stderr: "tail"
    })
    yield* giveWay(vmm.pid)
    const guest = yield* awaitGuest(vmm, channelSocket, [network.helper])
    const numbers = [`${port}`, `${mebibytes}`, `${runs}`]
    yield* guest.boot(
      new BootMessage({
        protocol: protocolVersion,
        argv: ["python3", "-c", script, ...numbers, guestMac, `${networkMtu}`, slirpMac],
        env: Redacted.make({ PATH: "/usr/local/bin:/usr/bin:/bin" }),
        cwd: "/",
        hostname: "guest",
        clockMs: Date.now(),
        seed: Buffer.alloc(64, 7),
        rootDevice: "/dev/vdb",
        stdin: "pipe"
      })
    )
    const say = yield* guest.stdin
    const { acknowledge, frames } = yield* guest.events(0n)
    const figures = new Map<string, Array<number>>()
    const pid = network.helper.process.pid
    yield* frames.pipe(
      Stream.tap((frame) => acknowledge(frame.seq)),
      Stream.filterMap((frame) => (frame._tag === "Output" ? Option.some(frame) : Option.none())),
      Stream.map(({ bytes }) => Buffer.from(bytes).toString()),
      Stream.splitLines,
      Stream.tap((line) => Effect.sync(() => process.env["AEGIS_BENCH_VERBOSE"] === undefined || console.log(line))),
      Stream.runForEach((line) =>
        Effect.gen(function* () {
          const [device = "", what = "", figure] = line.split(" ")
          if (figure !== undefined) {
            const all = figures.get(`${device} ${what}`) ?? []
            figures.set(`${device} ${what}`, [...all, Number(figure)])
            return
          }
          yield* Effect.sleep("3 seconds")
          const when = line === "up" ? "before anything has passed" : "after all that, idle"
          report(`aegis-net's memory, ${when}`, memory(pid), "under 20 MB")
          yield* say(Buffer.from("\n"))
        })
      )
    )
    return figures
  })

const server = await serve()
const address = server.address()
if (address === null || typeof address === "string") throw new Error("the server has no port")
const aegis = await Product.make()
await aegis.says("up")
await aegis.says("run", "--", "true")
await aegis.says("down")
const paths = AegisPaths.layer(dist).pipe(
  Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", aegis.home]])))),
  Layer.orDie
)
const rootDisk = path.join(aegis.home, "base-rootfs/rootfs.ext4")
const figures = await Effect.runPromise(Effect.scoped(measure(address.port, rootDisk)).pipe(Effect.provide(paths)))
const compare = (what: string, title: string, unit: string, promise: string) => {
  const [ours, theirs] = ["aegis-net", "slirp"].map((device) => figures.get(`${device} ${what}`) ?? [])
  const ratio = median((ours ?? []).map((value, i) => value / (theirs?.[i] ?? NaN)))
  const both = [ours, theirs].map((values) => median(values ?? []).toFixed(unit === "ms" ? 2 : 0)).join(" : ")
  report(
    `${title}, through aegis-net against slirp, median of ${runs}`,
    `${both} ${unit} = ${ratio.toFixed(2)} ×`,
    promise
  )
}
compare("sent", `${mebibytes} MiB from the guest to its host over TCP`, "MB/s", "at least 0.8 ×")
compare("received", `${mebibytes} MiB from the host to its guest over TCP`, "MB/s", "at least 0.8 ×")
compare("trip", "a byte there and back over TCP", "ms", "at most 1.25 ×")
compare("connection", "a TCP connection opened", "ms", "at most 1.25 ×")
await aegis.remove()
server.close()
