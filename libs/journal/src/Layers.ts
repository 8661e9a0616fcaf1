import type { StoreOpenError } from "@aegis/domain"
import * as Layer from "effect/Layer"
import { InstanceRecords } from "./InstanceRecords.ts"
import { Journal } from "./Journal.ts"
import { Store } from "./Store.ts"

const services = Layer.provideMerge(InstanceRecords.layer, Journal.layer)

/** The journal in `file` and what is kept with it. The file is made where there is none, and closed with the layer's scope. */
export const journalAt = (options: { readonly file: string }): Layer.Layer<Journal | InstanceRecords, StoreOpenError> =>
  Layer.provide(services, Store.layer(options))

/** The same in memory, forgotten with the layer's scope: for embedding and for tests. */
export const journalInMemory: Layer.Layer<Journal | InstanceRecords, StoreOpenError> = Layer.provide(
  services,
  Store.memory
)
