/**
 * Times as people type them, for the CLI and for REST alike (contract D-07).
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** A hundred years: longer than anything here can have lasted. */
const maxSeconds = 36_500 * 86_400

const durationForm = "a duration is a whole number and s, m, h or d, such as 90s, 30m, 12h or 7d, of at most 36500d"

/** `90s`, `30m`, `12h`, `7d`; `0d` too. One number, one unit, nothing else. */
export const SpokenDuration = Schema.transformOrFail(Schema.String, Schema.DurationFromSelf, {
  strict: true,
  decode: (text, _, ast) => {
    const seconds = secondsOf(text)
    return seconds === undefined
      ? ParseResult.fail(new ParseResult.Type(ast, text, durationForm))
      : ParseResult.succeed(Duration.seconds(seconds))
  },
  encode: (duration) => ParseResult.succeed(`${Math.round(Duration.toSeconds(duration))}s`)
}).annotations({ identifier: "SpokenDuration", description: durationForm })

const secondsOf = (text: string): number | undefined => {
  const [, count, unit = ""] = /^([0-9]{1,10})([smhd])$/.exec(text) ?? []
  const seconds = count === undefined ? undefined : Number(count) * (unitSeconds[unit] ?? 0)
  return seconds !== undefined && seconds <= maxSeconds ? seconds : undefined
}

const graceForm = "a timeout is a number of seconds, or a duration such as 90s or 5m, of at most 1h"

/** How long a stop may take: `10`, `10s`, `5m`; 0 to one hour. */
export const SpokenGrace = Schema.transformOrFail(Schema.String, Schema.DurationFromSelf, {
  strict: true,
  decode: (text, _, ast) => {
    const seconds = secondsOf(/^[0-9]+$/.test(text) ? `${text}s` : text)
    return seconds === undefined || seconds > 3600
      ? ParseResult.fail(new ParseResult.Type(ast, text, graceForm))
      : ParseResult.succeed(Duration.seconds(seconds))
  },
  encode: (duration) => ParseResult.succeed(`${Math.round(Duration.toSeconds(duration))}s`)
}).annotations({ identifier: "SpokenGrace", description: graceForm })

const sinceForm = "a time is a duration back from now such as 10m, or RFC 3339 such as 2026-02-19T10:30:00Z"

/** A moment: so long ago (`10m`), or in RFC 3339 with an offset. */
export const SpokenSince = Schema.transformOrFail(Schema.String, Schema.DateTimeUtcFromSelf, {
  strict: true,
  decode: (text, _, ast) => {
    const moment = momentOf(text)
    if (Option.isSome(moment)) return ParseResult.succeed(moment.value)
    const seconds = secondsOf(text)
    return seconds === undefined
      ? ParseResult.fail(new ParseResult.Type(ast, text, sinceForm))
      : Effect.map(DateTime.now, (now) => DateTime.subtractDuration(now, Duration.seconds(seconds)))
  },
  encode: (moment) => ParseResult.succeed(DateTime.formatIso(moment))
}).annotations({ identifier: "SpokenSince", description: sinceForm })

const rfc3339 =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$/

/** JavaScript takes the 31st of April for the 1st of May: the day is looked at here. */
const momentOf = (text: string): Option.Option<DateTime.Utc> => {
  const [, year, month, day] = rfc3339.exec(text) ?? []
  if (day === undefined) return Option.none()
  const lastDay = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
  return Number(day) <= lastDay ? Option.map(DateTime.make(text.toUpperCase()), DateTime.toUtc) : Option.none()
}

/** RFC 3339 in UTC with whole seconds (contract S-017). */
export const restTime = (time: DateTime.Utc): string => DateTime.formatIso(time).replace(/\.\d+Z$/, "Z")

/** How long ago `prune` wants an instance to have stopped, where nobody says (S-140). */
export const defaultPruneAge = Duration.days(7)
