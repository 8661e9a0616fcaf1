import * as Layer from "effect/Layer"
import { BaseRootfs } from "./BaseRootfs.ts"
import { layerDiskBuilder } from "./Mkroot.ts"
import { Registry } from "./registry/Registry.ts"
import { BlobStore } from "./store/BlobStore.ts"
import { ImageStore } from "./store/ImageStore.ts"

/** The images of this home, over registries and aegis-mkroot. */
export const imageStore = ImageStore.layer.pipe(Layer.provide([BlobStore.layer, layerDiskBuilder, Registry.layer]))

/** The same, and the base root file system. */
export const images = Layer.provideMerge(BaseRootfs.layer, imageStore)
