/**
 * The names of things: ids that the daemon gives, handles that people give.
 */
import * as Schema from "effect/Schema"

/** An instance's id: `inst-` and digits (contract D-20). Given once by the daemon, never reused, never parsed. */
export const InstanceId = Schema.String.pipe(
  Schema.pattern(/^inst-[0-9]{1,30}$/, { message: () => "an instance id is inst- and digits" }),
  Schema.brand("@aegis/InstanceId")
)
export type InstanceId = typeof InstanceId.Type

const handlePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/

/**
 * A handle: the name a person gives an instance (contract D-16). Case is folded on decoding. The shape of an id is
 * refused, so that `HANDLE_OR_ID` is never ambiguous (T-9, T-34).
 */
export const Handle = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: (text) => text.toLowerCase(),
  encode: (text) => text
}).pipe(
  Schema.pattern(handlePattern, {
    message: () => "a handle is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or a digit"
  }),
  Schema.filter((text) =>
    /^inst-[0-9]+$/.test(text) ? "a handle may not have the shape of an instance id" : undefined
  ),
  Schema.brand("@aegis/Handle")
)
export type Handle = typeof Handle.Type

/** What a command takes where the reference says `HANDLE_OR_ID`: looked up, never parsed. At most 128 characters. */
export const InstanceTarget = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(128))

/** What a program that uses a client library calls itself, for the journal; short, and nothing that a terminal would obey. */
export const ProgramName = Schema.String.pipe(
  Schema.pattern(/^[\w@](?:[\w.@/+ -]{0,62}[\w.@/+-])?$/, {
    message: () => "a program's name is 1 to 64 letters, digits, spaces and . @ / + _ -"
  }),
  Schema.brand("@aegis/ProgramName")
)
export type ProgramName = typeof ProgramName.Type

/** A named workspace: one directory name under `<home>/data/workspaces` (T-133). `run-…` is kept for temporary ones. */
export const WorkspaceName = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
    message: () =>
      "a workspace's name is 1 to 64 letters, digits, '.', '_' and '-', and begins with a letter or a digit"
  }),
  Schema.filter((name) =>
    /^run-inst-/.test(name) ? "names that begin with run-inst- are kept for temporary workspaces" : undefined
  ),
  Schema.brand("@aegis/WorkspaceName")
)
export type WorkspaceName = typeof WorkspaceName.Type
