import { BootFailed, CommandNotStarted, DaemonUnreachable, HandleTaken, Instance, NotFound } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { RootfsRecord } from "../src/BaseRootfs.ts"
import { daemonEnvironment } from "../src/Caller.ts"
import { rootfsRows } from "../src/commands/RootfsList.ts"
import { GuestLost, Interrupted, OutputClosed, UsageError } from "../src/Errors.ts"
import { formatError, useColor } from "../src/ErrorText.ts"
import { escapeLine, escapeText } from "../src/Escape.ts"
import { exitCodeOf } from "../src/ExitCode.ts"
import { instanceDetails, instanceJson, instanceTable } from "../src/Instances.ts"
import { jsonDocument } from "../src/JsonText.ts"
import { hasUnreadableWord } from "../src/RawArguments.ts"

const instance = (more: object) =>
  Schema.decodeUnknownSync(Instance)({
    id: "inst-1739893456789012345",
    state: "running",
    command: ["python3", "-m", "http.server", "80"],
    memoryMib: 512,
    vcpus: 1,
    createdAt: "2026-02-19T10:30:00.123Z",
    lastActiveAt: "2026-02-19T10:35:00.9Z",
    ...more
  })

describe("exit codes", () => {
  const gone = new DaemonUnreachable({ reason: "absent", detail: "" })
  const started = (cause: "not-found" | "denied" | "failed") =>
    new CommandNotStarted({ program: "x", cause, reason: "it is not there" })

  it("D-21 usage is 2, a failure of aegis 1, of run 125", () => {
    for (const command of ["guest", "other"] as const) {
      assert.strictEqual(exitCodeOf(new UsageError({ message: "m", remedy: "r" }), command), 2)
    }
    assert.strictEqual(exitCodeOf(gone, "other"), 1)
    assert.strictEqual(exitCodeOf(new NotFound({ target: "x" }), "other"), 1)
    for (const error of [
      gone,
      new HandleTaken({ handle: "x", state: "running" }),
      new BootFailed({ stage: "vmm", reason: "r", consoleTail: "", remedy: "r" }),
      new GuestLost({ message: "m", remedy: "r", consoleTail: "" })
    ]) {
      assert.strictEqual(exitCodeOf(error, "guest"), 125)
    }
  })

  it("D-04 a command that is absent is 127, one that cannot be run 126", () => {
    assert.strictEqual(exitCodeOf(started("not-found"), "guest"), 127)
    assert.strictEqual(exitCodeOf(started("denied"), "guest"), 126)
    assert.strictEqual(exitCodeOf(started("failed"), "guest"), 126)
  })

  it("D-04 T-17 signals are 128 + N", () => {
    const codes = (["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"] as const).map((signal) =>
      exitCodeOf(new Interrupted({ signal }), "guest")
    )
    assert.deepStrictEqual(codes, [129, 130, 131, 143])
    assert.strictEqual(exitCodeOf(new OutputClosed(), "guest"), 141)
  })
})

describe("errors", () => {
  it("D-15 an error is its message and its remedy", () => {
    assert.strictEqual(formatError({ message: "no", remedy: "yes" }, false), "error: no\n  try: yes\n")
    assert.strictEqual(formatError({ message: "no" }, false), "error: no\n")
  })

  it("S-010 a daemon that is not there is said in the reference's words", () => {
    assert.include(
      formatError(new DaemonUnreachable({ reason: "absent", detail: "" }), false),
      "aegisd is not running. Run 'aegis up' first."
    )
  })

  it("T-19 control bytes of a console become visible", () => {
    const text = formatError({ message: "died\u001b[2J", console: "a\r\nb\u009b1m\tc\u0007\n" }, false)
    assert.strictEqual(text, "error: died\\x1b[2J\n  the guest's console ended with:\n  | a\n  | b\\x9b1m\tc\\x07\n")
    assert.strictEqual(escapeText("é\u{1f600}\n\t\u007f\u0000"), "é\u{1f600}\n\t\\x7f\\x00")
    assert.strictEqual(escapeLine("a\nb\tc\rd"), "a\\nb\\tc\\rd")
  })

  it("D-10 NO_COLOR forbids, FORCE_COLOR demands, else a terminal decides", () => {
    assert.isTrue(useColor({}, true))
    assert.isFalse(useColor({}, false))
    assert.isFalse(useColor({ NO_COLOR: "1", FORCE_COLOR: "1" }, true))
    assert.isTrue(useColor({ NO_COLOR: "", FORCE_COLOR: "1" }, false))
    assert.isFalse(useColor({ FORCE_COLOR: "0" }, true))
    assert.isFalse(useColor({ TERM: "dumb" }, true))
  })
})

describe("instances", () => {
  it("S-094 S-095 S-096 S-097 the table has the reference's columns", () => {
    const [header, ...rows] = instanceTable([
      instance({ handle: "web" }),
      instance({ id: "inst-2", state: "stopped", stoppedAt: "2026-02-19T10:30:00Z" })
    ]).split("\n")
    assert.strictEqual(header?.trimEnd(), "ID                             HANDLE          STATE      STOPPED AT")
    assert.strictEqual(rows[0]?.trimEnd(), "inst-1739893456789012345       web             running    -")
    assert.strictEqual(
      rows[1]?.trimEnd(),
      "inst-2                         -               stopped    2026-02-19T10:30:00Z"
    )
  })

  it("S-099 nothing to show is said without a header", () => {
    assert.strictEqual(instanceTable([]), "No instances\n")
  })

  it("S-017 S-102 S-103 S-104 info has values from column 13, times in UTC", () => {
    const text = instanceDetails(instance({ handle: "web" }))
    assert.include(text, "ID:          inst-1739893456789012345\nState:       running\nHandle:      web\n")
    assert.include(text, "Command:     python3 -m http.server 80\n")
    assert.include(text, "Created:     2026-02-19T10:30:00Z\n")
    assert.include(text, "Last Active: 2026-02-19T10:35:00Z\n")
    for (const line of text.trimEnd().split("\n")) assert.match(line, /^(.{12} )\S/)
  })

  it("S-102 S-105 S-106 S-107 S-108 info shows the reference's lines in its order, and what is not there not at all", () => {
    const labels = (text: string) =>
      text
        .trimEnd()
        .split("\n")
        .map((line) => line.slice(0, 12).trimEnd())
    const ended = { _tag: "VmDied", cause: "ended by SIGKILL", consoleTail: "" }
    const times = { startedAt: "2026-02-19T10:31:00Z", stoppedAt: "2026-02-19T10:32:00Z" }
    const endpoints = [
      { guest: 80, host: 49152, protocol: "http" },
      { guest: 5432, host: 50000, protocol: "tcp" }
    ]
    const full = instanceDetails(
      instance({ handle: "web", image: "alpine:3.21", workspace: "/w", ended, endpoints, connections: 2, ...times })
    )
    assert.deepStrictEqual(labels(full), [
      ...["ID:", "State:", "Handle:", "Image:", "Command:", "Ports:", "Endpoints:", "  :80 → :491", "  :5432 → :5"],
      ...[
        "Connections:",
        "Created:",
        "Last Active:",
        "Memory:",
        "CPUs:",
        "Workspace:",
        "Started:",
        "Stopped At:",
        "Ended:"
      ]
    ])
    // The reference's example, but for the line breaks around it.
    assert.include(
      full,
      "Ports:       80, 5432\nEndpoints:\n  :80 → :49152 (http)\n  :5432 → :50000 (tcp)\nConnections: 2\nCreated:     2026"
    )
    assert.include(full, "Image:       alpine:3.21\n")
    assert.include(full, "Ended:       the machine died: ended by SIGKILL\n")
    const traffic = { sentBytes: 90, sentPackets: 1, receivedBytes: 5_243_000, receivedPackets: 80 }
    assert.include(
      instanceDetails(instance({ traffic: { ...traffic, allowed: 2, refused: 3 } })),
      "Traffic:     sent 90 B in 1 packet; received 5.2 MB in 80; 2 flows allowed, 3 refused\n"
    )
    assert.deepStrictEqual(labels(instanceDetails(instance({}))), [
      ...["ID:", "State:", "Command:", "Created:", "Last Active:", "Memory:", "CPUs:"]
    ])
  })

  it("U-057 info says until when it is kept from idling, and why", () => {
    const keepalive = { until: "2026-02-19T11:00:00.9Z", reason: "a\nbuild" }
    assert.include(instanceDetails(instance({ keepalive })), "Keepalive:   until 2026-02-19T11:00:00Z: a\\nbuild\n")
  })

  it("T-19 a command with line breaks stays in its line", () => {
    assert.include(instanceDetails(instance({ command: ["a\nb\u001b"] })), "Command:     a\\nb\\x1b\n")
  })

  it("D-17 D-23 JSON has the REST API's field names", () => {
    const ended = { _tag: "Exited", code: 3 }
    assert.deepStrictEqual(
      JSON.parse(jsonDocument(instanceJson(instance({ handle: "web", image: "alpine", ended })))) as unknown,
      {
        id: "inst-1739893456789012345",
        handle: "web",
        state: "running",
        image_ref: "alpine",
        command: ["python3", "-m", "http.server", "80"],
        created_at: "2026-02-19T10:30:00Z",
        last_active_at: "2026-02-19T10:35:00Z",
        memory_mb: 512,
        vcpus: 1,
        expose_ports: [],
        endpoints: [],
        active_connections: 0,
        ended
      }
    )
  })
})

describe("rootfs list", () => {
  const record = (variant: string) => new RootfsRecord({ variant, source: "s", digest: "d" })
  it("S-190 S-192 S-194 the variants, python first; the active one is marked, also one that this version does not know", () => {
    const rows = (active: Option.Option<RootfsRecord>) =>
      rootfsRows(active).map((row) => `${row.variant}${row.active ? " *" : ""}`)
    assert.deepStrictEqual(rows(Option.none()), ["python", "alpine", "node", "debian-python"])
    assert.deepStrictEqual(rows(Option.some(record("node"))), ["python", "alpine", "node *", "debian-python"])
    assert.deepStrictEqual(rows(Option.some(record("later"))), ["python", "alpine", "node", "debian-python", "later *"])
  })
})

describe("the process", () => {
  it("T-14 words that are not UTF-8 are found by their bytes", () => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), "aegis-argv-")), "cmdline")
    writeFileSync(file, Buffer.from([0x61, 0xff, 0]))
    assert.isTrue(hasUnreadableWord(["a\uFFFD"], file))
    assert.isFalse(hasUnreadableWord(["a"], file))
    writeFileSync(file, "a\uFFFD\0")
    assert.isFalse(hasUnreadableWord(["a\uFFFD"], file))
    assert.isTrue(hasUnreadableWord(["a\uFFFD"], `${file}.absent`))
  })

  it("the daemon gets a clean environment", () => {
    assert.deepStrictEqual(daemonEnvironment({ PATH: "/bin", AEGIS_HOME: "/a", API_KEY: "x", http_proxy: "p" }), {
      PATH: "/bin",
      AEGIS_HOME: "/a"
    })
  })
})
