// The one bearer credential of a call, out of the text of its Authorization header (RFC 6750 §2.1), and the ways in
// which authentication fails. Judges form alone; token.ts judges what the token says. No I/O.
import { err, ok, type Result } from "../base/result.ts";

/** Why a caller is not let in; problem.ts makes a response of each. */
export type AuthFailure =
  | { readonly reason: "token_missing" } // RFC 6750 §3.1: 401 without an error code
  /** `detail` is for the log: fixed words that hold nothing of the token. */
  | { readonly reason: "token_rejected"; readonly detail: string }
  | { readonly reason: "credentials_ambiguous" }
  | { readonly reason: "scope_missing" }
  | { readonly reason: "issuer_unavailable"; readonly retryAfterSeconds: number };

/** Longest token that is looked at. */
export const MAX_TOKEN_CHARACTERS = 16 * 1024;

// Base64url without padding, three parts, none of them empty (RFC 7515 §7.1): narrower than the b64token of RFC 6750.
const compactForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const bearerScheme = /^bearer(?: +|$)/i; // RFC 9110 §11.1: without regard to case
const furtherBearer = /,[ \t]*bearer(?: |$)/i;

/**
 * The token of an Authorization header. Header lines arrive joined by a comma, which stands in no token: more than
 * one credential is refused, whichever of them would be good (R5). Another scheme is no credential of ours.
 */
export function parseBearer(authorization: string | null): Result<string, AuthFailure> {
  if (authorization === null) return err({ reason: "token_missing" });
  const scheme = bearerScheme.exec(authorization);
  if (scheme === null)
    return err({ reason: furtherBearer.test(authorization) ? "credentials_ambiguous" : "token_missing" });
  const token = authorization.slice(scheme[0].length);
  if (token === "") return err({ reason: "token_missing" });
  if (token.includes(",")) return err({ reason: "credentials_ambiguous" });
  return splitToken(token) === undefined
    ? err({ reason: "token_rejected", detail: "token_form" })
    : ok(token);
}

/**
 * Header and payload of a compact JWS (RFC 7515 §7.1), decoded; `undefined` when the text is too long or is not
 * three parts of canonical base64url. Decoders read stray trailing bits, padding and spaces leniently, so that one
 * signature would have several spellings: here it has one (R4).
 */
export function splitToken(
  token: string,
): { readonly header: Uint8Array; readonly payload: Uint8Array } | undefined {
  if (token.length > MAX_TOKEN_CHARACTERS || !compactForm.test(token)) return undefined;
  const [header, payload, signature] = token.split(".").map(decodeCanonical);
  return header && payload && signature ? { header, payload } : undefined;
}

function decodeCanonical(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}
