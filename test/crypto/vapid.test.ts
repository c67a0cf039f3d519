// VAPID: keys, subject, and the tokens' form, lifetime and cache (RFC 8292).
import { createECDH, createPublicKey, verify } from "node:crypto";
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader } from "jose";
import { describe, expect, test } from "vitest";
import {
  checkVapidSubject,
  createVapidTokens,
  parseVapidKeys,
  type VapidKey,
} from "../../shared/crypto/vapid.ts";
import { checkVapid } from "../../local/webPushRules.ts";
import vectors from "../vectors/webPush.json" with { type: "json" };

const HOUR_MS = 3_600_000;

interface PrivateJwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y: string;
  readonly d: string;
}

function makeJwk(): PrivateJwk {
  const ecdh = createECDH("prime256v1");
  const point = ecdh.generateKeys();
  return {
    kty: "EC",
    crv: "P-256",
    x: point.subarray(1, 33).toString("base64url"),
    y: point.subarray(33).toString("base64url"),
    d: Buffer.concat([Buffer.alloc(32), ecdh.getPrivateKey()])
      .subarray(-32)
      .toString("base64url"),
  };
}

const jwk = makeJwk();
const other = makeJwk();

function parse(...jwks: readonly object[]): readonly VapidKey[] {
  const result = parseVapidKeys(JSON.stringify({ keys: jwks }));
  if (!result.ok) throw new Error(result.error);
  return result.value;
}

const [key, otherKey] = parse(jwk, other);
if (key === undefined || otherKey === undefined) throw new Error("two keys");

describe("VAPID_KEYS", () => {
  test("is a JSON Web Key Set, newest first; a key has its RFC 7638 thumbprint and its point", async () => {
    const keys = parse({ ...jwk, use: "sig", alg: "ES256", kid: "2026", extra: 1 }, other);
    expect(keys.map(({ thumbprint }) => thumbprint)).toEqual([
      await calculateJwkThumbprint(jwk),
      await calculateJwkThumbprint(other),
    ]);
    const point = Buffer.concat([
      Buffer.of(4),
      Buffer.from(jwk.x, "base64url"),
      Buffer.from(jwk.y, "base64url"),
    ]);
    expect(keys[0]?.publicKey).toBe(point.toString("base64url"));
  });

  test.each<[string, unknown]>([
    ["text that is no JSON", "{"],
    ["an array", [jwk]],
    ["null", null],
    ["a key alone", jwk],
    ["no keys", { keys: [] }],
    ["21 keys", { keys: Array.from({ length: 21 }, makeJwk) }],
    ["a key that is null", { keys: [null] }],
    ["an RSA key", { keys: [{ ...jwk, kty: "RSA" }] }],
    ["a key on another curve", { keys: [{ ...jwk, crv: "P-384" }] }],
    ["a public key", { keys: [{ ...jwk, d: undefined }] }],
    ["x of another key", { keys: [{ ...jwk, x: other.x, y: other.y }] }],
    ["a point off the curve", { keys: [{ ...jwk, y: other.y }] }],
    ["d of zeros", { keys: [{ ...jwk, d: Buffer.alloc(32).toString("base64url") }] }],
    ["d above the order", { keys: [{ ...jwk, d: Buffer.alloc(32, 255).toString("base64url") }] }],
    ["a short d", { keys: [{ ...jwk, d: jwk.d.slice(0, 40) }] }],
    ["padding", { keys: [{ ...jwk, x: `${jwk.x}=` }] }],
    ["a key for encryption", { keys: [{ ...jwk, use: "enc" }] }],
    ["a key for another algorithm", { keys: [{ ...jwk, alg: "ES384" }] }],
    ["one key twice", { keys: [jwk, { ...jwk, kid: "again" }] }],
    ["a good key and a bad one", { keys: [jwk, {}] }],
  ])("%s is refused, and the error holds none of it", (_what, value) => {
    const result = parseVapidKeys(typeof value === "string" ? value : JSON.stringify(value));
    expect(result.ok).toBe(false);
    for (const secret of [jwk.d, jwk.x, jwk.y]) expect(JSON.stringify(result)).not.toContain(secret);
  });
});

describe("VAPID_SUBJECT (RFC 8292 §2.1, and what Apple refuses)", () => {
  test.each([
    "mailto:push@example.com",
    "mailto:a.b+c@sub.example.co.uk",
    "mailto:x@xn--bcher-kva.example",
    "https://example.com",
    "https://example.com/contact?x=1",
  ])("%s is taken", (text) => {
    expect(checkVapidSubject(text)).toBeUndefined();
  });

  test.each([
    "mailto:x@localhost",
    "mailto: a@b.c",
    "a@b.c",
    "http://example.com",
    "",
    "mailto:",
    "mailto:@example.com",
    "mailto:a@b@example.com",
    "mailto:a@example.com,b@example.com",
    "mailto:<a@example.com>",
    "mailto:a b@example.com",
    "mailto:a@example.com ",
    "mailto:a@.example.com",
    "mailto:a@example..com",
    "mailto:a@127.0.0.1",
    "mailto:a@[::1]",
    "MAILTO:a@example",
    "https://localhost",
    "https://127.0.0.1/",
    "https://user@example.com/",
    "https://exa mple.com/",
    "https://",
    "tel:+4912345",
  ])("%j is refused", (text) => {
    expect(checkVapidSubject(text)).toMatch(/^must be mailto:/);
  });
});

describe("a token", () => {
  let nowMs = Date.UTC(2026, 10, 28);
  const subject = "mailto:push@example.com";
  const create = () => createVapidTokens({ subject, clock: { now: () => new Date(nowMs) } });
  const read = (authorization: string) => {
    const [, token = "", publicKey] = /^vapid t=(\S+), k=(\S+)$/.exec(authorization) ?? [];
    return { token, publicKey };
  };

  test("RFC 8292 §2.4: header and claims are the example's, byte for byte, and its signature is ours to check", async () => {
    const { claims, token, publicKey } = vectors.rfc8292;
    nowMs = (claims.exp - 12 * 3600) * 1000;
    const tokens = createVapidTokens({ subject: claims.sub, clock: { now: () => new Date(nowMs) } });
    const ours = read(await tokens(claims.aud, key));
    expect(ours.token.split(".").slice(0, 2)).toEqual(token.split(".").slice(0, 2));
    expect(ours.publicKey).toBe(key.publicKey);
    for (const [text, point] of [
      [token, publicKey],
      [ours.token, key.publicKey],
    ] as const)
      expect(isSigned(text, point)).toBe(true);
    expect(isSigned(token, key.publicKey)).toBe(false);
  });

  function isSigned(token: string, publicKey: string): boolean {
    const [header, claims, signature = ""] = token.split(".");
    const bytes = Buffer.from(signature, "base64url");
    expect(bytes).toHaveLength(64); // RFC 7518 §3.4, not DER
    const point = Buffer.from(publicKey, "base64url");
    const [x, y] = [point.subarray(1, 33).toString("base64url"), point.subarray(33).toString("base64url")];
    const imported = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
    return verify(
      "sha256",
      Buffer.from(`${header}.${claims}`),
      { key: imported, dsaEncoding: "ieee-p1363" },
      bytes,
    );
  }

  test("its audience is the origin, and it ends 12 hours ahead: with a clock ten minutes fast still inside 24 (R123)", async () => {
    nowMs = Date.now() + 600_000;
    const authorization = await create()("https://push.example:8443", key);
    const { token } = read(authorization);
    expect(decodeProtectedHeader(token)).toEqual({ typ: "JWT", alg: "ES256" });
    expect(decodeJwt(token)).toEqual({
      aud: "https://push.example:8443",
      exp: Math.floor(nowMs / 1000) + 12 * 3600,
      sub: subject,
    });
    const expected = { origin: "https://push.example:8443", key: key.publicKey };
    expect(await checkVapid(authorization, expected)).toBeUndefined();
    expect(await checkVapid(authorization, { ...expected, origin: "https://push.example" })).toMatchObject({
      status: 403,
    });
  });

  test("there is one for each origin and key, and it is never given to another (R124)", async () => {
    const tokens = create();
    const all = new Map<string, string>();
    for (const [origin, one] of [
      ["https://a.example", key],
      ["https://b.example", key],
      ["https://a.example", otherKey],
      ["https://a.example:8443", key],
    ] as const) {
      const authorization = await tokens(origin, one);
      expect(decodeJwt(read(authorization).token).aud).toBe(origin);
      expect(read(authorization).publicKey).toBe(one.publicKey);
      expect(await tokens(origin, one)).toBe(authorization);
      all.set(authorization, origin);
    }
    expect(all.size).toBe(4);
  });

  test("it is renewed an hour before its end, not before, and when the clock was set back", async () => {
    const tokens = create();
    const first = await tokens("https://a.example", key);
    nowMs += 11 * HOUR_MS - 1000;
    expect(await tokens("https://a.example", key)).toBe(first);
    nowMs += 2000;
    const second = await tokens("https://a.example", key);
    expect(second).not.toBe(first);
    nowMs -= 20 * HOUR_MS;
    const third = await tokens("https://a.example", key);
    expect(decodeJwt(read(third).token).exp).toBe(Math.floor(nowMs / 1000) + 12 * 3600);
  });

  test("many callers at once share one signature", async () => {
    const tokens = create();
    const all = await Promise.all(Array.from({ length: 50 }, () => tokens("https://a.example", key)));
    expect(new Set(all).size).toBe(1);
  });
});
