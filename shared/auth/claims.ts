// What the claims of a verified token say (RFC 7519, RFC 8725, RFC 9068, Entra ID's claims): how long the token is
// valid, for whom, and who its user or client is. Pure rules, no I/O.
import type { EntraIssuer } from "../config/entra.ts";
import { err, ok, type Result } from "../base/result.ts";
import { toUserId } from "../domain/userId.ts";
import type { Members } from "./jws.ts";

const MAX_LIFETIME_SECONDS = 48 * 60 * 60;

/** When a token is valid: from the first instant (inclusive) to the second (exclusive), in seconds since 1970. */
export interface Validity {
  readonly fromSeconds: number;
  readonly untilSeconds: number;
  /** Before this instant the expiry is further ahead than the longest lifetime that is accepted. */
  readonly lifetimeFromSeconds: number;
}

/** `exp` is required; `nbf` and `iat` count where they are given (RFC 7519 §4.1.4 to §4.1.6). */
export function readValidity(claims: Members, toleranceSeconds: number): Result<Validity, string> {
  const { exp, nbf, iat } = claims;
  if (!isFiniteNumber(exp)) return err("expiry_form");
  const starts = [nbf, iat].filter((instant) => instant !== undefined);
  if (!starts.every(isFiniteNumber)) return err("time_form");
  return ok({
    fromSeconds: Math.max(Number.NEGATIVE_INFINITY, ...starts) - toleranceSeconds,
    untilSeconds: exp + toleranceSeconds,
    lifetimeFromSeconds: exp - MAX_LIFETIME_SECONDS - toleranceSeconds,
  });
}

/** Why a token is not valid at an instant; `undefined` if it is. */
export function checkTime(validity: Validity, nowSeconds: number): string | undefined {
  if (nowSeconds >= validity.untilSeconds) return "expired";
  if (nowSeconds < validity.lifetimeFromSeconds) return "expiry_too_far";
  return nowSeconds < validity.fromSeconds ? "not_yet_valid" : undefined;
}

/** JSON.parse reads 1e400 as Infinity, which is a number but no instant. */
function isFiniteNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** RFC 7519 §4.1.3: one string or an array of strings. */
export function checkAudience(aud: unknown, audiences: ReadonlySet<unknown>): string | undefined {
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return list.every((entry) => typeof entry === "string") && list.some((entry) => audiences.has(entry))
    ? undefined
    : "audience";
}

/** Requires the tenant and the version that the issuer's text names; `iss` itself was compared before (R16). */
export function checkTenant(claims: Members, entra: EntraIssuer | undefined): string | undefined {
  if (entra === undefined) return undefined;
  if (entra.tenant === "" || claims["tid"] !== entra.tenant) return "tenant";
  return claims["ver"] === entra.version ? undefined : "version";
}

/** How the tokens of one issuer name scopes and users. */
export interface ClaimNames {
  readonly scopeClaim: string;
  /** A claim's name, or `tid.oid`. */
  readonly userClaim: string;
  readonly entra?: EntraIssuer;
}

/** Whether a token acts for a user and holds the scope. `idtyp` marks Entra ID's app-only tokens. */
export function isDelegated(claims: Members, names: ClaimNames, scope: string): boolean {
  const { idtyp } = claims;
  if (idtyp !== undefined && idtyp !== "user") return false;
  return toScopes(own(claims, names.scopeClaim), names.entra !== undefined).includes(scope);
}

/**
 * RFC 8693 §4.2: scopes are one string, separated by spaces. Some issuers (Duende IdentityServer, Auth0's
 * permissions) write an array of strings; Entra ID never does, so there it is refused (R34).
 */
function toScopes(value: unknown, isEntra: boolean): readonly string[] {
  if (typeof value === "string") return value.split(" ");
  const isList = !isEntra && Array.isArray(value) && value.every((entry) => typeof entry === "string");
  return isList ? value : [];
}

/**
 * Claims that only tokens of a signed-in user have: of ID tokens (OpenID Connect Core §2, §3.1.3.6, §3.3.2.11), of
 * sessions (OpenID Connect Front-Channel Logout §3, Keycloak's `session_state`), of a user who delegates (RFC 8693
 * §4.1).
 */
const USER_CLAIMS = ["nonce", "auth_time", "amr", "at_hash", "c_hash", "sid", "session_state", "act"];
const SCOPE_CLAIMS = ["scp", "scope"];
/** Values of the claim `typ` of Keycloak's tokens that are no access tokens. */
const OTHER_TYPES: ReadonlySet<unknown> = new Set(["id", "refresh", "offline", "logout"]);

/**
 * Whether a token is of a client that acts for itself, and holds the role. A user may hold the role too, but a user's
 * token carries scopes, even if they are empty (R37), or one of the marks of a sign-in.
 */
export function isAppOnly(claims: Members, names: ClaimNames, role: string): boolean {
  const { idtyp, roles } = claims;
  return (
    (idtyp === undefined || idtyp === "app") &&
    ![names.scopeClaim, ...SCOPE_CLAIMS, ...USER_CLAIMS].some((name) => Object.hasOwn(claims, name)) &&
    !isOtherThanAccessToken(claims) &&
    Array.isArray(roles) &&
    roles.includes(role)
  );
}

/** Keycloak marks its tokens by `typ`, Amazon Cognito by `token_use`, Auth0 names the grant in `gty`. */
function isOtherThanAccessToken({ typ, token_use: use, gty }: Members): boolean {
  if (typeof typ === "string" && OTHER_TYPES.has(typ.toLowerCase())) return true;
  if (use !== undefined && use !== "access") return true;
  return gty !== undefined && gty !== "client-credentials";
}

/** The user that a token names; `undefined` when the claim is missing or is not a user id. */
export function readUserId(claims: Members, { userClaim }: ClaimNames): string | undefined {
  if (userClaim !== "tid.oid") return toId(own(claims, userClaim));
  const { tid, oid } = claims;
  // With a full stop in the tenant two users could share one id.
  if (typeof tid !== "string" || tid === "" || tid.includes(".")) return undefined;
  return typeof oid !== "string" || oid === "" ? undefined : toUserId(`${tid}.${oid}`);
}

/** Entra ID: `azp` in version 2.0, `appid` in 1.0. Others: `azp`, or `client_id` (RFC 9068 §2.2). */
export function readClientId(claims: Members, { entra }: ClaimNames): string | undefined {
  const { azp, appid, client_id: clientId } = claims;
  if (entra !== undefined) return toId(entra.version === "2.0" ? azp : appid);
  return toId(azp === undefined ? clientId : azp);
}

function toId(value: unknown): string | undefined {
  return typeof value === "string" ? toUserId(value) : undefined;
}

/** A claim of the token itself, not of Object.prototype. */
function own(claims: Members, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
