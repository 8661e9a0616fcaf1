/**
 * Files of the scripted daemon's guests: a table, without directories or permissions.
 */
import {
  type FileError,
  FileNotFound,
  FilePiece,
  FileRefused,
  type FileWriting,
  type NotFound,
  type StartError
} from "@aegis/domain"
import * as Effect from "effect/Effect"
import { find } from "./Guests.ts"

const files = new Map<string, { readonly bytes: Buffer; readonly mode: number }>()

const nameOf = (target: string, path: string): Effect.Effect<string, NotFound | StartError> =>
  Effect.map(find(target), ({ instance }) => `${instance.id}:${path}`)

export const readFile = (
  target: string,
  path: string,
  offset: number,
  limit: number
): Effect.Effect<FilePiece, FileError> =>
  Effect.gen(function* () {
    const file = files.get(yield* nameOf(target, path))
    if (file === undefined) return yield* new FileNotFound({ target, path, reason: `${path}: no such file` })
    return new FilePiece({ size: file.bytes.length, bytes: file.bytes.subarray(offset, offset + limit) })
  })

export const writeFile = (
  target: string,
  path: string,
  bytes: Uint8Array,
  { how, mode }: FileWriting
): Effect.Effect<void, FileError> =>
  Effect.gen(function* () {
    const name = yield* nameOf(target, path)
    const there = files.get(name)
    if (how === "create" && there !== undefined) {
      return yield* new FileRefused({ target, path, reason: `${path}: file exists` })
    }
    const before = how === "append" && there !== undefined ? there.bytes : Buffer.alloc(0)
    files.set(name, { bytes: Buffer.concat([before, bytes]), mode: mode ?? there?.mode ?? 0o644 })
    // So that a test sees what was asked for.
    if (mode !== undefined) files.set(`${name}.mode`, { bytes: Buffer.from(mode.toString(8)), mode: 0o644 })
  })
