// Reads the one bearer credential from a call's Authorization header (RFC 6750 §2.1), and lists the ways in which
// authentication fails. Judges the form only; token.ts judges what the token says. No I/O.
import { err, ok, type Result } from "../base/result.ts";

/** Why a caller is refused. problem.ts turns each reason into a response. */
export type AuthFailure =
  | { readonly reason: "token_missing" } // RFC 6750 §3.1: 401 without an error code
  /** `detail` is for the log: fixed words that hold nothing of the token. */
  | { readonly reason: "token_rejected"; readonly detail: string }
  | { readonly reason: "credentials_ambiguous" }
  | { readonly reason: "scope_missing" }
  | { readonly reason: "issuer_unavailable"; readonly retryAfterSeconds: number };

/** The longest token that is accepted. */
export const MAX_TOKEN_CHARACTERS = 16 * 1024;

// Three non-empty parts of base64url without padding (RFC 7515 §7.1): narrower than the b64token of RFC 6750.
const compactForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const bearerScheme = /^bearer(?: +|$)/i; // RFC 9110 §11.1: without regard to case
const furtherBearer = /,[ \t]*bearer(?: |$)/i;

/**
 * The token of an Authorization header. Several header lines arrive joined by commas, and no token contains a comma:
 * more than one credential is refused even if one of them is valid (R5). Another scheme counts as no credential.
 */
export function parseBearer(authorization: string | null): Result<string, AuthFailure> {
  if (authorization === null) return err({ reason: "token_missing" });
  const scheme = bearerScheme.exec(authorization);
  if (scheme === null)
    return err({ reason: furtherBearer.test(authorization) ? "credentials_ambiguous" : "token_missing" });
  const token = authorization.slice(scheme[0].length);
  if (token === "") return err({ reason: "token_missing" });
  if (token.includes(",")) return err({ reason: "credentials_ambiguous" });
  return toParts(token) === undefined ? err({ reason: "token_rejected", detail: "token_form" }) : ok(token);
}

/**
 * The decoded header and payload of a compact JWS (RFC 7515 §7.1); `undefined` when the text is too long or is not
 * three parts of canonical base64url. Decoders accept stray trailing bits, padding and spaces, which would give one
 * signature several spellings; this function accepts one spelling only (R4).
 */
export function splitToken(
  token: string,
): { readonly header: Uint8Array; readonly payload: Uint8Array } | undefined {
  const parts = toParts(token);
  if (parts === undefined) return undefined;
  const [header, payload] = parts;
  return { header: Buffer.from(header, "base64url"), payload: Buffer.from(payload, "base64url") };
}

type Parts = readonly [header: string, payload: string, signature: string];

function toParts(token: string): Parts | undefined {
  if (token.length > MAX_TOKEN_CHARACTERS || !compactForm.test(token)) return undefined;
  const [header = "", payload = "", signature = ""] = token.split(".");
  return [header, payload, signature].every(isCanonical) ? [header, payload, signature] : undefined;
}

/**
 * Whether base64url text is the one that an encoder writes (RFC 4648 §3.5): the bits of the last character that
 * belong to no byte are zero. Four characters hold three bytes, so two characters leave four bits over and three
 * leave two; one character alone holds no byte.
 */
function isCanonical(text: string): boolean {
  const last = text.slice(-1);
  switch (text.length % 4) {
    case 0:
      return true;
    case 2:
      return "AQgw".includes(last);
    case 3:
      return "AEIMQUYcgkosw048".includes(last);
    default:
      return false;
  }
}
