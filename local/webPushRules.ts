// The rules that the local push service holds a request to. They are those of the RFCs and, where real push services are
// stricter, theirs. No I/O.
import { importJWK, jwtVerify } from "jose";

export interface Refusal {
  readonly status: number;
  readonly reason: string;
}

const MAX_TTL_SECONDS = 2_419_200;
/** Firefox for Android answers 413 above. RFC 8291 §4 allows 4,096. */
const MAX_BODY_BYTES = 2847;
const MAX_TOKEN_SECONDS = 86_400;
/** FCM's words. */
const KEY_MISMATCH =
  "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions.";

function refuse(reason: string, status = 400): Refusal {
  return { status, reason };
}

/** Method, TTL, Urgency, Topic and encoding: RFC 8030 §5, RFC 8291 §4. */
export function checkHeaders(
  method: string | undefined,
  headers: Readonly<Record<string, string>>,
  bodyBytes: number,
): Refusal | undefined {
  if (method !== "POST") return refuse("only POST is allowed", 405);
  const ttl = headers["ttl"];
  if (ttl === undefined || !/^[1-9]\d{0,9}$/.test(ttl) || Number(ttl) > MAX_TTL_SECONDS)
    return refuse("TTL must be whole seconds from 1 to 2419200");
  const urgency = headers["urgency"];
  if (urgency !== undefined && !/^(?:very-low|low|normal|high)$/.test(urgency))
    return refuse("Urgency must be one of the four words");
  const topic = headers["topic"];
  // Apple decodes it, and one character too many is no base64url.
  if (topic !== undefined && (!/^[A-Za-z0-9_-]{1,32}$/.test(topic) || topic.length % 4 === 1))
    return refuse("Topic must be at most 32 characters of base64url");
  if (headers["content-encoding"] !== "aes128gcm") return refuse("Content-Encoding must be aes128gcm", 415);
  for (const name of ["encryption", "crypto-key", "cookie", "proxy-authorization", "transfer-encoding"])
    if (headers[name] !== undefined) return refuse(`${name} must be absent`);
  if (bodyBytes > MAX_BODY_BYTES) return refuse("the body is too long", 413);
  return undefined;
}

export interface VapidExpectation {
  /** Of this push service. */
  readonly origin: string;
  /** What the browser subscribed under. */
  readonly key: string;
}

/** RFC 8292 §2 to §4. */
export async function checkVapid(
  authorization: string | undefined,
  { origin, key }: VapidExpectation,
): Promise<Refusal | undefined> {
  if (authorization === undefined) return refuse("Authorization is missing", 401);
  const [, token = "", publicKey = ""] =
    /^vapid t=([^\s,]+), ?k=([A-Za-z0-9_-]{87})$/i.exec(authorization) ?? [];
  if (publicKey === "") return refuse("Authorization must be vapid t=…, k=…", 401);
  if (publicKey !== key) return refuse(KEY_MISMATCH, 403);
  let payload: { readonly [claim: string]: unknown };
  try {
    const point = Buffer.from(publicKey, "base64url");
    const [x, y] = [point.subarray(1, 33).toString("base64url"), point.subarray(33).toString("base64url")];
    const imported = await importJWK({ kty: "EC", crv: "P-256", x, y }, "ES256");
    ({ payload } = await jwtVerify(token, imported, { algorithms: ["ES256"], typ: "JWT", audience: origin }));
  } catch (error) {
    return refuse(`the token is not valid: ${error instanceof Error ? error.message : "no reason"}`, 403);
  }
  const { aud, exp, sub } = payload;
  if (aud !== origin) return refuse("aud must be the origin alone", 403);
  if (typeof exp !== "number" || exp - Date.now() / 1000 > MAX_TOKEN_SECONDS)
    return refuse("exp must be at most 24 hours ahead", 403);
  if (
    typeof sub !== "string" ||
    !/^(?:mailto:[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+|https:\/\/[^\s/]+\.[^\s]+)$/.test(sub)
  )
    return refuse("sub must be mailto: or https:", 403);
  return undefined;
}
