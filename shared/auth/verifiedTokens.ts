// Tokens whose signature was verified before, so that a device that calls again costs a hash in place of a signature.
// Holds no token: the key is the token's SHA-256, and no claims, but the two answers that follow from them. No I/O.
import { hash } from "node:crypto";
import type { CryptoKey } from "jose";
import type { Result } from "../base/result.ts";
import type { AuthFailure } from "./bearer.ts";
import type { Validity } from "./claims.ts";
import type { IssuerKeys } from "./issuer.ts";

const MAX_TOKENS = 10_000;
const MAX_AGE_MS = 10 * 60_000;

/** What is known of a token once its signature, audience and tenant are verified. */
export interface VerifiedToken {
  /** The issuer's keys, and the one that the token was verified with. */
  readonly keys: IssuerKeys;
  readonly kid: string;
  readonly alg: string;
  readonly key: CryptoKey;
  readonly validity: Validity;
  readonly device: Result<{ readonly userId: string }, AuthFailure>;
  readonly sender: Result<{ readonly clientId: string }, AuthFailure>;
}

/**
 * Keeps at most 10,000 verified tokens for at most 10 minutes each. Whether a kept token is still valid is for the
 * caller to judge at each use: by its validity and by its key, which the issuer may have withdrawn meanwhile.
 */
export interface VerifiedTokens {
  readonly find: (id: string, nowMs: number) => VerifiedToken | undefined;
  readonly keep: (id: string, token: VerifiedToken, nowMs: number) => void;
  readonly forget: (id: string) => void;
  readonly clear: () => void;
}

/** What stands for a token in the cache. Nobody can make another token with the same hash. */
export function toTokenId(token: string): string {
  return hash("sha256", token, "base64url");
}

export function createVerifiedTokens(): VerifiedTokens {
  const entries = new Map<string, { readonly token: VerifiedToken; readonly keptAtMs: number }>();
  return {
    find: (id, nowMs) => {
      const entry = entries.get(id);
      if (entry === undefined) return undefined;
      const ageMs = nowMs - entry.keptAtMs;
      // A negative age means that the clock was set back.
      if (ageMs >= 0 && ageMs < MAX_AGE_MS) return entry.token;
      entries.delete(id);
      return undefined;
    },
    keep: (id, token, nowMs) => {
      entries.delete(id); // a Map keeps the order of insertion: the first entry is the oldest
      const [oldest] = entries.keys();
      if (entries.size >= MAX_TOKENS && oldest !== undefined) entries.delete(oldest);
      entries.set(id, { token, keptAtMs: nowMs });
    },
    forget: (id) => {
      entries.delete(id);
    },
    clear: () => entries.clear(),
  };
}
