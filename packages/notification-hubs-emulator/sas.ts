// Shared access signatures (docs/notification-hubs-protocol.md §2): rules, tokens and whether one allows a request. No I/O.
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { err, ok, type Result } from "./result.ts";
import type { Refusal } from "./refusal.ts";

export type HubRight = "Listen" | "Send" | "Manage";

export interface HubRule {
  readonly name: string;
  readonly primaryKey: string;
  readonly secondaryKey?: string;
  readonly rights: readonly HubRight[];
  /** Default: the hub. A rule of the namespace holds for every hub in it. */
  readonly level?: "hub" | "namespace";
}

/** The SDK's tokens live an hour by the clock of whoever made them. */
const MAX_LIFE_SECONDS = 3600;
const CLOCK_MARGIN_SECONDS = 300;

/** The two of a new hub, and the one that a service should have: it need not manage the hub. */
export function createDefaultRules(): readonly HubRule[] {
  return [
    createRule("DefaultFullSharedAccessSignature", ["Listen", "Manage", "Send"]),
    createRule("DefaultListenSharedAccessSignature", ["Listen"]),
    createRule("ListenAndSend", ["Listen", "Send"]),
  ];
}

function createRule(name: string, rights: readonly HubRight[]): HubRule {
  const [primaryKey, secondaryKey] = [randomBytes(32).toString("base64"), randomBytes(32).toString("base64")];
  return { name, primaryKey, secondaryKey, rights };
}

/** base64 of the HMAC over the encoded audience as it stands in the token. The key is text, not base64. */
export function signSas(encodedAudience: string, expiry: string, key: string): string {
  return createHmac("sha256", key).update(`${encodedAudience}\n${expiry}`).digest("base64");
}

export interface SasRequest {
  readonly authorization: string | undefined;
  readonly rules: readonly HubRule[];
  /** host:port names by which this hub goes. */
  readonly hosts: readonly string[];
  /** The request's path, parsed as the router parses it. */
  readonly segments: readonly string[];
  readonly now: Date;
}

/** Returns the rule that signed. The caller checks whether its rights suffice. */
export function verifySas(request: SasRequest): Result<HubRule, Refusal> {
  const { authorization, rules, now } = request;
  if (authorization === undefined) return err({ reason: "token_missing" });
  const token = parseToken(authorization);
  if (token === undefined) return err({ reason: "token_malformed" });
  const rule =
    rules.find(({ name, level }) => name === token.ruleName && level !== "namespace") ??
    rules.find(({ name }) => name === token.ruleName);
  // An unknown rule is told as little as a wrong key.
  const keys = rule === undefined ? [] : [rule.primaryKey, rule.secondaryKey];
  const isSigned = keys.some(
    (key) => key !== undefined && isSame(signSas(token.encodedAudience, token.expiry, key), token.signature),
  );
  if (rule === undefined || !isSigned) return err({ reason: "signature_invalid" });
  const lifeSeconds = Number(token.expiry) - now.getTime() / 1000;
  if (lifeSeconds <= 0) return err({ reason: "token_expired" });
  if (lifeSeconds > MAX_LIFE_SECONDS + CLOCK_MARGIN_SECONDS) return err({ reason: "token_too_long" });
  if (!covers(token.audience, request)) return err({ reason: "audience_invalid" });
  return ok(rule);
}

interface SasToken {
  /** As it was received: the signature covers this very text. */
  readonly encodedAudience: string;
  readonly audience: string;
  readonly expiry: string;
  readonly ruleName: string;
  readonly signature: string;
}

const SCHEME = "SharedAccessSignature ";

function parseToken(authorization: string): SasToken | undefined {
  if (!authorization.startsWith(SCHEME)) return undefined;
  const fields = new Map<string, string>();
  for (const part of authorization.slice(SCHEME.length).split("&")) {
    const at = part.indexOf("=");
    const name = part.slice(0, Math.max(at, 0));
    if (!["sr", "sig", "se", "skn"].includes(name) || fields.has(name)) return undefined;
    fields.set(name, part.slice(at + 1));
  }
  const encodedAudience = fields.get("sr");
  const expiry = fields.get("se");
  // An audience that is not percent-encoded would end at its own "&" or mean two things.
  if (encodedAudience === undefined || !/^[A-Za-z0-9._~!'()*%+-]+$/.test(encodedAudience)) return undefined;
  if (expiry === undefined || !/^\d{1,12}$/.test(expiry)) return undefined;
  const audience = decodeForm(encodedAudience);
  const ruleName = decodeForm(fields.get("skn"));
  const signature = decodeForm(fields.get("sig"));
  if (audience === undefined || !ruleName || !signature) return undefined;
  return { encodedAudience, audience, expiry, ruleName, signature };
}

/** Form style, as .NET writes it: "+" is a space, so a signature that was not encoded does not verify. */
function decodeForm(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

function isSame(expected: string, given: string): boolean {
  const a = Buffer.from(expected);
  const b = Buffer.from(given);
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The audience must be the request's URI or above it: by segment, whatever the case and the scheme. */
function covers(audience: string, { hosts, segments }: SasRequest): boolean {
  const match = /^(?:sb|https?):\/\/([^/?#]+)([^?#]*)/i.exec(audience);
  const host = (match?.[1] ?? "").toLowerCase();
  // .NET leaves the port out of the audience (§19).
  if (match === null || !hosts.some((own) => own === host || own.replace(/:\d+$/, "") === host)) return false;
  const prefix = (match[2] ?? "").split("/").filter((segment) => segment !== "");
  return (
    prefix.length <= segments.length &&
    prefix.every((segment, i) => segment.toLowerCase() === segments[i]?.toLowerCase())
  );
}
