import {
  BuildingDisk,
  Digest,
  Downloading,
  ImageDetails,
  ImageList,
  ImageSummary,
  Pulled,
  Resolving,
  rootfsVariants
} from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { rootfsText } from "../src/BaseRootfs.ts"
import { imageDetails, imageDetailsJson, imageListJson, imageTable } from "../src/ImageText.ts"
import { findCommand } from "../src/Manual.ts"
import { progressLine } from "../src/ProgressLine.ts"
import { showPull } from "../src/PullDisplay.ts"
import { Stdio } from "../src/Stdio.ts"

const digest = (digit: string) => Digest.make(`sha256:${digit.repeat(64)}`)

const terminal = (isTerminal: boolean) => {
  const notes: Array<string> = []
  const stdio = Stdio.of({
    print: () => Effect.dieMessage("standard output is for the result"),
    note: (text) => Effect.sync(() => void notes.push(text)),
    write: () => Effect.void,
    input: Stream.empty,
    isTerminal,
    colorsOutput: false,
    color: false
  })
  return { notes, stdio }
}

const blob = (digit: string, bytes: number, total: number) =>
  new Downloading({ digest: digest(digit), bytes, total, shared: false })

const pulled = new Pulled({ name: "alpine", digest: digest("c") })

const steps = Stream.make(
  new Resolving({ name: "alpine\u001b[2J" }),
  blob("a", 0, 1_000_000),
  blob("a", 0, 1_000_000),
  blob("b", 500_000, 3_000_000),
  blob("a", 1_000_000, 1_000_000),
  new BuildingDisk({ fraction: 0.626 }),
  pulled
)

describe("a pull", () => {
  it.effect("on a terminal is one line that changes, to the byte's tenth of a megabyte, and goes", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(true)
      const last = yield* Effect.provideService(showPull(steps), Stdio, stdio)
      assert.deepStrictEqual(last, Option.some(pulled))
      assert.deepStrictEqual(
        notes,
        [
          ...["Resolving alpine\\x1b[2J", "Downloading 0 of 1 blobs  0.0 of 1.0 MB"],
          ...["Downloading 0 of 2 blobs  0.5 of 4.0 MB", "Downloading 1 of 2 blobs  1.5 of 4.0 MB"],
          ...["Building the root disk 62 %", ""]
        ].map((text) => `\r\u001b[K${text}`)
      )
    })
  )

  it.effect("elsewhere is one line for each phase", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(false)
      yield* Effect.provideService(showPull(steps), Stdio, stdio)
      assert.deepStrictEqual(notes, ["Resolving alpine\\x1b[2J\n", "Downloading\n", "Building the root disk\n"])
    })
  )

  it.effect("D-12 of an image that is here shows nothing", () =>
    Effect.gen(function* () {
      for (const isTerminal of [true, false]) {
        const { notes, stdio } = terminal(isTerminal)
        yield* Effect.provideService(showPull(Stream.make(pulled)), Stdio, stdio)
        assert.deepStrictEqual(notes, [])
      }
    })
  )

  it.effect("a line is never longer than a terminal", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(true)
      const line = yield* Effect.provideService(progressLine, Stdio, stdio)
      yield* line.show({ phase: "x", text: "x".repeat(300) })
      assert.strictEqual(notes[0], `\r\u001b[K${"x".repeat(78)}`)
    })
  )

  it("a base root file system's steps become words, also those of a later daemon", () => {
    const text = (phase: string, more = {}) => rootfsText({ phase, ...more })
    assert.deepStrictEqual(text("downloading", { fraction: 0.456, detail: "a\u001b: 1.0 of 4.0 MB" }), {
      phase: "Downloading",
      text: "Downloading 45 %: a\\x1b: 1.0 of 4.0 MB"
    })
    assert.deepStrictEqual(text("disk", { fraction: 1 }).text, "Building the root disk 100 %")
    assert.deepStrictEqual(text("done", { fraction: 1, detail: "55 MB in 4 s" }).phase, "Done: 55 MB in 4 s")
    assert.deepStrictEqual(text("new\u001b").phase, "new\\x1b")
  })
})

describe("images", () => {
  const time = DateTime.unsafeMake("2026-02-19T10:30:00.250Z")
  const summary = (more: object) =>
    new ImageSummary({
      ...{ name: "docker.io/library/alpine:3.21", digest: digest("c"), platform: "linux/amd64", blobBytes: 3_641_234 },
      ...{ pulledAt: time, ...more }
    })
  const used = summary({ diskBytes: 12_345_678, usedAt: time })

  it("the table has sizes in human units and the last use, JSON has bytes", () => {
    const images = new ImageList({ images: [used, summary({ name: "rootfs:/a\n.tar" })], totalBytes: 15_986_912 })
    assert.strictEqual(
      imageTable(images),
      "IMAGE                                    DIGEST       SIZE       DISK       LAST USED\n" +
        "docker.io/library/alpine:3.21            cccccccccccc 3.6 MB     12.3 MB    2026-02-19T10:30:00Z\n" +
        "rootfs:/a\\n.tar                          cccccccccccc 3.6 MB     -          -\n" +
        "\n16.0 MB in all; what images share is counted once.\n"
    )
    assert.strictEqual(imageTable(new ImageList({ images: [], totalBytes: 0 })), "No images\n")
    const { images: rows, total_bytes } = imageListJson(images)
    assert.strictEqual(total_bytes, 15_986_912)
    assert.deepInclude(rows[0], { blob_bytes: 3_641_234, disk_bytes: 12_345_678, used_at: "2026-02-19T10:30:00Z" })
    assert.deepInclude(rows[1], { disk_bytes: null, used_at: null })
  })

  it("inspect has each thing known in its line, and the layers", () => {
    const layers = [{ digest: digest("a"), mediaType: "m", bytes: 1000 }]
    const details = new ImageDetails({ summary: used, alsoNamed: ["alpine:3"], layers, disk: "/d.ext4" })
    assert.strictEqual(
      imageDetails(details),
      "Image:       docker.io/library/alpine:3.21\nAlso:        alpine:3\n" +
        `Digest:      ${digest("c")}\nPlatform:    linux/amd64\nSize:        3.6 MB\nPulled:      2026-02-19T10:30:00Z\n` +
        "Last Used:   2026-02-19T10:30:00Z\nDisk:        /d.ext4 (12.3 MB)\nLayers:\n" +
        `  ${digest("a")} 1.0 kB\n`
    )
    const json = imageDetailsJson(details)
    assert.deepStrictEqual(json.layers, [{ digest: digest("a"), media_type: "m", bytes: 1000 }])
    assert.deepInclude(json, { name: "docker.io/library/alpine:3.21", also_named: ["alpine:3"], disk: "/d.ext4" })
  })
})

it("S-191 the manual of rootfs pull names the variants that there are", () => {
  const names = rootfsVariants.map(({ name }) => name).join("|")
  assert.deepStrictEqual(findCommand(["rootfs", "pull"])?.positionals, [`[${names}]`])
})
