/**
 * `<AEGIS_HOME>/registries.json`: which registries have mirrors, which speak plain HTTP, whose tokens come from elsewhere.
 * It is read at each pull: a change needs no restart.
 */
import { RegistryUnavailable } from "@aegis/domain"
import { AtomicFile } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Host = Schema.String.pipe(
  Schema.pattern(/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/, { message: () => "a host, or host:port" })
)

/** `http://127.0.0.1:5000`; a path goes before the repository's name, as proxies of several registries want it. */
const MirrorUrl = Schema.String.pipe(Schema.filter((text) => mirrorFault(text)))

const Settings = Schema.Struct({
  /** By registry, tried in this order, and then the registry itself. */
  mirrors: Schema.optionalWith(Schema.Record({ key: Host, value: Schema.Array(MirrorUrl) }), { default: () => ({}) }),
  /** Hosts that may be spoken to without TLS. Loopback always may. */
  insecure: Schema.optionalWith(Schema.Array(Host), { default: () => [] }),
  /** By registry, the hosts besides its own that may hand out its tokens and get its passwords. */
  tokenHosts: Schema.optionalWith(Schema.Record({ key: Host, value: Schema.Array(Host) }), { default: () => ({}) })
}).annotations({ parseOptions: { onExcessProperty: "error" } })

export type RegistrySettings = typeof Settings.Type

export const defaultSettings: RegistrySettings = { mirrors: {}, insecure: [], tokenHosts: {} }

/** The settings of a home; the defaults where there is no such file. */
export const readSettings = (file: string, registry: string): Effect.Effect<RegistrySettings, RegistryUnavailable> =>
  AtomicFile.readJson(file, Settings).pipe(
    Effect.catchAll((error) =>
      error.code === "ENOENT"
        ? Effect.succeed(defaultSettings)
        : new RegistryUnavailable({ registry, cause: "config", reason: error.message.slice(0, 1000) })
    ),
    Effect.filterOrFail(
      (settings) => plainMirror(settings) === undefined,
      (settings) =>
        new RegistryUnavailable({
          registry,
          cause: "config",
          reason: `${file}: the mirror ${plainMirror(settings)} is without TLS and not among "insecure"`
        })
    )
  )

/** Whether a host may be spoken to without TLS. */
export const mayBePlain = (settings: RegistrySettings, url: URL): boolean =>
  isLoopback(url.hostname) || settings.insecure.some((host) => [url.host, url.hostname].includes(host.toLowerCase()))

/** A name or address of this machine itself. `hostname` is a URL's: addresses are in their one form there. */
export const isLoopback = (hostname: string): boolean =>
  hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127\.[0-9.]+$/.test(hostname)

/** This machine, or what only this machine's network gives to it, such as a cloud's metadata. */
export const isLocalOnly = (hostname: string): boolean =>
  isLoopback(hostname) || /^(?:0\.|169\.254\.|\[(?:::\]|::ffff:|fe[89ab]))/.test(hostname)

const plainMirror = (settings: RegistrySettings) =>
  Object.values(settings.mirrors)
    .flat()
    .find((text) => {
      const url = new URL(text)
      return url.protocol === "http:" && !mayBePlain(settings, url)
    })

const mirrorFault = (text: string) => {
  if (!URL.canParse(text)) return "is no URL"
  const { hash, password, pathname, protocol, search, username } = new URL(text)
  if (protocol !== "https:" && protocol !== "http:") return "begins with neither https: nor http:"
  if (username !== "" || password !== "" || search !== "" || hash !== "") return "has more than a host and a path"
  return /^\/(?:[a-z0-9._/-]*)$/.test(pathname) && !pathname.includes("..")
    ? undefined
    : "has a path that is no repository's"
}
