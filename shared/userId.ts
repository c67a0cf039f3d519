// User ids: the one form in which a person is known here, wherever the text comes from (a token's claim, or `to`).
// No I/O.

const visibleAscii = /^[\x21-\x7e]{1,256}$/;
const guid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const oneOrTwoGuids = new RegExp(`^${guid}(?:\\.${guid})?$`, "i");

/**
 * The user id that a text names: 1–256 visible ASCII characters, else `undefined`. A GUID, or two joined by a full
 * stop (`tid.oid`), is folded to lower case, since issuers and back ends write them either way; any other text
 * stays as it is.
 */
export function toUserId(text: string): string | undefined {
  if (!visibleAscii.test(text)) return undefined;
  return oneOrTwoGuids.test(text) ? text.toLowerCase() : text;
}
