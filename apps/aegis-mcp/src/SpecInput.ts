/**
 * What a model says of an instance that it wants, and what the daemon is asked for.
 */
import {
  Command,
  Environment,
  Handle,
  InstanceSpec,
  InvalidArgument,
  MemoryMib,
  VcpuCount,
  WorkspaceRequest
} from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const SpecInput = Schema.Struct({
  command: Command.annotations({
    description:
      'The program and its arguments, one string each; no shell reads them: ["python3", "-c", "print(1)"], or ["sh", "-c", "…"] for a shell\'s line.'
  }),
  handle: Schema.optional(Handle.annotations({ description: "A name for it: letters, digits, '.', '_' and '-'." })),
  image: Schema.optional(
    Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4200)).annotations({
      description: "An OCI image such as alpine:3.21; without it the base root file system, which has Python."
    })
  ),
  env: Schema.optional(Environment.annotations({ description: "Environment variables of the command." })),
  memory_mb: Schema.optional(
    MemoryMib.annotations({ description: "The guest's memory in MiB; 512 where it is not given." })
  ),
  vcpus: Schema.optional(VcpuCount.annotations({ description: "Virtual processors; 1 where it is not given." })),
  workspace: Schema.optional(
    Schema.String.annotations({
      description:
        "What the guest sees at /workspace: a name for a directory that is kept, or the absolute path of a directory of the host; without it an empty one that goes with the instance."
    })
  ),
  workspace_read_only: Schema.optional(Schema.Boolean)
})
export type SpecInput = typeof SpecInput.Type

/** The daemon checks again what it is given; here only the workspace needs a decision. */
export const instanceSpec = (input: SpecInput): Effect.Effect<InstanceSpec, InvalidArgument> =>
  Effect.gen(function* () {
    const { command, env, handle, image, memory_mb: memoryMib, vcpus } = input
    const workspace = yield* input.workspace === undefined
      ? Effect.succeed(undefined)
      : workspaceRequest(input.workspace, input.workspace_read_only ?? false)
    return new InstanceSpec({
      command,
      ...(handle === undefined ? {} : { handle }),
      ...(image === undefined ? {} : { image }),
      ...(env === undefined ? {} : { env }),
      ...(memoryMib === undefined ? {} : { memoryMib }),
      ...(vcpus === undefined ? {} : { vcpus }),
      ...(workspace === undefined ? {} : { workspace })
    })
  })

/** A path where it begins with `/`, else a name: a server has no working directory that its client knows of. */
const workspaceRequest = (text: string, readOnly: boolean): Effect.Effect<WorkspaceRequest, InvalidArgument> =>
  Schema.decodeUnknown(WorkspaceRequest)(
    text.startsWith("/") ? { _tag: "HostPath", path: text, readOnly } : { _tag: "Named", name: text, readOnly }
  ).pipe(
    Effect.mapError(
      () =>
        new InvalidArgument({
          argument: "workspace",
          reason: `${JSON.stringify(text.slice(0, 200))} is neither a workspace's name nor an absolute path`,
          remedy: "give a name of letters, digits, '.', '_' and '-', or a path that begins with /"
        })
    )
  )
