import { networkInterfaces } from "node:os"

/** Whether an address, in the form in which Node writes it, is one of this machine's now. */
export const isOwnAddress = (address: string): boolean =>
  Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === address))
