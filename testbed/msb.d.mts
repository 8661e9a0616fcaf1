/**
 * The peer that the benchmark runs beside us: fetched from npm once, its checksum verified, then found in the cache.
 */
export function ensureMsb(
  cacheDir: string,
  options?: { readonly report?: ((line: string) => void) | undefined }
): Promise<{ readonly package: string; readonly program: string; readonly rootfs: string; readonly version: string }>
