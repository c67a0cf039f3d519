// VAPID (RFC 8292): the application server's keys, and the tokens by which a push service knows us. No I/O.
import { createECDH, createHash, createPrivateKey, type KeyObject } from "node:crypto";
import { SignJWT } from "jose";
import type { Clock } from "../base/clock.ts";
import { err, ok, type Result } from "../base/result.ts";

/** One application server key pair on P-256. */
export interface VapidKey {
  /** SHA-256 thumbprint of the public key (RFC 7638), base64url. Stored with each installation that subscribed under it. */
  readonly thumbprint: string;
  /** The uncompressed point, 65 bytes, base64url: what `pushManager.subscribe` and the `k` parameter take (RFC 8292 §3.2). */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

const MAX_KEYS = 20;

/**
 * Reads VAPID_KEYS: a JSON Web Key Set (RFC 7517 §5) of private EC keys on P-256, the newest first. The error says what
 * is wrong and holds nothing of the text.
 */
export function parseVapidKeys(text: string): Result<readonly VapidKey[], string> {
  const list = toMembers(parseJson(text))?.["keys"];
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_KEYS)
    return err(
      `must be a JSON Web Key Set with 1 to ${MAX_KEYS} keys, the newest first (make one: npm run vapid)`,
    );
  const keys: VapidKey[] = [];
  for (const [index, member] of list.entries()) {
    const key = parseVapidKey(member);
    if (!key.ok) return err(`holds a key that cannot be used (number ${index + 1}): ${key.error}`);
    if (keys.some(({ thumbprint }) => thumbprint === key.value.thumbprint))
      return err(`holds one key twice (number ${index + 1})`);
    keys.push(key.value);
  }
  return ok(keys);
}

function parseVapidKey(value: unknown): Result<VapidKey, string> {
  const jwk = toMembers(value);
  if (jwk === undefined || jwk["kty"] !== "EC" || jwk["crv"] !== "P-256")
    return err("it must be an EC key on P-256");
  const [x, y, d] = [toBytes32(jwk["x"]), toBytes32(jwk["y"]), toBytes32(jwk["d"])];
  if (x === undefined || y === undefined || d === undefined)
    return err("x, y and d must be 32 bytes each in base64url");
  if ((jwk["use"] ?? "sig") !== "sig" || (jwk["alg"] ?? "ES256") !== "ES256")
    return err("it must be for signatures with ES256");
  const publicKey = Buffer.concat([Buffer.of(4), x, y]).toString("base64url");
  const members = { crv: "P-256", kty: "EC", x: x.toString("base64url"), y: y.toString("base64url") };
  try {
    // The private key alone decides which public key belongs to it.
    const privateKey = createPrivateKey({ key: { ...members, d: d.toString("base64url") }, format: "jwk" });
    if (toPublicKey(d) !== publicKey) return err("x and y do not belong to d");
    return ok({ thumbprint: toThumbprint(members), publicKey, privateKey });
  } catch {
    return err("it is not a key on P-256");
  }
}

function toPublicKey(privateBytes: Buffer): string {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(privateBytes);
  return ecdh.getPublicKey("base64url");
}

/** RFC 7638 §3: the required members, in the order of their names, without white space. */
function toThumbprint({ crv, kty, x, y }: Readonly<Record<"crv" | "kty" | "x" | "y", string>>): string {
  return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}

function toBytes32(value: unknown): Buffer | undefined {
  if (typeof value !== "string") return undefined;
  const bytes = Buffer.from(value, "base64url");
  return bytes.length === 32 && bytes.toString("base64url") === value ? bytes : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // the parser's error holds the text
  }
}

function toMembers(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

// One or more labels, a full stop, and a top-level domain: `localhost` is refused by Apple.
const DOMAIN = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]$/;
const MAILTO = /^mailto:[A-Za-z0-9.!#$&'*+/=^_`{|}~-]{1,64}@([^@]{1,253})$/;

/**
 * VAPID_SUBJECT: whom a push service may write to, `mailto:` with an address of a real domain or an `https:` URL
 * (RFC 8292 §2.1). Answers what is wrong, or nothing.
 */
export function checkVapidSubject(text: string): string | undefined {
  const [, domain] = MAILTO.exec(text) ?? [];
  if (domain !== undefined && DOMAIN.test(domain)) return undefined;
  const url = text.startsWith("https://") ? URL.parse(text) : null;
  if (
    url !== null &&
    DOMAIN.test(url.hostname) &&
    url.username === "" &&
    url.password === "" &&
    !/\s/.test(text)
  )
    return undefined;
  return "must be mailto: with an email address of a real domain, or an https: URL (mailto:push@example.com)";
}

export interface VapidTokensOptions {
  readonly subject: string;
  readonly clock: Pick<Clock, "now">;
}

/** The `Authorization` field for an origin, under a key (RFC 8292 §3). Valid for at least an hour. */
export type ToAuthorization = (origin: string, key: VapidKey) => Promise<string>;

/** RFC 8292 §2 allows 24 hours; half of it leaves room for clocks that differ. */
const TOKEN_SECONDS = 12 * 3600;
const RENEW_SECONDS = 3600;
/** WNS has some hundred hosts; the cache forgets the oldest token after that many. */
const MAX_TOKENS = 1000;

interface CachedToken {
  readonly expiresAtSeconds: number;
  readonly authorization: Promise<string>;
}

/** One token for each origin and key: Apple asks for no more than one an hour. */
export function createVapidTokens({ subject, clock }: VapidTokensOptions): ToAuthorization {
  const tokens = new Map<string, CachedToken>();
  return (origin, key) => {
    const name = `${key.thumbprint} ${origin}`;
    const nowSeconds = Math.floor(clock.now().getTime() / 1000);
    const cached = tokens.get(name);
    // A clock that was set back must not keep a token that is too far ahead.
    if (cached !== undefined && isFresh(cached.expiresAtSeconds - nowSeconds)) return cached.authorization;
    const expiresAtSeconds = nowSeconds + TOKEN_SECONDS;
    const authorization = sign({ origin, subject, expiresAtSeconds, key });
    tokens.delete(name);
    tokens.set(name, { expiresAtSeconds, authorization });
    for (const oldest of tokens.keys()) {
      if (tokens.size <= MAX_TOKENS) break;
      tokens.delete(oldest);
    }
    return authorization;
  };
}

function isFresh(secondsLeft: number): boolean {
  return secondsLeft > RENEW_SECONDS && secondsLeft <= TOKEN_SECONDS;
}

interface SignOptions {
  readonly origin: string;
  readonly subject: string;
  readonly expiresAtSeconds: number;
  readonly key: VapidKey;
}

async function sign({ origin, subject, expiresAtSeconds, key }: SignOptions): Promise<string> {
  const token = await new SignJWT({ aud: origin, exp: expiresAtSeconds, sub: subject })
    .setProtectedHeader({ typ: "JWT", alg: "ES256" })
    .sign(key.privateKey);
  return `vapid t=${token}, k=${key.publicKey}`;
}
