/** One document in one line. */
export const line = (document: object): string => `${JSON.stringify(document)}\n`

/** The status has been sent by then: what went wrong comes in the form of every error, as the last line. */
export const errorLine = ({
  _tag,
  message,
  remedy
}: {
  readonly _tag: string
  readonly message: string
  readonly remedy: string
}): string => line({ error: message, code: _tag, remedy })
