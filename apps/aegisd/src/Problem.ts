/** An answer of REST's own, before any service was asked: with the body that every error has (D-15). */
import { RestErrorBody } from "@aegis/contract/rest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Schema from "effect/Schema"

export interface Problem {
  readonly status: number
  readonly code: string
  readonly error: string
  readonly remedy: string
  readonly headers?: Readonly<Record<string, string>>
}

const encode = Schema.encodeSync(Schema.parseJson(RestErrorBody))

export const problemText = ({ code, error, remedy }: Problem): string => encode({ error, code, remedy })

export const problem = (described: Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(problemText(described), {
    status: described.status,
    contentType: "application/json",
    headers: described.headers
  })
