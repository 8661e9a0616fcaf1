/**
 * `--expose` as people type it: `80`, `80:tcp`, `80/tcp`, `8080:80`, `8080:80/tcp`.
 */
import { Exposure, PortNumber } from "@aegis/domain"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

const form =
  "a port is PORT[:PROTO] or [HOSTPORT:]PORT[/PROTO], from 1 to 65535, with http or tcp, such as 80 or 8080:80/tcp"

/** The exposed port that a text means. Digits are ASCII's, and no number begins with 0: one reading for each text. */
export const SpokenExposure = Schema.transformOrFail(Schema.String, Schema.typeSchema(Exposure), {
  strict: true,
  decode: (text, _, ast) => {
    const refuse = (reason: string) => ParseResult.fail(new ParseResult.Type(ast, text, reason))
    const [, first, second, protocol] = /^(?:([1-9][0-9]{0,4}):)?([1-9][0-9]{0,4})(?:[/:]([a-z]+))?$/.exec(text) ?? []
    const port = Number(second)
    const hostPort = first === undefined ? undefined : Number(first)
    if (second === undefined || port > 65_535 || (hostPort ?? 0) > 65_535) return refuse(form)
    if (first !== undefined && text.lastIndexOf(":") > text.indexOf(":")) return refuse(form)
    if (protocol === "udp")
      return refuse("udp cannot be exposed: the way into a guest carries streams, so it is http or tcp")
    if (protocol !== undefined && protocol !== "http" && protocol !== "tcp") return refuse(form)
    return ParseResult.succeed(
      new Exposure({ port, protocol: protocol ?? "http", ...(hostPort === undefined ? {} : { hostPort }) })
    )
  },
  encode: ({ hostPort, port, protocol }) =>
    ParseResult.succeed(`${hostPort === undefined ? "" : `${hostPort}:`}${port}/${protocol}`)
}).annotations({ identifier: "SpokenExposure", description: form })

/** A port, in ASCII digits alone. */
export const SpokenPort = Schema.String.pipe(
  Schema.pattern(/^[1-9][0-9]{0,4}$/),
  Schema.compose(Schema.NumberFromString),
  Schema.compose(PortNumber)
).annotations({
  identifier: "SpokenPort",
  message: () => ({ message: "a port is a whole number from 1 to 65535", override: true })
})
