// Settings of bearer tokens: issuers, audiences, algorithms, scopes, and who may send. No I/O.
import { isBare } from "../base/url.ts";
import { SIGNATURE_ALGORITHMS } from "./algorithms.ts";
import { checkScheme, checkVisible } from "./checks.ts";
import { checkEntraIssuer, isEntraIssuer } from "./entra.ts";
import type { Check, SettingsReader } from "./settingsReader.ts";

export interface TokenConfig {
  /** Compared character for character with `iss`; discovery starts there. */
  readonly issuers: readonly string[];
  readonly audiences: readonly string[];
  /** The verifier ignores symmetric algorithms and `none`. */
  readonly algorithms: readonly string[];
  readonly tokenType: "any" | "at+jwt";
  /** Applies to `exp`, `nbf` and `iat` alike. The verifier takes more than 300 as 300. */
  readonly clockToleranceSeconds: number;
  readonly scope: string;
  /** Absent: `scp` for issuers of Entra ID, `scope` for others. */
  readonly scopeClaim?: string;
  /** A claim's name, or `tid.oid`. Absent: `oid` for issuers of Entra ID, `sub` for others. */
  readonly userClaim?: string;
}

export interface SenderConfig {
  /** Who checks a sender: the platform by function key, or this service by token. Never both. */
  readonly auth: "functionKey" | "token";
  readonly role: string;
  /** Absent: every client that has the role may send. */
  readonly clientIds?: readonly string[];
}

export function readTokens(read: SettingsReader, allowLoopback: boolean): TokenConfig {
  const scopeClaim = read.text("AUTH_SCOPE_CLAIM", checkClaimName);
  const userClaim = read.text("AUTH_USER_CLAIM", checkUserClaim);
  const tokens: TokenConfig = {
    issuers: read.requiredList("AUTH_ISSUER", (text) => checkIssuer(text, allowLoopback)),
    audiences: read.requiredList("AUTH_AUDIENCE", checkAudience),
    algorithms: read.list("AUTH_ALGORITHMS", checkAlgorithm) ?? ["RS256"],
    tokenType: read.choice("AUTH_TOKEN_TYPE", ["any", "at+jwt"], "any"),
    clockToleranceSeconds: read.integer("AUTH_CLOCK_TOLERANCE", { lowest: 0, highest: 300, otherwise: 60 }),
    scope: read.text("AUTH_SCOPE", checkScopeToken) ?? "Notifications.Read",
    ...(scopeClaim === undefined ? {} : { scopeClaim }),
    ...(userClaim === undefined ? {} : { userClaim }),
  };
  if (tokens.issuers.some(isEntraIssuer)) reportEntraConflicts(read, tokens);
  return tokens;
}

export function readSenders(read: SettingsReader): SenderConfig {
  const clientIds = read.list("SENDER_CLIENT_IDS", checkVisible);
  return {
    auth: read.choice("SEND_AUTH", ["functionKey", "token"], "functionKey"),
    role: read.text("SENDER_ROLE", checkScopeToken) ?? "Notifications.Send",
    ...(clientIds === undefined ? {} : { clientIds }),
  };
}

/** Reports settings that no token of Entra ID can satisfy: the app would start and refuse all of them. */
function reportEntraConflicts(read: SettingsReader, { algorithms, tokenType, scope }: TokenConfig): void {
  if (!algorithms.includes("RS256"))
    read.report("AUTH_ALGORITHMS", "must include RS256, which Entra ID signs with");
  if (tokenType !== "any")
    read.report("AUTH_TOKEN_TYPE", "must be any, because access tokens of Entra ID have the type JWT");
  if (/^(?:api|https?):\/\//i.test(scope) || scope.endsWith(".default"))
    read.report(
      "AUTH_SCOPE",
      "must be the scope's name alone, as in the scp claim: Notifications.Read, not api://…/Notifications.Read or .default",
    );
}

function checkIssuer(text: string, allowLoopback: boolean): string | undefined {
  const url = URL.parse(text);
  if (url === null || text.includes("*") || text.includes("{")) return "must hold URLs without placeholders";
  if (!isBare(url)) return "must hold URLs without query, fragment or user name";
  const error = checkScheme(url, allowLoopback) ?? checkEntraIssuer(text);
  if (error !== undefined) return error;
  return url.pathname.includes("/.well-known/")
    ? "must be the issuer's own identifier (the iss claim), not the address of its discovery document"
    : undefined;
}

const checkAudience: Check = (text) => (text === "*" ? "must not be a wildcard" : checkVisible(text));
const checkAlgorithm: Check = (text) =>
  SIGNATURE_ALGORITHMS.has(text)
    ? undefined
    : `must hold asymmetric signature algorithms: ${[...SIGNATURE_ALGORITHMS.keys()].join(", ")}`;

// RFC 6749 §3.3: scope-token
const checkScopeToken: Check = (text) =>
  /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(text) ? undefined : "must be one scope or role";

const checkClaimName: Check = (text) =>
  text.length > 128 ? "must be at most 128 characters" : checkVisible(text);

/** Claims that a person or an administrator can change, so that somebody else may get the same value later (R22). */
const CHANGEABLE_CLAIMS: ReadonlySet<string> = new Set([
  "upn",
  "email",
  "preferred_username",
  "name",
  "unique_name",
]);
const checkUserClaim: Check = (text) =>
  CHANGEABLE_CLAIMS.has(text)
    ? "must not be a claim that can be reassigned; use oid, sub or tid.oid"
    : checkClaimName(text);
