export * from "./BaseRootfs.ts"
export { images, imageStore } from "./Layers.ts"
export { type ImageDisk, ImageStore } from "./store/ImageStore.ts"
