/**
 * `aegis instance`: the group.
 */
import * as Command from "@effect/cli/Command"
import { instanceDelete } from "./InstanceDelete.ts"
import { instanceInfo } from "./InstanceInfo.ts"
import { instanceList } from "./InstanceList.ts"
import { instancePause, instanceResume } from "./InstancePause.ts"
import { instancePrune } from "./InstancePrune.ts"
import { instanceStart } from "./InstanceStart.ts"
import { instanceStop } from "./InstanceStop.ts"
import { instanceWait } from "./InstanceWait.ts"
import { instanceWatch } from "./InstanceWatch.ts"

export const instance = Command.make("instance").pipe(
  Command.withSubcommands([
    instanceStart,
    instanceList,
    instanceInfo,
    instanceStop,
    instanceDelete,
    instancePause,
    instanceResume,
    instancePrune,
    instanceWait,
    instanceWatch
  ])
)
