/**
 * Where the daemon is found: pure rules, shared by the daemon and its clients.
 */
import { createHash } from "node:crypto"

/** sockaddr_un holds 108 bytes on Linux and 104 on macOS; we stay below both (contract D-13). */
const maxSocketPathBytes = 100

export interface UserPlace {
  readonly uid: number
  /** `XDG_RUNTIME_DIR`, where the system provides one. */
  readonly runtimeDir: string | undefined
}

/** A private directory of this user on a short path: for what does not fit under a long home. */
export const shortDirectory = ({ runtimeDir, uid }: UserPlace): string =>
  runtimeDir !== undefined && Buffer.byteLength(runtimeDir) < 60 ? `${runtimeDir}/aegis` : `/tmp/aegis-${uid}`

/** The path itself where a socket's address can hold it, else a short one that depends on nothing but the long one. */
export const socketPath = (path: string, place: UserPlace): string =>
  Buffer.byteLength(path) <= maxSocketPathBytes
    ? path
    : `${shortDirectory(place)}/${createHash("sha256").update(path).digest("hex").slice(0, 16)}.sock`

/** The daemon's socket for a home directory such as `~/.aegis`. */
export const daemonSocket = (home: string, place: UserPlace): string => socketPath(`${home}/aegisd.sock`, place)

/** The file that holds the daemon's process id in decimal (contract S-003). */
export const daemonPidFile = (home: string): string => `${home}/data/aegisd.pid`
