/**
 * What of a guest's answer goes to the client, whichever way its request went.
 */
import type * as http from "node:http"
import { asPairs, endToEnd } from "./Headers.ts"
import { type Refusal, refusal } from "./Refusal.ts"

/** The guest has not begun its answer in time. */
export class SilentGuest extends Error {}

export const guestFailure = (error: unknown): Refusal =>
  error instanceof SilentGuest
    ? refusal(504, "GuestUnresponsive", "the guest has not answered in time", "aegis logs shows what its command says")
    : refusal(
        502,
        "BadGateway",
        `the guest's answer cannot be used: ${error instanceof Error ? error.message : String(error)}`,
        "aegis logs shows what its command says; a port that speaks no HTTP is exposed with :tcp"
      )

/** Interim answers that one request may have (T-178). */
const maxInterim = 20

/** Interim answers to one request: early hints are passed on. */
export class Interim {
  #count = 0
  readonly #response: http.ServerResponse

  constructor(response: http.ServerResponse) {
    this.#response = response
  }

  get any(): boolean {
    return this.#count > 0
  }

  /** Takes one, and says whether that was one too many. */
  isTooMany(status: number, rawHeaders: ReadonlyArray<string>): boolean {
    this.#count += 1
    const link = asPairs(rawHeaders).flatMap(([name, value]) => (name.toLowerCase() === "link" ? [value] : []))
    if (status === 103 && link.length > 0 && !this.#response.headersSent) this.#response.writeEarlyHints({ link })
    return this.#count > maxInterim
  }
}

/** Begins the answer; fails where Node refuses to write what no header may hold. */
export const writeHead = (
  response: http.ServerResponse,
  { rawHeaders, status, text }: { status: number; text: string; rawHeaders: ReadonlyArray<string> }
) => {
  response.sendDate = false
  response.writeHead(status, text, endToEnd(rawHeaders, "response"))
}

export const writeTrailers = (response: http.ServerResponse, rawTrailers: ReadonlyArray<string>) => {
  const trailers = endToEnd(rawTrailers, "response")
  if (trailers.length > 0) response.addTrailers(asPairs(trailers))
}
