/**
 * Secrets as REST shows them.
 */
import { type SecretInfo, SecretName } from "@aegis/domain"
import * as Schema from "effect/Schema"
import { restTime } from "./SpokenTime.ts"

/** What is shown of a secret; never its value. */
export class RestSecret extends Schema.Class<RestSecret>("RestSecret")({
  name: SecretName,
  /** How often it was set. */
  version: Schema.Int,
  /** When it was last set. */
  created_at: Schema.String
}) {}

/** A secret as REST shows it. */
export const restSecret = ({ createdAt, name, version }: SecretInfo): RestSecret =>
  new RestSecret({ name, version, created_at: restTime(createdAt) })
