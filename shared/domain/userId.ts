// User ids: the one form in which a person is known here, wherever the text comes from (a token's claim, or `to`).
// No I/O.

/** What a user id is written in: visible ASCII characters. */
export const USER_ID = /^[\x21-\x7e]{1,256}$/;

const guid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const oneOrTwoGuids = new RegExp(`^${guid}(?:\\.${guid})?$`, "i");

/** The user id that a text names: `foldUserId` of 1–256 visible ASCII characters, else `undefined`. */
export function toUserId(text: string): string | undefined {
  return USER_ID.test(text) ? foldUserId(text) : undefined;
}

/**
 * A GUID, or two joined by a full stop (`tid.oid`), in lower case, since issuers and back ends write them either way;
 * any other text as it is.
 */
export function foldUserId(text: string): string {
  return oneOrTwoGuids.test(text) ? text.toLowerCase() : text;
}
