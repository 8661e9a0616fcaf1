/**
 * What a model says of an instance that it wants, and what the daemon is asked for.
 */
import {
  Command,
  Environment,
  ExposedProtocol,
  Exposure,
  Exposures,
  Handle,
  HostWorkspace,
  InstanceSpec,
  maxNetworkRules,
  MemoryMib,
  NamedWorkspace,
  NetworkPolicy,
  NetworkProfile,
  NetworkRuleText,
  PortNumber,
  SecretRequestText,
  VcpuCount,
  WorkspaceText
} from "@aegis/domain"
import * as Schema from "effect/Schema"

/** What an instance's network reaches, for each tool that says it. */
export const networkFields = {
  network: Schema.optional(
    NetworkProfile.annotations({
      description:
        "What its network reaches: public (the default) the internet and nothing private, none nothing, all whatever the host reaches."
    })
  ),
  network_allow: Schema.optional(
    Schema.Array(NetworkRuleText).pipe(Schema.maxItems(maxNetworkRules)).annotations({
      description: "What is reached besides: HOST, *.DOMAIN, ADDRESS or ADDRESS/BITS, each with :PORT or without."
    })
  ),
  network_deny: Schema.optional(
    Schema.Array(NetworkRuleText)
      .pipe(Schema.maxItems(maxNetworkRules))
      .annotations({ description: "What is not reached, in the same form; it wins." })
  ),
  allow_host: Schema.optional(
    Schema.Array(PortNumber).pipe(Schema.maxItems(maxNetworkRules)).annotations({
      description:
        "Ports of this machine's own loopback that it reaches, at host.aegis.internal; none where none is named. Only what the user has asked for."
    })
  )
}

/** A port of the guest that is to be reachable. */
export const ExposedPort = Schema.Struct({
  port: PortNumber.annotations({ description: "The guest's port." }),
  protocol: Schema.optional(
    ExposedProtocol.annotations({
      description: "As http (the default), with the router's rules, or as tcp: bytes as they are."
    })
  ),
  host_port: Schema.optional(
    PortNumber.annotations({
      description: "The port of this machine that is wanted for it; any where it is not given."
    })
  )
})

/** @param port without a protocol, `http`. */
export const exposure = ({ host_port: hostPort, port, protocol = "http" }: typeof ExposedPort.Type) =>
  new Exposure({ port, protocol, ...(hostPort === undefined ? {} : { hostPort }) })

/** None of them twice. */
const ExposedPorts = Schema.transform(Schema.Array(ExposedPort), Schema.typeSchema(Exposures), {
  strict: true,
  decode: (ports) => ports.map(exposure),
  encode: (exposures) => exposures.map(({ hostPort: host_port, port, protocol }) => ({ port, protocol, host_port }))
})

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
  secrets: Schema.optional(
    Schema.Array(SecretRequestText).annotations({
      description:
        "Secrets that the command finds in its environment, by name: KEY, KEY=VARIABLE for another variable, or * for all; none where none is named."
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
        "What the guest sees at /workspace: a name for a directory that is kept, or the absolute path of a directory of the host, with :ro at its end for a guest that may not write; without it an empty one that goes with the instance."
    }).pipe(Schema.compose(WorkspaceText))
  ),
  workspace_read_only: Schema.optional(
    Schema.Boolean.annotations({ description: "Whether the guest may not write there; the same as :ro." })
  ),
  expose: Schema.optional(
    ExposedPorts.annotations({
      description:
        "Ports of the guest that this machine can reach; `endpoints` of instance_info say where. One that nobody uses is paused after a while, and connections wake it."
    })
  ),
  ...networkFields
})
export type SpecInput = typeof SpecInput.Type

/** The daemon checks again what it is given; here only the two ways of saying read-only become one. */
export const instanceSpec = (input: SpecInput): InstanceSpec => {
  const {
    command,
    env,
    expose,
    handle,
    image,
    memory_mb: memoryMib,
    secrets,
    vcpus,
    workspace,
    workspace_read_only = false
  } = input
  const readOnly = workspace_read_only || workspace?.readOnly === true
  return new InstanceSpec({
    command,
    ...(handle === undefined ? {} : { handle }),
    ...(image === undefined ? {} : { image }),
    ...(env === undefined ? {} : { env }),
    ...(secrets === undefined ? {} : { secrets }),
    ...(memoryMib === undefined ? {} : { memoryMib }),
    ...(vcpus === undefined ? {} : { vcpus }),
    ...(expose === undefined ? {} : { exposes: expose }),
    network: networkPolicy(input),
    ...(workspace === undefined
      ? {}
      : {
          workspace:
            workspace._tag === "Named"
              ? new NamedWorkspace({ ...workspace, readOnly })
              : new HostWorkspace({ ...workspace, readOnly })
        })
  })
}

export const networkPolicy = (input: Pick<SpecInput, keyof typeof networkFields>) => {
  const {
    allow_host: hostPorts = [],
    network: profile = "public",
    network_allow: allow = [],
    network_deny: deny = []
  } = input
  return new NetworkPolicy({ profile, allow, deny, hostPorts })
}
