/** The product's version: one for the CLI, the daemon, the VMM process and the harness. */
export const version = "0.1.0"
