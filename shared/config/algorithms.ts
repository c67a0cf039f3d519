// The signature algorithms that a token may use, with the type of key that each needs. No I/O.

export interface KeyType {
  readonly kty: string;
  readonly crv?: string;
}

const RSA: KeyType = { kty: "RSA" };
const ED25519: KeyType = { kty: "OKP", crv: "Ed25519" };

/**
 * All asymmetric signature algorithms of JOSE (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864). Symmetric algorithms and
 * "none" are not in the list, so no setting can allow them (RFC 8725 §3.1).
 */
export const SIGNATURE_ALGORITHMS: ReadonlyMap<string, KeyType> = new Map<string, KeyType>([
  ["RS256", RSA],
  ["RS384", RSA],
  ["RS512", RSA],
  ["PS256", RSA],
  ["PS384", RSA],
  ["PS512", RSA],
  ["ES256", { kty: "EC", crv: "P-256" }],
  ["ES384", { kty: "EC", crv: "P-384" }],
  ["ES512", { kty: "EC", crv: "P-521" }],
  ["EdDSA", ED25519],
  ["Ed25519", ED25519],
]);
