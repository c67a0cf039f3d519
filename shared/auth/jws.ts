// Signed compact tokens (RFC 7515): what the header may say, and the signature. issuer.ts picks the key, and claims.ts
// judges the claims. No I/O.
import { compactVerify, type CryptoKey } from "jose";
import { parseJsonBody } from "../base/json.ts";
import { err, ok, type Result } from "../base/result.ts";
import { splitToken } from "./bearer.ts";

export type Members = Readonly<Record<string, unknown>>;

export interface Jws {
  readonly token: string;
  readonly alg: string;
  readonly kid: string;
  /** Not trustworthy until `verifySignature` has succeeded. */
  readonly payload: Uint8Array;
}

export interface JwsPolicy {
  readonly algorithms: ReadonlySet<string>;
  readonly tokenType: "any" | "at+jwt";
}

const ACCESS_TOKEN_TYPES: ReadonlySet<string> = new Set(["at+jwt", "application/at+jwt"]); // RFC 9068 §2.1
const TOKEN_TYPES: ReadonlySet<string> = new Set(["jwt", ...ACCESS_TOKEN_TYPES]);

// Extensions that change how a token is read (RFC 7515 §4.1.10 and §4.1.11, RFC 7797 §3) and members of encrypted
// tokens (RFC 7516 §4.1). None is supported, so each is refused, whatever its value.
const REFUSED_MEMBERS = ["crit", "b64", "cty", "enc", "zip"];

/**
 * Reads a token without verifying it: three parts, a strict JSON header, an algorithm of the policy, a `kid`, and a
 * `typ` that an access token may have (RFC 8725 §3.11). `jwk`, `jku`, `x5u` and `x5c` are never used (R8). The error
 * is the detail for the log.
 */
export function parseJws(token: string, policy: JwsPolicy): Result<Jws, string> {
  const parts = splitToken(token);
  if (parts === undefined) return err("token_form");
  const header = parseMembers(parts.header);
  if (header === undefined) return err("header_form");
  if (REFUSED_MEMBERS.some((name) => Object.hasOwn(header, name))) return err("header_extension");
  const { alg, kid, typ } = header;
  if (typeof alg !== "string" || !policy.algorithms.has(alg)) return err("algorithm");
  if (typeof kid !== "string" || kid === "") return err("key_id");
  if (!isTokenType(typ, policy.tokenType)) return err("token_type");
  return ok({ token, alg, kid, payload: parts.payload });
}

function isTokenType(typ: unknown, wanted: JwsPolicy["tokenType"]): boolean {
  if (typ === undefined) return wanted === "any";
  if (typeof typ !== "string") return false;
  return (wanted === "any" ? TOKEN_TYPES : ACCESS_TOKEN_TYPES).has(typ.toLowerCase());
}

/** The members of a JSON object; `undefined` for any other bytes, and when a name occurs twice (RFC 7519 §4). */
export function parseMembers(bytes: Uint8Array): Members | undefined {
  const parsed = parseJsonBody(bytes);
  return parsed.ok && isMembers(parsed.value.value) ? parsed.value.value : undefined;
}

export function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Verifies the signature with exactly this key and the algorithm that the key was chosen for (RFC 8725 §3.1). */
export async function verifySignature(jws: Jws, key: CryptoKey): Promise<boolean> {
  try {
    await compactVerify(jws.token, key, { algorithms: [jws.alg] });
    return true;
  } catch {
    return false;
  }
}
