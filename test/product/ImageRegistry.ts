/**
 * Debian's docker-registry on loopback, and images to put into it.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { until } from "./Product.ts"

const rootless = process.getuid?.() === 0 ? [] : ["--rootless"]

export const tool = (command: string, ...words: ReadonlyArray<string>): string =>
  execFileSync(command, [...words], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1e9 })

/**
 * An image layout with the image `:1`, a layer for each directory, in order.
 *
 * @param layers directories whose content goes to the image's `/`.
 */
export const imageLayout = (layout: string, layers: ReadonlyArray<string>): void => {
  tool("umoci", "init", "--layout", layout)
  tool("umoci", "new", "--image", `${layout}:1`)
  for (const layer of layers) tool("umoci", "insert", ...rootless, "--image", `${layout}:1`, layer, "/")
}

/** An image layout with the image `:1` of one layer, a tar archive as it is. Takes the archive away. */
export const plainLayout = (layout: string, tar: string): void => {
  const blobs = path.join(layout, "blobs/sha256")
  mkdirSync(blobs, { recursive: true })
  const [hex = ""] = tool("sha256sum", tar).split(" ")
  const layer = {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: `sha256:${hex}`,
    size: statSync(tar).size
  }
  renameSync(tar, path.join(blobs, hex))
  const blob = (mediaType: string, document: object) => {
    const text = JSON.stringify(document)
    const digest = createHash("sha256").update(text).digest("hex")
    writeFileSync(path.join(blobs, digest), text)
    return { mediaType, digest: `sha256:${digest}`, size: text.length }
  }
  const config = blob("application/vnd.oci.image.config.v1+json", {
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [layer.digest] }
  })
  const manifest = blob("application/vnd.oci.image.manifest.v1+json", { schemaVersion: 2, config, layers: [layer] })
  const named = { ...manifest, annotations: { "org.opencontainers.image.ref.name": "1" } }
  writeFileSync(path.join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [named] }))
  writeFileSync(path.join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
}

export class ImageRegistry {
  readonly host: string
  /** Each request that it has answered: `GET /v2/…`. */
  readonly requests: () => ReadonlyArray<string>
  readonly #child: ChildProcess
  readonly #directory: string

  private constructor(host: string, requests: () => ReadonlyArray<string>, child: ChildProcess, directory: string) {
    this.host = host
    this.requests = requests
    this.#child = child
    this.#directory = directory
  }

  static async start(): Promise<ImageRegistry> {
    const directory = mkdtempSync(path.join(tmpdir(), "aegis-registry-"))
    const config = path.join(directory, "config.yml")
    mkdirSync(path.join(directory, "data"))
    writeFileSync(
      config,
      `version: 0.1
log: { level: info, accesslog: { disabled: false } }
storage: { filesystem: { rootdirectory: ${directory}/data } }
http: { addr: "127.0.0.1:0" }
`
    )
    const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "pipe", "pipe"] })
    let log = ""
    child.stderr.on("data", (bytes: Buffer) => (log += bytes.toString()))
    child.stdout.on("data", (bytes: Buffer) => (log += bytes.toString()))
    const host = await until("the registry listens", () => /listening on (127\.0\.0\.1:[0-9]+)/.exec(log)?.[1], 20)
    const requests = () =>
      [...log.matchAll(/"(GET|HEAD) (\S+) HTTP[^"]*" (\d+)/g)].map(([, verb, url]) => `${verb} ${url}`)
    return new ImageRegistry(host, requests, child, directory)
  }

  /** Copies an image of a layout to `repository:tag` of this registry. */
  push(layout: string, name: string): void {
    tool(
      "skopeo",
      "--insecure-policy",
      "copy",
      "--dest-tls-verify=false",
      "--preserve-digests",
      `oci:${layout}:1`,
      `docker://${this.host}/${name}`
    )
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL")
    await new Promise((resolve) =>
      this.#child.exitCode === null ? this.#child.once("exit", resolve) : resolve(undefined)
    )
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** The digests of an image's layers, from its layout. */
export const layerDigests = (layout: string): ReadonlyArray<string> => {
  const read = (digest: string) => JSON.parse(readFileSync(path.join(layout, "blobs/sha256", digest.slice(7)), "utf8"))
  const index = JSON.parse(readFileSync(path.join(layout, "index.json"), "utf8"))
  return read(index.manifests[0].digest).layers.map(({ digest }: { digest: string }) => digest)
}
