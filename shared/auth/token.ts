// A bearer token becomes a user or a sender: signature by the configured issuer, then the claims (RFC 7519, RFC 8725,
// RFC 9068, Entra ID's claims). Does I/O only through issuer.ts, and only for issuers that are configured.
import type { TokenConfig } from "../config/config.ts";
import type { Log } from "../base/log.ts";
import { err, ok, type Result } from "../base/result.ts";
import { toUserId } from "../domain/userId.ts";
import type { AuthFailure } from "./bearer.ts";
import { createIssuerKeys, type IssuerKeys } from "./issuer.ts";
import { parseJws, parseMembers, verifySignature, type Members } from "./jws.ts";
import { toAsymmetric } from "./keySet.ts";

export type { AuthFailure } from "./bearer.ts";

const MAX_CLOCK_TOLERANCE_SECONDS = 300;
const MAX_LIFETIME_SECONDS = 48 * 60 * 60;

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

interface Issuer {
  readonly keys: IssuerKeys;
  readonly entra?: EntraForm;
  readonly scopeClaim: string;
  readonly userClaim: string;
}

interface Verified {
  readonly issuer: Issuer;
  readonly claims: Members;
}

/**
 * Verifies tokens of the configured issuers. What can be judged without cryptography or network is judged first, so
 * that a token of nobody's costs nothing. Every refusal of a token looks alike outside (R23).
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { tokenType, now = () => new Date() } = options;
  const algorithms = toAsymmetric(options.algorithms);
  const audiences: ReadonlySet<unknown> = new Set(options.audiences);
  // GUIDs are folded on both sides, as those of users are.
  const clientIds =
    options.senderClientIds && new Set(options.senderClientIds.map((id) => toUserId(id) ?? id));
  const toleranceSeconds = Math.min(options.clockToleranceSeconds, MAX_CLOCK_TOLERANCE_SECONDS);
  const issuers: ReadonlyMap<unknown, Issuer> = new Map(
    options.issuers.map((issuer) => [issuer, createIssuer(issuer)]),
  );

  function createIssuer(issuer: string): Issuer {
    const entra = toEntraForm(issuer);
    return {
      keys: createIssuerKeys({ ...options, issuer, algorithms }),
      ...(entra === undefined ? {} : { entra }),
      scopeClaim: options.scopeClaim ?? (entra === undefined ? "scope" : "scp"),
      userClaim: options.userClaim ?? (entra === undefined ? "sub" : "oid"),
    };
  }

  async function verify(token: string, signal: AbortSignal): Promise<Result<Verified, AuthFailure>> {
    const jws = parseJws(token, { algorithms, tokenType });
    if (!jws.ok) return rejected(jws.error);
    const claims = parseMembers(jws.value.payload);
    if (claims === undefined) return rejected("claims_form");
    const issuer = issuers.get(claims["iss"]);
    if (issuer === undefined) return rejected("issuer");

    const key = await issuer.keys.find(jws.value.kid, jws.value.alg, signal);
    if (!key.ok) return key.error.reason === "key_unknown" ? rejected("key_unknown") : err(key.error);
    if (!(await verifySignature(jws.value, key.value))) return rejected("signature");

    const fault =
      timeFault(claims, now().getTime() / 1000, toleranceSeconds) ??
      audienceFault(claims["aud"], audiences) ??
      tenantFault(claims, issuer.entra);
    return fault === undefined ? ok({ issuer, claims }) : rejected(fault);
  }

  return {
    verifyDevice: async (token, signal) => {
      const verified = await verify(token, signal);
      if (!verified.ok) return verified;
      const { issuer, claims } = verified.value;
      if (!isDelegated(claims, issuer.scopeClaim, options.scope)) return err({ reason: "scope_missing" });
      const userId = readUserId(claims, issuer.userClaim);
      return userId === undefined ? rejected("user_claim") : ok({ userId });
    },
    verifySender: async (token, signal) => {
      const verified = await verify(token, signal);
      if (!verified.ok) return verified;
      const { issuer, claims } = verified.value;
      if (!isAppOnly(claims, issuer.scopeClaim, options.senderRole)) return err({ reason: "scope_missing" });
      const clientId = readClientId(claims, issuer.entra);
      if (clientId === undefined) return rejected("client_claim");
      return clientIds === undefined || clientIds.has(clientId)
        ? ok({ clientId })
        : err({ reason: "scope_missing" });
    },
  };
}

function rejected(detail: string): Result<never, AuthFailure> {
  return err({ reason: "token_rejected", detail });
}

/** `exp` is required and bounded, `nbf` and `iat` are not in the future (RFC 7519 §4.1.4 to §4.1.6). */
function timeFault(claims: Members, nowSeconds: number, toleranceSeconds: number): string | undefined {
  const { exp, nbf, iat } = claims;
  if (!isFiniteNumber(exp)) return "expiry_form";
  if (exp <= nowSeconds - toleranceSeconds) return "expired";
  if (exp > nowSeconds + MAX_LIFETIME_SECONDS + toleranceSeconds) return "expiry_too_far";
  for (const instant of [nbf, iat]) {
    if (instant === undefined) continue;
    if (!isFiniteNumber(instant)) return "time_form";
    if (instant > nowSeconds + toleranceSeconds) return "not_yet_valid";
  }
  return undefined;
}

/** JSON.parse reads 1e400 as Infinity, which is a number and never comes. */
function isFiniteNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** RFC 7519 §4.1.3: one string or an array of strings. */
function audienceFault(aud: unknown, audiences: ReadonlySet<unknown>): string | undefined {
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return list.every((entry) => typeof entry === "string") && list.some((entry) => audiences.has(entry))
    ? undefined
    : "audience";
}

/** An issuer of Entra ID names one tenant, and its form the version of its tokens. */
interface EntraForm {
  readonly tenant: string;
  readonly version: "1.0" | "2.0";
}

const ENTRA_HOSTS: ReadonlySet<string> = new Set([
  "login.microsoftonline.com",
  "sts.windows.net",
  "login.microsoftonline.us",
  "login.microsoftonline.de",
  "sts.microsoftonline.de",
  "login.partner.microsoftonline.cn",
  "login.chinacloudapi.cn",
  "sts.chinacloudapi.cn",
]);

/** Whether Entra ID's rules hold for an issuer: a host of the public cloud, of External ID or of a sovereign cloud. */
export function isEntraIssuer(issuer: string): boolean {
  const url = URL.parse(issuer);
  return (
    url?.protocol === "https:" && (ENTRA_HOSTS.has(url.hostname) || url.hostname.endsWith(".ciamlogin.com"))
  );
}

function toEntraForm(issuer: string): EntraForm | undefined {
  if (!isEntraIssuer(issuer)) return undefined;
  const [, tenant = "", version] = new URL(issuer).pathname.split("/");
  return { tenant, version: version === "v2.0" ? "2.0" : "1.0" };
}

/** `iss` was compared before; its tenant must be the token's, and its form the token's version (R16). */
function tenantFault(claims: Members, entra: EntraForm | undefined): string | undefined {
  if (entra === undefined) return undefined;
  if (entra.tenant === "" || claims["tid"] !== entra.tenant) return "tenant";
  return claims["ver"] === entra.version ? undefined : "version";
}

/** RFC 8693 §4.2: scopes stand in one string, separated by spaces. `idtyp` tells Entra ID's app tokens. */
function isDelegated(claims: Members, scopeClaim: string, scope: string): boolean {
  const { idtyp } = claims;
  const scopes = own(claims, scopeClaim);
  return (
    (idtyp === undefined || idtyp === "user") &&
    typeof scopes === "string" &&
    scopes.split(" ").includes(scope)
  );
}

/** A user may hold the role too, but a user's token carries scopes, even if they are none (R37). */
function isAppOnly(claims: Members, scopeClaim: string, role: string): boolean {
  const { idtyp, roles } = claims;
  return (
    (idtyp === undefined || idtyp === "app") &&
    ![scopeClaim, "scp", "scope"].some((name) => Object.hasOwn(claims, name)) &&
    Array.isArray(roles) &&
    roles.includes(role)
  );
}

function readUserId(claims: Members, userClaim: string): string | undefined {
  if (userClaim !== "tid.oid") return toId(own(claims, userClaim));
  const { tid, oid } = claims;
  // With a full stop in the tenant two users could share one id.
  if (typeof tid !== "string" || tid === "" || tid.includes(".")) return undefined;
  return typeof oid !== "string" || oid === "" ? undefined : toUserId(`${tid}.${oid}`);
}

/** Entra ID: `azp` in version 2.0, `appid` in 1.0. Others: `azp`, or `client_id` (RFC 9068 §2.2). */
function readClientId(claims: Members, entra: EntraForm | undefined): string | undefined {
  const { azp, appid, client_id: clientId } = claims;
  if (entra !== undefined) return toId(entra.version === "2.0" ? azp : appid);
  return toId(azp === undefined ? clientId : azp);
}

function toId(value: unknown): string | undefined {
  return typeof value === "string" ? toUserId(value) : undefined;
}

function own(claims: Members, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
