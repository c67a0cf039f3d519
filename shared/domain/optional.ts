// Optional members of request bodies. No I/O.
import * as z from "zod";

/**
 * An optional member: `null` counts as absent, because many languages write `null` for a member that was not set. The
 * API's document shows the schema alone, since generators make poor types of a member that may be `null`.
 */
export function optional<S extends z.ZodType>(schema: S) {
  return z.preprocess((value) => (value === null ? undefined : value), schema.optional());
}
