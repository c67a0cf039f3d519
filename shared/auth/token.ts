// Turns a bearer token into a user or a sender: the signature by a configured issuer, then the claims. Does I/O only
// through issuer.ts, and only for issuers that are configured.
import type { CryptoKey } from "jose";
import { toEntraIssuer } from "../config/entra.ts";
import type { TokenConfig } from "../config/tokens.ts";
import type { Log } from "../base/log.ts";
import { err, ok, type Result } from "../base/result.ts";
import { toUserId } from "../domain/userId.ts";
import { type AuthFailure, MAX_TOKEN_CHARACTERS } from "./bearer.ts";
import {
  checkAudience,
  checkTenant,
  checkTime,
  type ClaimNames,
  isAppOnly,
  isDelegated,
  readClientId,
  readUserId,
  readValidity,
  type Validity,
} from "./claims.ts";
import { createIssuerKeys, type IssuerKeys } from "./issuer.ts";
import { type Jws, parseJws, parseMembers, verifySignature, type Members } from "./jws.ts";
import { toAsymmetric } from "./keySet.ts";
import {
  createVerifiedTokens,
  toTokenId,
  type VerifiedToken,
  type VerifiedTokens,
} from "./verifiedTokens.ts";

export type { AuthFailure } from "./bearer.ts";

const MAX_CLOCK_TOLERANCE_SECONDS = 300;

export interface TokenVerifierOptions extends TokenConfig {
  readonly senderRole: string;
  /** Absent: any client that holds the role. */
  readonly senderClientIds?: readonly string[];
  /** Development only: issuers on this machine may be asked over plain http. */
  readonly allowLoopback: boolean;
  readonly log: Log;
  readonly now?: () => Date;
  readonly fetch?: typeof globalThis.fetch;
}

/** Every wait ends with the call's signal. */
export interface TokenVerifier {
  /** The user of a delegated token that holds the scope. */
  readonly verifyDevice: (
    token: string,
    signal: AbortSignal,
  ) => Promise<Result<{ readonly userId: string }, AuthFailure>>;
  /** The client of an app-only token that holds the role. */
  readonly verifySender: (
    token: string,
    signal: AbortSignal,
  ) => Promise<Result<{ readonly clientId: string }, AuthFailure>>;
}

/** What all verifications share. */
interface Verifier {
  readonly algorithms: ReadonlySet<string>;
  readonly tokenType: TokenConfig["tokenType"];
  readonly audiences: ReadonlySet<unknown>;
  readonly toleranceSeconds: number;
  readonly scope: string;
  readonly senderRole: string;
  /** GUIDs are in lower case, as in the client ids of tokens. Absent: any client. */
  readonly clientIds?: ReadonlySet<string>;
  readonly issuers: ReadonlyMap<unknown, Issuer>;
  readonly verified: VerifiedTokens;
  readonly nowMs: () => number;
}

interface Issuer extends ClaimNames {
  readonly keys: IssuerKeys;
}

/**
 * Verifies tokens of the configured issuers. Judges first what needs neither cryptography nor network, so that a
 * token of no configured issuer costs nothing. All refusals of a token look the same outside (R23).
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const verifier = toVerifier(options);
  return {
    verifyDevice: async (token, signal) => {
      const verified = await verify(verifier, token, signal);
      return verified.ok ? verified.value.device : verified;
    },
    verifySender: async (token, signal) => {
      const verified = await verify(verifier, token, signal);
      return verified.ok ? verified.value.sender : verified;
    },
  };
}

function toVerifier(options: TokenVerifierOptions): Verifier {
  const { tokenType, scope, senderRole, senderClientIds, now = () => new Date() } = options;
  const algorithms = toAsymmetric(options.algorithms);
  const verified = createVerifiedTokens();
  return {
    algorithms,
    tokenType,
    audiences: new Set(options.audiences),
    toleranceSeconds: Math.min(options.clockToleranceSeconds, MAX_CLOCK_TOLERANCE_SECONDS),
    scope,
    senderRole,
    ...(senderClientIds === undefined
      ? {}
      : { clientIds: new Set(senderClientIds.map((id) => toUserId(id) ?? id)) }),
    issuers: new Map(options.issuers.map((issuer) => [issuer, toIssuer(issuer, options, verified)])),
    verified,
    nowMs: () => now().getTime(),
  };
}

function toIssuer(issuer: string, options: TokenVerifierOptions, verified: VerifiedTokens): Issuer {
  const entra = toEntraIssuer(issuer);
  return {
    keys: createIssuerKeys({
      ...options,
      issuer,
      algorithms: toAsymmetric(options.algorithms),
      ...(entra === undefined ? {} : { tenant: entra.tenant }),
      onChange: verified.clear,
    }),
    ...(entra === undefined ? {} : { entra }),
    scopeClaim: options.scopeClaim ?? (entra === undefined ? "scope" : "scp"),
    userClaim: options.userClaim ?? (entra === undefined ? "sub" : "oid"),
  };
}

type Verified = Promise<Result<VerifiedToken, AuthFailure>>;

/** A token seen before is valid while its time has not passed and its key is in the issuer's current set. */
async function verify(verifier: Verifier, token: string, signal: AbortSignal): Verified {
  if (token.length > MAX_TOKEN_CHARACTERS) return rejected("token_form");
  const nowMs = verifier.nowMs();
  const id = toTokenId(token);
  const kept = verifier.verified.find(id, nowMs);
  if (kept !== undefined) {
    const isValid = checkTime(kept.validity, nowMs / 1000) === undefined;
    if (isValid && kept.keys.findFresh(kept.kid, kept.alg) === kept.key) return ok(kept);
    if (!isValid) verifier.verified.forget(id);
  }
  const verified = await verifyClaimsAndSignature(verifier, token, kept?.key, signal);
  if (verified.ok) verifier.verified.keep(id, verified.value, nowMs);
  else verifier.verified.forget(id);
  return verified;
}

/** `knownKey` is one that this very token was verified with before: while it is current, the signature is good. */
async function verifyClaimsAndSignature(
  verifier: Verifier,
  token: string,
  knownKey: CryptoKey | undefined,
  signal: AbortSignal,
): Verified {
  const jws = parseJws(token, verifier);
  if (!jws.ok) return rejected(jws.error);
  const claims = parseMembers(jws.value.payload);
  if (claims === undefined) return rejected("claims_form");
  const issuer = verifier.issuers.get(claims["iss"]);
  if (issuer === undefined) return rejected("issuer");

  const key = await issuer.keys.find(jws.value.kid, jws.value.alg, signal);
  if (!key.ok) return key.error.reason === "key_unknown" ? rejected("key_unknown") : err(key.error);
  if (key.value !== knownKey && !(await verifySignature(jws.value, key.value))) return rejected("signature");

  const validity = readValidity(claims, verifier.toleranceSeconds);
  if (!validity.ok) return rejected(validity.error);
  const error =
    checkTime(validity.value, verifier.nowMs() / 1000) ??
    checkAudience(claims["aud"], verifier.audiences) ??
    checkTenant(claims, issuer.entra);
  if (error !== undefined) return rejected(error);
  return ok(
    toVerifiedToken(verifier, issuer, { jws: jws.value, key: key.value, validity: validity.value, claims }),
  );
}

interface Checked {
  readonly jws: Jws;
  readonly key: CryptoKey;
  readonly validity: Validity;
  readonly claims: Members;
}

function toVerifiedToken(
  verifier: Verifier,
  issuer: Issuer,
  { jws, key, validity, claims }: Checked,
): VerifiedToken {
  return {
    keys: issuer.keys,
    kid: jws.kid,
    alg: jws.alg,
    key,
    validity,
    device: toDevice(verifier, issuer, claims),
    sender: toSender(verifier, issuer, claims),
  };
}

function toDevice({ scope }: Verifier, issuer: Issuer, claims: Members): VerifiedToken["device"] {
  if (!isDelegated(claims, issuer, scope)) return err({ reason: "scope_missing" });
  const userId = readUserId(claims, issuer);
  return userId === undefined ? rejected("user_claim") : ok({ userId });
}

function toSender(
  { senderRole, clientIds }: Verifier,
  issuer: Issuer,
  claims: Members,
): VerifiedToken["sender"] {
  if (!isAppOnly(claims, issuer, senderRole)) return err({ reason: "scope_missing" });
  const clientId = readClientId(claims, issuer);
  if (clientId === undefined) return rejected("client_claim");
  return clientIds === undefined || clientIds.has(clientId)
    ? ok({ clientId })
    : err({ reason: "scope_missing" });
}

function rejected(detail: string): Result<never, AuthFailure> {
  return err({ reason: "token_rejected", detail });
}
