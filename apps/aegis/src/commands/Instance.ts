/**
 * `aegis instance`: the group.
 */
import * as Command from "@effect/cli/Command"
import { instanceDelete } from "./InstanceDelete.ts"
import { instanceInfo } from "./InstanceInfo.ts"
import { instanceList } from "./InstanceList.ts"

export const instance = Command.make("instance").pipe(
  Command.withSubcommands([instanceList, instanceInfo, instanceDelete])
)
