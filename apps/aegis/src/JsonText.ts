/**
 * What `--json` prints.
 */

/** One JSON document, indented, with a newline at its end. */
export const jsonDocument = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** One JSON document in one line. */
export const jsonLine = (value: unknown): string => `${JSON.stringify(value)}\n`
