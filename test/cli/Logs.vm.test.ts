import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { logRows } from "../product/LogRows.ts"
import { dist, Product, start } from "../product/Product.ts"

/** What is looked at; each title begins with what its line names. */
const logCases: ReadonlyArray<string> = [
  "S-161 what is said from the start on is there, whoever looks when",
  "T-285 a line of megabytes comes in pieces and is whole",
  "T-286 a line without an end is there all the same",
  "T-287 each byte comes back as it was",
  "T-300 tail and since: none, more than there is, the future, and what is none",
  "T-301 the lines of two processes keep the order of each, and each entry has its number",
  "T-302 what a guest prints about its end is not its end",
  "T-303 a guest's words do not choose their source",
  "T-305 a secret that a guest prints is in its log and nowhere else",
  "T-306 exec: the output of a command whose client is gone holds nothing up",
  "T-295 a reader that stands still learns what it missed; others have each line",
  "T-296 many followers each have each line",
  "T-297 followers see each line once while the log is rotated, and the daemon answers",
  "T-288 the cap is kept: the newest is there, and a gap says how much went",
  "T-292 a daemon killed while it writes and rotates loses no line and repeats none",
  "T-299 after a restart old lines are there, in their order",
  "T-290 a torn last entry is cut, and what comes is behind it",
  "T-291 a damaged entry is left out, and told",
  "T-293 a log's file removed, or replaced by a pipe, under the daemon: what comes is logged",
  "T-298 a log that is deleted while it is followed ends for its followers, and is gone",
  "T-294 a full disk holds no guest up, and is told"
]

describe("the log of a guest", () => {
  let aegis: Product
  let said = ""

  beforeAll(async () => {
    aegis = await Product.make()
    const unshare = process.getuid?.() === 0 ? "-m" : "-rm"
    const PATH = `${dist}:${process.env["PATH"] ?? ""}`
    const rows = logRows({ capMib: 48, size: 60_000, followers: 5 })
    const { stderr, stdout } = await start("unshare", [unshare, "python3", "-c", rows], { env: { ...aegis.env, PATH } })
      .ended
    said = `${stdout}${stderr}`
  }, 600_000)
  afterAll(() => aegis?.remove())

  it.each(logCases)("%s", (title) => {
    assert.include(said.split("\n"), `ok ${title.split(" ")[0]}`, said.replaceAll(/^ok .*\n/gm, ""))
  })
})
