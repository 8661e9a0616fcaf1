/**
 * The typed face of the daemon: what `aegis`, `aegis-mcp` and other Effect programs call. A client loads the part that it calls, since
 * building the Schemas of all of them is most of a short program's start.
 */
import { DaemonRpcs } from "./DaemonRpcs.ts"
import { ExecRpcs } from "./ExecRpcs.ts"
import { FileRpcs } from "./FileRpcs.ts"
import { HistoryRpcs } from "./HistoryRpcs.ts"
import { HomeRpcs } from "./HomeRpcs.ts"
import { InstanceRpcs } from "./InstanceRpcs.ts"
import { RunRpcs } from "./RunRpcs.ts"

export class AegisRpcs extends DaemonRpcs.merge(RunRpcs, ExecRpcs, FileRpcs, InstanceRpcs, HistoryRpcs, HomeRpcs) {}
