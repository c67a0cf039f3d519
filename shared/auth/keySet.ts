// Selects the keys of an issuer's key set (RFC 7517 §5) that may verify tokens. No I/O.
import { KeyObject } from "node:crypto";
import { importJWK, type CryptoKey, type JWK } from "jose";
import { SIGNATURE_ALGORITHMS } from "../config/algorithms.ts";
import { toEntraIssuer } from "../config/entra.ts";
import { err, ok, type Result } from "../base/result.ts";
import { isMembers, type Members } from "./jws.ts";

/** A public key, imported for one algorithm. */
interface VerificationKey {
  readonly cryptoKey: CryptoKey;
  /** The key as SubjectPublicKeyInfo in base64: equal for equal keys, however the key set spells them. */
  readonly spki: string;
}

/** By `kid`, then by algorithm. */
export type VerificationKeys = ReadonlyMap<string, ReadonlyMap<string, VerificationKey>>;

export interface KeySetPolicy {
  readonly algorithms: ReadonlySet<string>;
  /** The tenant of an issuer of Entra ID; absent for other issuers. */
  readonly tenant?: string;
}

const MAX_KEYS = 100;
const MIN_RSA_BITS = 2048; // RFC 7518 §3.3

/** The algorithms of a list that are asymmetric signatures. The others are never accepted (RFC 8725 §3.1). */
export function toAsymmetric(algorithms: readonly string[]): ReadonlySet<string> {
  return new Set(algorithms.filter((alg) => SIGNATURE_ALGORITHMS.has(alg)));
}

/**
 * The usable keys of a key set, and how many of its entries are not used. Unsuitable keys are left out first: those
 * without a `kid`, not meant for signatures, too short, known to be weak, private, of another tenant, or of no
 * configured algorithm. If two different keys then remain for one `kid` and one algorithm, neither is used, because
 * nobody can tell which of them the issuer means. An error says why a document is no key set; it is for the log.
 */
export async function toVerificationKeys(
  document: unknown,
  policy: KeySetPolicy,
): Promise<Result<{ readonly keys: VerificationKeys; readonly leftOut: number }, string>> {
  const list = isMembers(document) ? document["keys"] : undefined;
  if (!Array.isArray(list)) return err("key_set_form");
  if (list.length > MAX_KEYS) return err("key_set_too_many_keys");
  const candidates = await Promise.all(list.filter(isMembers).map((jwk) => toCandidates(jwk, policy)));
  const keys = withoutAmbiguous(candidates.flat());
  return ok({ keys, leftOut: list.length - countDistinct(keys) });
}

/** Whether two key sets let the same keys verify the same tokens. */
export function isSameKeySet(a: VerificationKeys, b: VerificationKeys): boolean {
  const [linesOfA, linesOfB] = [toLines(a), toLines(b)];
  return linesOfA.size === linesOfB.size && [...linesOfA].every((line) => linesOfB.has(line));
}

function toLines(keys: VerificationKeys): ReadonlySet<string> {
  return new Set(
    [...keys].flatMap(([kid, byAlgorithm]) =>
      [...byAlgorithm].map(([alg, { spki }]) => JSON.stringify([kid, alg, spki])),
    ),
  );
}

function countDistinct(keys: VerificationKeys): number {
  const spkis = [...keys.values()].map(
    (byAlgorithm) => new Set([...byAlgorithm.values()].map(({ spki }) => spki)),
  );
  return spkis.reduce((sum, { size }) => sum + size, 0);
}

interface Candidate {
  readonly kid: string;
  readonly alg: string;
  readonly key: VerificationKey;
}

/** One for each algorithm that the key is suitable for. */
async function toCandidates(
  jwk: Members,
  { algorithms, tenant }: KeySetPolicy,
): Promise<readonly Candidate[]> {
  const { kid } = jwk;
  if (typeof kid !== "string" || kid === "" || !isForVerifying(jwk) || !isOfTenant(jwk, tenant)) return [];
  const suitable = [...algorithms].filter((alg) => isForAlgorithm(jwk, alg));
  const imported = await Promise.all(
    suitable.map(async (alg) => ({ kid, alg, key: await importPublic(jwk, alg) })),
  );
  return imported.flatMap(({ key, ...names }) => (key === undefined ? [] : [{ ...names, key }]));
}

function withoutAmbiguous(candidates: readonly Candidate[]): VerificationKeys {
  const keys = new Map<string, Map<string, VerificationKey>>();
  for (const { kid, alg, key } of candidates) {
    const isOnly = candidates.every(
      (other) => other.kid !== kid || other.alg !== alg || other.key.spki === key.spki,
    );
    if (!isOnly) continue;
    const byAlgorithm = keys.get(kid) ?? new Map<string, VerificationKey>();
    byAlgorithm.set(alg, key);
    keys.set(kid, byAlgorithm);
  }
  return keys;
}

function isForVerifying(jwk: Members): boolean {
  const { use, key_ops: operations } = jwk;
  if (use !== undefined && use !== "sig") return false; // RFC 7517 §4.2
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return false;
  // A private key that anybody can fetch proves nothing.
  if (Object.hasOwn(jwk, "d") || Object.hasOwn(jwk, "k")) return false;
  return jwk["kty"] !== "RSA" || isStrongRsa(jwk);
}

/**
 * Whether a key may sign tokens of the tenant. Keys of Entra ID name their issuer in a member `issuer`: of one tenant,
 * or with the placeholder `{tenantid}` for keys that all tenants share. Its text may be that of the other token
 * version, so only the tenants are compared. Keys without the member, and keys of other issuers, pass.
 */
function isOfTenant({ issuer }: Members, tenant: string | undefined): boolean {
  if (tenant === undefined || issuer === undefined) return true;
  if (typeof issuer !== "string") return false;
  const keyTenant = toEntraIssuer(issuer.replaceAll("{tenantid}", tenant))?.tenant;
  return keyTenant !== undefined && keyTenant.toLowerCase() === tenant.toLowerCase();
}

function isForAlgorithm(jwk: Members, alg: string): boolean {
  const type = SIGNATURE_ALGORITHMS.get(alg);
  if (type === undefined || jwk["kty"] !== type.kty) return false;
  if (type.crv !== undefined && jwk["crv"] !== type.crv) return false;
  return jwk["alg"] === undefined || jwk["alg"] === alg;
}

/** Takes only the members that make up the public key: others could widen what the platform lets the key do. */
async function importPublic(jwk: Members, alg: string): Promise<VerificationKey | undefined> {
  const bare: Record<string, string> = {};
  for (const name of ["kty", "crv", "n", "e", "x", "y"]) {
    const value = jwk[name];
    if (typeof value === "string") bare[name] = value;
  }
  try {
    const cryptoKey = await importJWK(bare as JWK, alg);
    if (cryptoKey instanceof Uint8Array) return undefined;
    const spki = KeyObject.from(cryptoKey).export({ type: "spki", format: "der" }).toString("base64");
    return { cryptoKey, spki };
  } catch {
    return undefined; // a point that is not on its curve, a member that is missing or malformed
  }
}

function isStrongRsa({ n, e }: Members): boolean {
  const modulus = toInteger(n);
  const exponent = toInteger(e);
  if (modulus === undefined || exponent === undefined) return false;
  if (exponent < 3n || exponent % 2n === 0n) return false; // with exponent 1 anybody can make signatures
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

/** CVE-2017-15361: if all remainders of a modulus are powers of 65537, it comes from a generator that is broken. */
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
