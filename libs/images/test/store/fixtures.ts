import { type Digest, type ImageSource, parseImageSource, type PullProgress } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as esbuild from "esbuild"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import type * as http from "node:http"
import * as path from "node:path"
import { buffer } from "node:stream/consumers"
import { gzipSync } from "node:zlib"
import * as tar from "tar-stream"
import { Registry } from "../../src/registry/Registry.ts"
import { hostPlatform } from "../../src/registry/Platform.ts"
import { digestOf } from "../../src/registry/Resolve.ts"
import { BlobStore } from "../../src/store/BlobStore.ts"
import { DiskBuilder } from "../../src/store/DiskBuilder.ts"
import { ImageStore } from "../../src/store/ImageStore.ts"
import { serve } from "../registry/scripted.ts"

export const hexOf = (digest: string) => digest.slice("sha256:".length)

type TarEntry = Partial<tar.Header> & { readonly name: string; readonly body?: Uint8Array | string }

export const tarOf = (entries: ReadonlyArray<TarEntry>): Promise<Buffer> => {
  const pack = tar.pack()
  for (const { body, ...header } of entries) {
    if (body === undefined) pack.entry(header)
    else pack.entry(header, Buffer.from(body))
  }
  pack.finalize()
  return buffer(pack)
}

export interface TestImage {
  readonly manifest: { readonly mediaType: string; readonly digest: Digest; readonly bytes: Buffer }
  readonly config: Digest
  readonly layers: ReadonlyArray<Digest>
  readonly diffIds: ReadonlyArray<Digest>
  readonly blobs: ReadonlyMap<string, Buffer>
}

/** An image of gzipped layers, each of one file with these bytes. */
export const imageOf = (
  contents: ReadonlyArray<Uint8Array | string>,
  change: {
    readonly docker?: boolean
    /** Of layers with these contents instead. */
    readonly diffIds?: ReadonlyArray<string>
    readonly sizeOff?: number
  } = {}
) =>
  Effect.promise(async (): Promise<TestImage> => {
    const tarsOf = (bodies: ReadonlyArray<Uint8Array | string>) =>
      Promise.all(bodies.map((body, at) => tarOf([{ name: `file-${at % 2}`, body }])))
    const tars = await tarsOf(contents)
    const blobs = new Map<string, Buffer>()
    const add = (bytes: Buffer) => {
      blobs.set(digestOf(bytes), bytes)
      return { digest: digestOf(bytes), size: bytes.length }
    }
    const layers = tars.map((bytes) => add(gzipSync(bytes, { level: 1 })))
    const diffIds = (change.diffIds === undefined ? tars : await tarsOf(change.diffIds)).map(digestOf)
    const { architecture, os } = hostPlatform()
    const config = add(
      Buffer.from(JSON.stringify({ os, architecture, config: {}, rootfs: { type: "layers", diff_ids: diffIds } }))
    )
    const type = (oci: string, docker: string) => (change.docker === true ? docker : oci)
    const mediaType = type(
      "application/vnd.oci.image.manifest.v1+json",
      "application/vnd.docker.distribution.manifest.v2+json"
    )
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: {
          mediaType: type("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"),
          ...config
        },
        layers: layers.map(({ digest, size }) => ({
          mediaType: type(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar.gzip"
          ),
          digest,
          size: size + (change.sizeOff ?? 0)
        }))
      })
    )
    return {
      manifest: { mediaType, digest: digestOf(bytes), bytes },
      config: config.digest,
      layers: layers.map(({ digest }) => digest),
      diffIds,
      blobs
    }
  })

export const writeLayout = (directory: string, images: Readonly<Record<string, TestImage>>) => {
  const blobs = path.join(directory, "blobs", "sha256")
  fs.mkdirSync(blobs, { recursive: true })
  fs.writeFileSync(path.join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }))
  const manifests = Object.entries(images).map(([tag, { blobs: found, manifest }]) => {
    for (const [digest, bytes] of [...found, [manifest.digest, manifest.bytes] as const]) {
      fs.writeFileSync(path.join(blobs, hexOf(digest)), bytes)
    }
    return {
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      size: manifest.bytes.length,
      annotations: { "org.opencontainers.image.ref.name": tag }
    }
  })
  fs.writeFileSync(path.join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }))
}

/** What a request for a blob is answered with instead of the blob; nothing where it is to be served. */
export type BlobHook = (asked: {
  readonly digest: string
  readonly bytes: Buffer
  readonly from: number
  /** How often this blob has been asked for, this time included. */
  readonly count: number
  readonly response: http.ServerResponse
}) => boolean

/** A registry of images by tag, which counts and can be made to misbehave. */
export const registryOf = (images: Map<string, TestImage>, hook: BlobHook = () => false) =>
  Effect.gen(function* () {
    const asked = new Map<string, number>()
    const served = new Map<string, number>()
    const server = yield* serve(({ headers, path: url }, response) => {
      const [, kind, name = ""] = /\/(manifests|blobs)\/(.+)$/.exec(url) ?? []
      const all = [...images.values()]
      if (kind === "manifests") {
        const found = images.get(name) ?? all.find(({ manifest }) => manifest.digest === name)
        asked.set(name, (asked.get(name) ?? 0) + 1)
        if (found === undefined) return void response.writeHead(404).end()
        return void response.writeHead(200, { "content-type": found.manifest.mediaType }).end(found.manifest.bytes)
      }
      const bytes = all.find(({ blobs }) => blobs.has(name))?.blobs.get(name)
      if (bytes === undefined) return void response.writeHead(404).end()
      const from = Number(/^bytes=(\d+)-/.exec(headers.range ?? "")?.[1] ?? 0)
      const count = (asked.get(name) ?? 0) + 1
      asked.set(name, count)
      if (hook({ digest: name, bytes, from, count, response })) return
      served.set(name, (served.get(name) ?? 0) + bytes.length - from)
      const range = from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}
      response.writeHead(from > 0 ? 206 : 200, { "content-length": bytes.length - from, ...range })
      response.end(bytes.subarray(from))
    })
    return { host: server.host, asked, served, source: (tag: string) => sourceOf(`${server.host}/app:${tag}`) }
  })

export const sourceOf = (text: string): Effect.Effect<ImageSource> => Effect.orDie(parseImageSource(text))

/** A builder that puts its layers' bytes one after the other, and counts. */
export const simpleBuilder = () => {
  const built: Array<string> = []
  const write = (disk: string, parts: ReadonlyArray<string>) =>
    Effect.promise(async () => {
      const half = `${disk}.tmp-1`
      fs.writeFileSync(half, Buffer.concat(parts.map((file) => fs.readFileSync(file))))
      built.push(disk)
      fs.renameSync(half, disk)
    })
  return {
    built,
    layer: Layer.succeed(DiskBuilder, {
      merge: ({ disk, layers }) =>
        write(
          disk,
          layers.map((layer) => layer.path)
        ),
      fromTar: ({ disk, tar: file }) => write(disk, [file])
    })
  }
}

export interface StoreOptions {
  readonly builder?: Layer.Layer<DiskBuilder>
}

export const pathsOf = (home: string, product = "/nowhere") =>
  Layer.orDie(AegisPaths.layer(product)).pipe(
    Layer.provide(
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries({ AEGIS_HOME: home, HOME: home }))))
    )
  )

/** An `ImageStore` over a home, with its parts. */
export const storeAt = (home: string, { builder = simpleBuilder().layer }: StoreOptions = {}) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      ImageStore.layer.pipe(
        Layer.provideMerge(Layer.mergeAll(BlobStore.layer, builder, Registry.layer)),
        Layer.provide(pathsOf(home))
      )
    )
    const images = Context.get(context, ImageStore)
    return {
      ...images,
      blobs: Context.get(context, BlobStore),
      /** Pulls, and keeps what was told. */
      pulled: (source: ImageSource, refresh = true) =>
        Effect.gen(function* () {
          const told: Array<PullProgress> = []
          const disk = yield* images.pull(source, { refresh, report: (progress) => void told.push(progress) })
          return { disk, told }
        })
    }
  })

export const layoutOf = (home: string) => path.join(home, "data", "images")

/** The blobs' files, parts included. */
export const blobFiles = (home: string) => fs.readdirSync(path.join(layoutOf(home), "blobs", "sha256")).sort()

/** One of these folder's programs as a file of its own, which starts at once. */
export const bundled = (program: string, outfile: string): string => {
  esbuild.buildSync({
    entryPoints: [path.join(import.meta.dirname, program)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    // Packages that are not ES modules ask for it.
    banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` }
  })
  return outfile
}

/** Debian's docker-registry, on a free port of loopback. */
export const dockerRegistry = (directory: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly port: string; readonly stop: () => void }>((resume) => {
        const config = path.join(directory, "registry.yml")
        fs.writeFileSync(
          config,
          JSON.stringify({
            version: 0.1,
            log: { level: "info" },
            storage: { filesystem: { rootdirectory: path.join(directory, "registry") } },
            http: { addr: "127.0.0.1:0" }
          })
        )
        const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "pipe", "pipe"] })
        const look = (bytes: Buffer) => {
          const port = /listening on 127\.0\.0\.1:(\d+)/.exec(bytes.toString())?.[1]
          if (port !== undefined) resume(Effect.succeed({ port, stop: () => void child.kill("SIGKILL") }))
        }
        child.stdout.on("data", look)
        child.stderr.on("data", look)
      }),
      ({ stop }) => Effect.sync(stop)
    ),
    ({ port }) => ({
      host: `127.0.0.1:${port}`,
      push: (from: string, name: string) =>
        execFileSync("skopeo", [
          "copy",
          "--quiet",
          "--insecure-policy",
          "--dest-tls-verify=false",
          from,
          `docker://127.0.0.1:${port}/${name}`
        ])
    })
  )
