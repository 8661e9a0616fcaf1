/** The REST face, and the JSON that it speaks. */
export * from "./Rest.ts"
export * from "./RestError.ts"
export * from "./RestExec.ts"
export * from "./Shapes.ts"
