/** The product's version. Written again here, since `@aegis/domain` loads Effect and `aegis version` must not; a test compares them. */
export const version = "0.1.0"
