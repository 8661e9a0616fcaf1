/**
 * What a person may have meant by a word that nothing is called.
 */

/** `did you mean --name?`, where one known word is at most two letters away. */
export const near = (word: string, known: ReadonlyArray<string>, prefix: string): string | undefined => {
  const best = known
    .map((candidate) => ({ candidate, steps: distance(word, candidate) }))
    .filter(({ candidate, steps }) => steps <= 2 && steps < candidate.replaceAll("-", "").length - 1)
    .sort((one, other) => one.steps - other.steps)[0]
  return best === undefined ? undefined : `did you mean ${prefix}${best.candidate}?`
}

/** Levenshtein's distance, with two neighbours in the wrong order as one step, cut to words of a sensible length. */
const distance = (one: string, other: string) => {
  if (Math.abs(one.length - other.length) > 2) return Infinity
  let before: ReadonlyArray<number> = []
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1]
    for (let column = 1; column <= other.length; column++) {
      const swapped = index > 0 && letter === other[column - 2] && one[index - 1] === other[column - 1]
      next.push(
        Math.min(
          (row[column] ?? 0) + 1,
          (next[column - 1] ?? 0) + 1,
          (row[column - 1] ?? 0) + (letter === other[column - 1] ? 0 : 1),
          swapped ? (before[column - 2] ?? 0) + 1 : Infinity
        )
      )
    }
    before = row
    row = next
  }
  return row[other.length] ?? Infinity
}
