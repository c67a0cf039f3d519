// Makes a VAPID key pair (RFC 8292). No I/O.
import { generateKeyPairSync, type JsonWebKey } from "node:crypto";

export interface NewVapidKey {
  /** The private key, as a member of the key set in VAPID_KEYS. */
  readonly jwk: JsonWebKey;
  /** The uncompressed point, base64url: what browsers subscribe under. */
  readonly publicKey: string;
}

export function createVapidKey(): NewVapidKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x = "", y = "", d = "" } = privateKey.export({ format: "jwk" });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
  return {
    jwk: { kty: "EC", crv: "P-256", x, y, d, use: "sig", alg: "ES256" },
    publicKey: point.toString("base64url"),
  };
}
