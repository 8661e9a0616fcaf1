/**
 * Where an image is asked for, and where a registry may send us from there.
 */
import type { ImageReference } from "@aegis/domain"
import * as Either from "effect/Either"
import { isLocalOnly, mayBePlain, type RegistrySettings } from "./RegistriesFile.ts"

/** One place that may have an image: a mirror, or its registry. */
export interface Origin {
  /** How messages and logins name it: `docker.io`, `ghcr.io`, a mirror's host. */
  readonly host: string
  readonly base: URL
  /** The repository's name there. */
  readonly repository: string
}

/** Where the registry of a name is served, when not at the name. */
const servedAt: Readonly<Record<string, string>> = { "docker.io": "registry-1.docker.io" }

/** Registries whose tokens are known to come from another host of the same owner. */
const knownTokenHosts: Readonly<Record<string, ReadonlyArray<string>>> = {
  "docker.io": ["auth.docker.io"],
  "registry.gitlab.com": ["gitlab.com"],
  "docker.elastic.co": ["docker-auth.elastic.co"],
  "registry.digitalocean.com": ["api.digitalocean.com"],
  "lscr.io": ["ghcr.io"]
}

const own = (record: Readonly<Record<string, ReadonlyArray<string>>>, key: string): ReadonlyArray<string> =>
  Object.hasOwn(record, key) ? (record[key] ?? []) : []

/** The mirrors in their order, then the registry itself. */
export const originsOf = (
  settings: RegistrySettings,
  { registry, repository }: ImageReference
): readonly [Origin, ...Array<Origin>] => {
  const host = Object.hasOwn(servedAt, registry) ? (servedAt[registry] ?? registry) : registry
  const secure = new URL(`https://${host}`)
  const base = mayBePlain(settings, secure) ? new URL(`http://${host}`) : secure
  const origin: Origin = { host: registry, base, repository }
  const mirrors = own(settings.mirrors, registry).map((text): Origin => {
    const url = new URL(text)
    const prefix = url.pathname.replace(/^\/+|\/+$/g, "")
    return {
      host: url.host,
      base: new URL(url.origin),
      repository: prefix === "" ? repository : `${prefix}/${repository}`
    }
  })
  const [first, ...others] = [...mirrors, origin]
  return first === undefined ? [origin] : [first, ...others]
}

/** Where a redirect leads, or why it is not followed (T-97). */
export const redirectTarget = (
  settings: RegistrySettings,
  from: URL,
  location: string | undefined
): Either.Either<URL, string> => {
  if (location === undefined || !URL.canParse(location, from.href)) return Either.left("a redirect without a target")
  const to = new URL(location, from.href)
  if (from.protocol === "https:" && to.protocol === "http:") return Either.left("a redirect from https to http")
  return safeTarget(settings, from, to)
}

/** Where a challenge sends us for a token, or why we do not go there (T-86 to T-88). */
export const realmTarget = (settings: RegistrySettings, origin: Origin, realm: string): Either.Either<URL, string> => {
  if (!URL.canParse(realm)) return Either.left("its token server's address is no URL")
  const to = new URL(realm)
  const allowed = [origin.base.hostname, ...own(knownTokenHosts, origin.host), ...own(settings.tokenHosts, origin.host)]
  if (!allowed.some((host) => host === to.hostname || host === to.host)) {
    return Either.left(
      `it wants the login to be sent to ${to.host || to.protocol}, which is not known to be its own; ` +
        `if it is, name it in "tokenHosts" of registries.json`
    )
  }
  if (origin.base.protocol === "https:" && to.protocol !== "https:") {
    return Either.left("its token server is without TLS")
  }
  return safeTarget(settings, origin.base, to)
}

const safeTarget = (settings: RegistrySettings, from: URL, to: URL): Either.Either<URL, string> => {
  if (to.protocol !== "https:" && to.protocol !== "http:")
    return Either.left(`an address that begins with ${to.protocol}`)
  if (to.username !== "" || to.password !== "") return Either.left("an address with a login in it")
  if (to.protocol === "http:" && !mayBePlain(settings, to)) return Either.left(`an address without TLS at ${to.host}`)
  if (isLocalOnly(to.hostname) && !isLocalOnly(from.hostname)) {
    return Either.left(`an address of this machine's own (${to.host})`)
  }
  return Either.right(to)
}
