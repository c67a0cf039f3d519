// User ids: the form in which the service knows a person, whether the text comes from a token's claim or from `to`. No I/O.

/** 1–256 visible ASCII characters. */
export const USER_ID = /^[\x21-\x7e]{1,256}$/;

const guid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const oneOrTwoGuids = new RegExp(`^${guid}(?:\\.${guid})?$`, "i");

/** The folded user id of a text; `undefined` if the text is not 1–256 visible ASCII characters. */
export function toUserId(text: string): string | undefined {
  return USER_ID.test(text) ? foldUserId(text) : undefined;
}

/**
 * Folds a GUID, or two joined by a full stop (`tid.oid`), to lower case, because issuers and back ends write them in
 * either case. Any other text stays as it is.
 */
export function foldUserId(text: string): string {
  return oneOrTwoGuids.test(text) ? text.toLowerCase() : text;
}
