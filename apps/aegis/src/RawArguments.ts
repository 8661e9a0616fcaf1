/**
 * The bytes that this program was really started with.
 */
import { isUtf8 } from "node:buffer"
import { readFileSync } from "node:fs"

/**
 * Whether a word of the command line is not UTF-8 (T-14). Node replaces each bad byte with U+FFFD, so only where one is seen is
 * there anything to ask; where the system keeps no raw bytes, a word that holds U+FFFD cannot be trusted and counts as bad.
 */
export const hasUnreadableWord = (argv: ReadonlyArray<string>, source = "/proc/self/cmdline"): boolean => {
  if (!argv.some((word) => word.includes("\uFFFD"))) return false
  try {
    return !isUtf8(readFileSync(source))
  } catch {
    return true
  }
}
