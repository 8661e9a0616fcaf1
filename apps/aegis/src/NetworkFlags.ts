/**
 * The flags that say what a guest's network lets through.
 */
import { SpokenPort } from "@aegis/contract"
import { maxNetworkRules, NetworkPolicy, NetworkProfile, NetworkRuleText } from "@aegis/domain"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UsageError } from "./Errors.ts"
import { flagValue } from "./FlagValue.ts"
import { textOption, textOptions } from "./Verbatim.ts"

export const networkFlags = {
  network: Options.optional(textOption("network")),
  allow: textOptions("allow"),
  deny: textOptions("deny"),
  allowHost: textOptions("allow-host")
}

/** What those take besides that give an instance its policy. */
export const networkLogFlag = { networkLog: Options.boolean("network-log") }

export interface NetworkFlags {
  readonly network: Option.Option<string>
  readonly allow: ReadonlyArray<string>
  readonly deny: ReadonlyArray<string>
  readonly allowHost: ReadonlyArray<string>
  readonly networkLog?: boolean
}

/** Of the flags that `run`, `instance start` and `network` share. */
export const networkPolicy = (flags: NetworkFlags): Effect.Effect<NetworkPolicy, UsageError> =>
  Effect.gen(function* () {
    const profile = yield* Option.match(flags.network, {
      onNone: () => Effect.succeed("public" as const),
      onSome: (text) => flagValue(OneProfile, "--network", text, "--network public, none or all")
    })
    for (const [flag, given] of Object.entries({
      allow: flags.allow,
      deny: flags.deny,
      "allow-host": flags.allowHost
    })) {
      if (given.length > maxNetworkRules) {
        return yield* new UsageError({
          message: `--${flag} is given ${given.length} times; at most ${maxNetworkRules} are possible`,
          remedy: "give ranges of addresses, or *.DOMAIN, in place of single hosts"
        })
      }
    }
    const rules = (flag: string, texts: ReadonlyArray<string>) =>
      Effect.forEach(texts, (text) =>
        flagValue(NetworkRuleText, flag, text, `${flag} example.com:443, or ${flag} 10.1.0.0/16`)
      )
    const allow = yield* rules("--allow", flags.allow)
    const deny = yield* rules("--deny", flags.deny)
    const hostPorts = yield* Effect.forEach(flags.allowHost, (text) =>
      flagValue(SpokenPort, "--allow-host", text, "--allow-host 8080, a port from 1 to 65535")
    )
    return new NetworkPolicy({ profile, allow, deny, hostPorts, log: flags.networkLog ?? false })
  })

const OneProfile = NetworkProfile.annotations({
  message: () => ({ message: "it is public, none or all", override: true })
})
