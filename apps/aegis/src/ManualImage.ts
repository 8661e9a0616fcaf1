/**
 * The manual of `aegis image`, `aegis rootfs pull` and `aegis logs`.
 */
import { type CommandManual, imageSources, json, jsonLines, target } from "./ManualEntry.ts"

const image = "IMAGE"

export const imageCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["logs"],
    summary: "Show what an instance has said",
    positionals: [target],
    guestCommand: false,
    flags: [
      { name: "--follow", short: "-f", about: "Go on with what comes, until the instance is deleted or Ctrl+C" },
      { name: "--tail", value: "N", about: "Only the last N lines of what is stored" },
      { name: "--since", value: "TIME", about: "Only from then on: 10m, 2h, 7d ago, or 2026-02-19T10:30:00Z" },
      { name: "--source", value: "primary|exec|system", repeats: true, about: "Only what that source wrote" },
      { name: "--exec", value: "ID", about: "Only from this exec" },
      { name: "--grep", value: "RE", about: "Only lines that match this regular expression" },
      { name: "--timestamps", about: "The time before each line" },
      jsonLines
    ],
    details:
      "What the command wrote to its standard error goes to standard error here. Lines of aegis itself begin with [system],\nthose of an exec with [exec]. The log of a stopped instance stays until the instance is deleted.",
    examples: ["aegis logs web", "aegis logs web -f --tail 20", "aegis logs web --grep 'error|warning' --since 1h"]
  },
  {
    path: ["image", "list"],
    summary: "List the images that are here",
    positionals: [],
    guestCommand: false,
    flags: [json],
    examples: ["aegis image list"]
  },
  {
    path: ["image", "pull"],
    summary: "Get an image, ready to start from",
    positionals: [image],
    guestCommand: false,
    flags: [{ name: "--refresh", about: "Ask the registry again, also when the image is here" }, json],
    details: `An image is pulled once; from then on it starts without a network.\n\n${imageSources}\n\nMirrors, registries without TLS and token servers are named in ~/.aegis/registries.json; logins\nare those of docker and podman.`,
    examples: ["aegis image pull alpine:3.21", "aegis image pull --refresh ghcr.io/org/tool:latest"]
  },
  {
    path: ["image", "inspect"],
    summary: "Show an image's layers, sizes and disk",
    positionals: [image],
    guestCommand: false,
    flags: [json],
    examples: ["aegis image inspect alpine:3.21"]
  },
  {
    path: ["image", "load"],
    summary: "Take in an image from a file under the names that it has there",
    positionals: ["SOURCE"],
    guestCommand: false,
    flags: [json],
    examples: [
      "docker save tool:1 -o tool.tar && aegis image load docker-archive:tool.tar",
      "aegis image load oci:./layout:1"
    ]
  },
  {
    path: ["image", "remove"],
    summary: "Remove an image's name, and what no other image needs",
    positionals: [image],
    guestCommand: false,
    flags: [json],
    details: "An image that an instance needs, running or stopped, is not removed.",
    examples: ["aegis image remove alpine:3.21"]
  },
  {
    path: ["image", "prune"],
    summary: "Remove what no image needs",
    positionals: [],
    guestCommand: false,
    flags: [{ name: "--all", about: "Also every image that no instance needs" }, json],
    examples: ["aegis image prune", "aegis image prune --all"]
  },
  {
    path: ["rootfs", "pull"],
    summary: "Get a variant of the base root file system and make it the active one",
    positionals: ["[python|alpine|node|debian-python]"],
    guestCommand: false,
    flags: [json],
    details:
      "Instances that are started from then on boot from it. It is python where none is named. The one that was\nactive before stays until the new one is whole.",
    examples: ["aegis rootfs pull", "aegis rootfs pull debian-python"]
  }
]
