// Cursors: where the next page of a list begins, with a keyed hash (HMAC-SHA-256) that binds the position to one user's
// list. Nothing about them is stored. No I/O.
import { createHmac, type KeyObject, timingSafeEqual } from "node:crypto";
import type { Position } from "../domain/id.ts";
import { toContext } from "./seal.ts";

/** `context` says whose list it is and what it lists; no part may contain NUL. */
export function toCursor(key: KeyObject, context: readonly string[], position: Position): string {
  return position + toTag(key, context, position);
}

/** The position in a cursor; `undefined` if it was made for another list, or not by this service. */
export function parseCursor(
  key: KeyObject,
  context: readonly string[],
  cursor: string,
): Position | undefined {
  const [, position, tag = ""] = /^([0-9A-F][0-9A-HJKMNP-TV-Z]{28})([\w-]{43})$/.exec(cursor) ?? [];
  if (position === undefined) return undefined;
  const expected = toTag(key, context, position);
  // Compared as text: several base64url texts decode to the same bytes.
  return timingSafeEqual(Buffer.from(tag), Buffer.from(expected)) ? (position as Position) : undefined;
}

function toTag(key: KeyObject, context: readonly string[], position: string): string {
  return createHmac("sha256", key)
    .update(toContext(...context, position))
    .digest("base64url");
}
