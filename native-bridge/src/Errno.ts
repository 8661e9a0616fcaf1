/**
 * Names of the kernel's error numbers, as this platform's C library has them.
 */
import koffi from "koffi"

/** Two names of one number: the one a person meets in manual pages wins. */
const preferred = ["EAGAIN", "ENOTSUP", "EDEADLK"]

const names = new Map<number, string>()
for (const [name, number] of Object.entries(koffi.os.errno)) {
  if (!names.has(number) || preferred.includes(name)) names.set(number, name)
}

/** `EINVAL` for 22: the symbolic name of a positive error number, or `errno 4095` for one without a name. */
export const errnoName = (errno: number): string => names.get(errno) ?? `errno ${errno}`
