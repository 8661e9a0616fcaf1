/**
 * Text that came from a guest or a file, made harmless for a terminal (T-19). A guest's own output is never touched.
 */

// eslint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g
// eslint-disable-next-line no-control-regex
const controlsAndBreaks = /[\u0000-\u001f\u007f-\u009f]/g

const named: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r" }

const spell = (character: string) =>
  named[character] ?? `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`

/** Every C0 and C1 control but newline and tab becomes visible: `\x1b`. */
export const escapeText = (text: string): string => text.replace(controls, spell)

/** As `escapeText`, and newline and tab too: for a value that stands in one line. */
export const escapeLine = (text: string): string => text.replace(controlsAndBreaks, spell)
