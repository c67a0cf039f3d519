// The keys of an issuer that may verify tokens, out of its key set (RFC 7517 §5). No I/O.
import { importJWK, type CryptoKey, type JWK } from "jose";
import { err, ok, type Result } from "../base/result.ts";
import { isMembers, type Members } from "./jws.ts";

/** One imported key for each algorithm that it may be used with, by `kid`. */
export type VerificationKeys = ReadonlyMap<string, ReadonlyMap<string, CryptoKey>>;

const MAX_KEYS = 100;
const MIN_RSA_BITS = 2048; // RFC 7518 §3.3

interface KeyType {
  readonly kty: string;
  readonly crv?: string;
}

// RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864. Symmetric algorithms and "none" are not here, so no setting brings them in.
const RSA: KeyType = { kty: "RSA" };
const KEY_TYPES: ReadonlyMap<string, KeyType> = new Map<string, KeyType>([
  ["RS256", RSA],
  ["RS384", RSA],
  ["RS512", RSA],
  ["PS256", RSA],
  ["PS384", RSA],
  ["PS512", RSA],
  ["ES256", { kty: "EC", crv: "P-256" }],
  ["ES384", { kty: "EC", crv: "P-384" }],
  ["ES512", { kty: "EC", crv: "P-521" }],
  ["EdDSA", { kty: "OKP", crv: "Ed25519" }],
  ["Ed25519", { kty: "OKP", crv: "Ed25519" }],
]);

/** The algorithms of a list that are asymmetric signatures; the others are never accepted (RFC 8725 §3.1). */
export function toAsymmetric(algorithms: readonly string[]): ReadonlySet<string> {
  return new Set(algorithms.filter((alg) => KEY_TYPES.has(alg)));
}

/**
 * The usable keys of a key set, and how many were left out: those without a `kid`, with one that another key has
 * too (both go), not meant for signatures, too short, known to be weak, private, or of no configured algorithm.
 * What is no key set at all is an error; the text is for the log.
 */
export async function toVerificationKeys(
  document: unknown,
  algorithms: ReadonlySet<string>,
): Promise<Result<{ readonly keys: VerificationKeys; readonly leftOut: number }, string>> {
  const list = isMembers(document) ? document["keys"] : undefined;
  if (!Array.isArray(list)) return err("key_set_form");
  if (list.length > MAX_KEYS) return err("key_set_too_many_keys");
  const members = list.filter(isMembers);
  const uses = new Map<unknown, number>();
  for (const { kid } of members) uses.set(kid, (uses.get(kid) ?? 0) + 1);

  const keys = new Map<string, ReadonlyMap<string, CryptoKey>>();
  for (const jwk of members) {
    const { kid } = jwk;
    if (typeof kid !== "string" || kid === "" || uses.get(kid) !== 1 || !isForVerifying(jwk)) continue;
    const imported = await importFor(jwk, algorithms);
    if (imported.size > 0) keys.set(kid, imported);
  }
  return ok({ keys, leftOut: list.length - keys.size });
}

function isForVerifying(jwk: Members): boolean {
  const { use, key_ops: operations } = jwk;
  if (use !== undefined && use !== "sig") return false; // RFC 7517 §4.2
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return false;
  // A private key that anybody can fetch proves nothing.
  if (Object.hasOwn(jwk, "d") || Object.hasOwn(jwk, "k")) return false;
  return jwk["kty"] !== "RSA" || isStrongRsa(jwk);
}

async function importFor(jwk: Members, algorithms: ReadonlySet<string>): Promise<Map<string, CryptoKey>> {
  const imported = new Map<string, CryptoKey>();
  for (const alg of algorithms) {
    const type = KEY_TYPES.get(alg);
    if (type === undefined || jwk["kty"] !== type.kty) continue;
    if (type.crv !== undefined && jwk["crv"] !== type.crv) continue;
    if (jwk["alg"] !== undefined && jwk["alg"] !== alg) continue;
    const key = await importPublic(jwk, alg);
    if (key !== undefined) imported.set(alg, key);
  }
  return imported;
}

/** Only the members that make the public key: others could widen what the platform lets it do. */
async function importPublic(jwk: Members, alg: string): Promise<CryptoKey | undefined> {
  const bare: Record<string, string> = {};
  for (const name of ["kty", "crv", "n", "e", "x", "y"]) {
    const value = jwk[name];
    if (typeof value === "string") bare[name] = value;
  }
  try {
    const key = await importJWK(bare as JWK, alg);
    return key instanceof Uint8Array ? undefined : key;
  } catch {
    return undefined; // a point off its curve, a member missing or malformed
  }
}

function isStrongRsa({ n, e }: Members): boolean {
  const modulus = toInteger(n);
  const exponent = toInteger(e);
  if (modulus === undefined || exponent === undefined) return false;
  if (exponent < 3n || exponent % 2n === 0n) return false; // with 1 every signature is its own message
  return modulus.toString(2).length >= MIN_RSA_BITS && !isRoca(modulus);
}

function toInteger(text: unknown): bigint | undefined {
  if (typeof text !== "string") return undefined;
  const hex = Buffer.from(text, "base64url").toString("hex");
  return hex === "" ? undefined : BigInt(`0x${hex}`);
}

const SMALL_PRIMES = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
  109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/** CVE-2017-15361: a modulus whose remainders are all powers of 65537 comes from a generator that is broken. */
function isRoca(modulus: bigint): boolean {
  return SMALL_PRIMES.every((prime) => {
    const remainder = Number(modulus % BigInt(prime));
    let power = 1;
    do {
      if (power === remainder) return true;
      power = (power * 65537) % prime;
    } while (power !== 1);
    return false;
  });
}
