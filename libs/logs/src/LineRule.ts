/**
 * Where an entry ends: at a line feed, or after 64 KiB without one.
 */
import { maxLogLineBytes } from "@aegis/domain"

const lineFeed = 10

/**
 * Cuts bytes of one stream into entries. The writer counts by this rule and the reader cuts by it, so that an entry's number needs
 * no place in the file.
 *
 * @param held how many bytes of the line have come already; less than 64 KiB.
 * @param emit gets each entry's place in `bytes`, without the line feed.
 * @returns where the rest begins that no line feed has ended yet.
 */
export const cutLines = (
  bytes: Buffer,
  held: number,
  emit: (from: number, to: number, partial: boolean) => void
): number => {
  let from = 0
  let room = maxLogLineBytes - held
  for (;;) {
    const found = bytes.indexOf(lineFeed, from)
    const to = found < 0 ? bytes.length : found
    while (to - from >= room) {
      emit(from, from + room, true)
      from += room
      room = maxLogLineBytes
    }
    if (found < 0) return from
    emit(from, to, false)
    from = to + 1
    room = maxLogLineBytes
  }
}
