/**
 * `aegis rootfs`: S-190 to S-196.
 */
import * as Command from "@effect/cli/Command"
import { rootfsList } from "./RootfsList.ts"
import { rootfsPull } from "./RootfsPull.ts"

export const rootfs = Command.make("rootfs").pipe(Command.withSubcommands([rootfsList, rootfsPull]))
