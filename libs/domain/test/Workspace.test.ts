import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import { HostWorkspace, NamedWorkspace, WorkspaceText, workspaceText, workspaceTextIn } from "../src/index.ts"

const read = (text: string, directory?: string) =>
  Either.getOrThrow(Schema.decodeEither(workspaceTextIn(directory))(text))
const refused = (text: string, directory?: string) =>
  Either.isLeft(Schema.decodeEither(workspaceTextIn(directory))(text))

const wordCharacters = [..."abzAZ059._-"]
const name = fc
  .tuple(fc.constantFrom(..."aZ5"), fc.array(fc.constantFrom(...wordCharacters), { maxLength: 30 }))
  .map(([first, rest]) => first + rest.join(""))
  .filter((text) => !text.startsWith("run-inst-"))
const component = fc
  .array(fc.constantFrom(...wordCharacters, ":", ",", " ", "é", ":ro"), { minLength: 1, maxLength: 12 })
  .map((parts) => parts.join(""))
const absolute = fc.array(component, { minLength: 1, maxLength: 5 }).map((parts) => path.resolve("/", ...parts))

describe("what a workspace is called", () => {
  it("S-074 a word is a name, anything with / or a leading . a path; :ro at the end forbids the guest to write", () => {
    for (const readOnly of [false, true]) {
      const mark = readOnly ? ":ro" : ""
      assert.deepStrictEqual({ ...read(`claw${mark}`) }, { ...named("claw", readOnly) })
      assert.deepStrictEqual({ ...read(`/srv/x${mark}`) }, { ...host("/srv/x", readOnly) })
      assert.deepStrictEqual({ ...read(`/${mark}`) }, { ...host("/", readOnly) })
      assert.deepStrictEqual({ ...read(`.${mark}`, "/home/me") }, { ...host("/home/me", readOnly) })
      assert.deepStrictEqual({ ...read(`../x/${mark}`, "/home/me") }, { ...host("/home/x", readOnly) })
    }
    // The directory that is called x:ro.
    assert.deepStrictEqual({ ...read("/srv/x:ro/") }, { ...host("/srv/x:ro", false) })
    assert.deepStrictEqual({ ...read("/srv/x:ro:ro") }, { ...host("/srv/x:ro", true) })
  })

  it("S-075 a relative path is taken only where there is a directory that it begins at", () => {
    for (const text of [".", "..", "./x", "a/b", "../x:ro", ".x"]) {
      assert.isTrue(refused(text), text)
      assert.isFalse(refused(text, "/home/me"), text)
    }
  })

  it("T-133 what is no name is refused, also before :ro", () => {
    for (const text of ["", "-x", "_x", "a b", "é", "x".repeat(65), "x".repeat(256), "a\n", "a:rw", "run-inst-1"]) {
      assert.isTrue(refused(text, "/"), text)
      assert.isTrue(refused(`${text}:ro`, "/"), text)
    }
    for (const text of [`/${"x".repeat(4096)}`, "/a\0b"]) assert.isTrue(refused(text), text)
  })

  it("whatever it is, what is written of it is read as the same", () => {
    const workspace = fc.oneof(
      fc.tuple(name, fc.boolean()).map(([text, readOnly]) => read(readOnly ? `${text}:ro` : text)),
      fc.tuple(absolute, fc.boolean()).map(([at, readOnly]) => host(at, readOnly))
    )
    fc.assert(
      fc.property(workspace, (one) => {
        const again = Schema.decodeSync(WorkspaceText)(workspaceText(one))
        assert.deepStrictEqual({ ...again } as object, { ...one } as object)
      })
    )
  })

  it("no text is read as a path that is not absolute, or that holds . or ..", () => {
    fc.assert(
      fc.property(fc.string(), fc.option(absolute, { nil: undefined }), (text, directory) => {
        const answer = Schema.decodeEither(workspaceTextIn(directory))(text)
        if (Either.isLeft(answer) || answer.right._tag === "Named") return
        assert.strictEqual(answer.right.path, path.resolve(answer.right.path))
      })
    )
  })
})

function named(text: string, readOnly: boolean) {
  return Schema.decodeSync(NamedWorkspace)({ _tag: "Named", name: text, readOnly })
}
function host(at: string, readOnly: boolean) {
  return new HostWorkspace({ path: at, readOnly })
}
