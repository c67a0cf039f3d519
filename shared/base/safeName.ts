// Which names of a caller's may appear in an answer. No I/O.

/**
 * A member or parameter that the service does not know is named only if its name is a short identifier: any other text
 * of a caller could carry content into answers and logs (R65).
 */
export function isSafeName(name: string): boolean {
  return /^[A-Za-z0-9_-]{1,32}$/.test(name);
}
