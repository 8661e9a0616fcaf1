import { existsSync } from "node:fs"
export const ensureMsb = async () => { throw new Error("later") }
