// Opens PFX files (PKCS #12, RFC 7292), as Windows and OpenSSL export them: the certificates and private keys in them.
// node:tls reads a PFX too, but it neither gives out what is in it nor keeps from trusting its authorities as servers'.
// No I/O.
import {
  createDecipheriv,
  createHash,
  createPrivateKey,
  type KeyObject,
  pbkdf2Sync,
  X509Certificate,
} from "node:crypto";
import { err, ok, type Result } from "../base/result.ts";
import {
  BerError,
  type BerNode,
  readBer,
  readChildren,
  readInner,
  readInteger,
  readOctets,
  readOid,
  TAG,
} from "./certificateDer.ts";

export interface PfxContent {
  readonly certificates: readonly X509Certificate[];
  readonly keys: readonly KeyObject[];
}

/** `legacy_cipher`: RC2 or RC4, which current cryptography libraries have dropped. `cipher`: one that we do not know. */
export type PfxFault = "unreadable" | "password" | "legacy_cipher" | "cipher";

const OID = {
  data: "1.2.840.113549.1.7.1",
  encryptedData: "1.2.840.113549.1.7.6",
  keyBag: "1.2.840.113549.1.12.10.1.1",
  shroudedKeyBag: "1.2.840.113549.1.12.10.1.2",
  certificateBag: "1.2.840.113549.1.12.10.1.3",
  safeContentsBag: "1.2.840.113549.1.12.10.1.6",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  pbes2: "1.2.840.113549.1.5.13",
  pbkdf2: "1.2.840.113549.1.5.12",
  pbeSha1TripleDes: "1.2.840.113549.1.12.1.3",
} as const;

/** RFC 7292 appendix C: RC4 with 128 and 40 bits, two-key triple DES, RC2 with 128 and 40 bits. */
const LEGACY_CIPHERS: ReadonlySet<string> = new Set(
  [1, 2, 4, 5, 6].map((number) => `1.2.840.113549.1.12.1.${number}`),
);
/** RFC 8018 §B.1.2. */
const PRFS: Readonly<Record<string, string>> = {
  "1.2.840.113549.2.7": "sha1",
  "1.2.840.113549.2.8": "sha224",
  "1.2.840.113549.2.9": "sha256",
  "1.2.840.113549.2.10": "sha384",
  "1.2.840.113549.2.11": "sha512",
};
const CIPHERS: Readonly<Record<string, { readonly name: string; readonly keyBytes: number }>> = {
  "2.16.840.1.101.3.4.1.2": { name: "aes-128-cbc", keyBytes: 16 },
  "2.16.840.1.101.3.4.1.22": { name: "aes-192-cbc", keyBytes: 24 },
  "2.16.840.1.101.3.4.1.42": { name: "aes-256-cbc", keyBytes: 32 },
  "1.2.840.113549.3.7": { name: "des-ede3-cbc", keyBytes: 24 },
};
const MAX_ITERATIONS = 10_000_000;
const MAX_NESTING = 4;

/** Whether bytes have the form of a PFX: a sequence that begins with version 3. */
export function isPfx(bytes: Buffer): boolean {
  try {
    const [version, authSafe] = readChildren(readBer(bytes));
    return readInteger(version) === 3 && authSafe?.tag === TAG.sequence;
  } catch {
    return false;
  }
}

/**
 * Opens a PFX. Its MAC is not checked: the file comes from our own settings, and a wrong password shows by what it
 * decrypts to.
 */
export function openPfx(bytes: Buffer, password: string): Result<PfxContent, PfxFault> {
  const content = { certificates: [] as X509Certificate[], keys: [] as KeyObject[] };
  try {
    const [, authSafe] = readChildren(readBer(bytes));
    for (const part of readChildren(readBer(readData(authSafe)))) addPart(part, password, content);
    return ok(content);
  } catch (error) {
    if (error instanceof PfxError) return err(error.fault);
    if (error instanceof BerError) return err("unreadable");
    throw error;
  }
}

class PfxError extends Error {
  readonly fault: PfxFault;

  constructor(fault: PfxFault) {
    super(fault);
    this.fault = fault;
  }
}

interface Collected {
  readonly certificates: X509Certificate[];
  readonly keys: KeyObject[];
}

/** The bytes of a ContentInfo of type data (RFC 5652 §3). */
function readData(contentInfo: BerNode | undefined): Buffer {
  const [type, content] = readChildren(contentInfo);
  if (readOid(type) !== OID.data) throw new PfxError("unreadable"); // signed by a key, or encrypted for one
  return readOctets(readInner(content));
}

function addPart(contentInfo: BerNode, password: string, content: Collected): void {
  const [type, value] = readChildren(contentInfo);
  if (readOid(type) === OID.data) {
    addSafeContents(readBer(readData(contentInfo)), password, content);
    return;
  }
  if (readOid(type) !== OID.encryptedData) throw new PfxError("unreadable");
  const [, encrypted] = readChildren(readInner(value)); // RFC 5652 §8
  const [, algorithm, sealed] = readChildren(encrypted);
  const plain = decrypt(algorithm, readOctets(sealed), password);
  addSafeContents(readDecrypted(plain), password, content);
}

/** What a wrong password decrypts to may still have valid padding. */
function readDecrypted(plain: Buffer): BerNode {
  try {
    return readBer(plain);
  } catch {
    throw new PfxError("password");
  }
}

function addSafeContents(safeContents: BerNode, password: string, content: Collected, depth = 0): void {
  if (depth > MAX_NESTING) throw new PfxError("unreadable");
  for (const bag of readChildren(safeContents)) {
    const [type, wrapped] = readChildren(bag);
    const value = readInner(wrapped);
    switch (readOid(type)) {
      case OID.keyBag:
        content.keys.push(toKey(value.encoded, "unreadable"));
        break;
      case OID.shroudedKeyBag: {
        const [algorithm, sealed] = readChildren(value);
        content.keys.push(toKey(decrypt(algorithm, readOctets(sealed), password), "password"));
        break;
      }
      case OID.certificateBag:
        addCertificate(value, content);
        break;
      case OID.safeContentsBag:
        addSafeContents(value, password, content, depth + 1);
    }
  }
}

function addCertificate(bag: BerNode, { certificates }: Collected): void {
  const [type, wrapped] = readChildren(bag);
  if (readOid(type) !== OID.x509Certificate) return;
  try {
    certificates.push(new X509Certificate(readOctets(readInner(wrapped))));
  } catch {
    throw new PfxError("unreadable");
  }
}

function toKey(pkcs8: Buffer, fault: PfxFault): KeyObject {
  try {
    return createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  } catch {
    throw new PfxError(fault);
  }
}

function decrypt(algorithm: BerNode | undefined, sealed: Buffer, password: string): Buffer {
  const [oid, parameters] = readChildren(algorithm);
  const scheme = readOid(oid);
  if (LEGACY_CIPHERS.has(scheme)) throw new PfxError("legacy_cipher");
  const candidates =
    scheme === OID.pbes2 ? toPbes2Keys(parameters, password) : toPkcs12Keys(scheme, parameters, password);
  for (const { name, key, iv } of candidates)
    try {
      const decipher = createDecipheriv(name, key, iv);
      return Buffer.concat([decipher.update(sealed), decipher.final()]);
    } catch {
      continue; // bad padding: the password is another
    }
  throw new PfxError("password");
}

interface CipherKey {
  readonly name: string;
  readonly key: Buffer;
  readonly iv: Buffer;
}

/** PBES2 with PBKDF2 (RFC 8018 §6.2, §A.2). */
function toPbes2Keys(parameters: BerNode | undefined, password: string): readonly CipherKey[] {
  const [derivation, encryption] = readChildren(parameters);
  const [derivationOid, derivationParameters] = readChildren(derivation);
  const [cipherOid, iv] = readChildren(encryption);
  const cipher = CIPHERS[readOid(cipherOid)];
  const [salt, iterations, ...optional] = readChildren(derivationParameters);
  const prf = optional.find(({ tag }) => tag === TAG.sequence);
  const digest = prf === undefined ? "sha1" : PRFS[readOid(readChildren(prf)[0])];
  if (readOid(derivationOid) !== OID.pbkdf2 || cipher === undefined || digest === undefined)
    throw new PfxError("cipher");
  const key = pbkdf2Sync(password, readOctets(salt), toIterations(iterations), cipher.keyBytes, digest);
  return [{ name: cipher.name, key, iv: readOctets(iv) }];
}

/** Triple DES as Windows exports it (RFC 7292 appendix C). */
function toPkcs12Keys(
  scheme: string,
  parameters: BerNode | undefined,
  password: string,
): readonly CipherKey[] {
  if (scheme !== OID.pbeSha1TripleDes) throw new PfxError("cipher");
  const [salt, iterations] = readChildren(parameters);
  // Programs disagree about an empty password: a terminator alone, or nothing at all.
  const passwords = password === "" ? [Buffer.alloc(2), Buffer.alloc(0)] : [toBmpString(password)];
  return passwords.map((text) => {
    const input = { password: text, salt: readOctets(salt), iterations: toIterations(iterations) };
    return {
      name: "des-ede3-cbc",
      key: derivePkcs12({ ...input, purpose: 1, bytes: 24 }),
      iv: derivePkcs12({ ...input, purpose: 2, bytes: 8 }),
    };
  });
}

function toIterations(node: BerNode | undefined): number {
  const iterations = readInteger(node);
  if (iterations < 1 || iterations > MAX_ITERATIONS) throw new PfxError("unreadable");
  return iterations;
}

/** UTF-16 in network order with a terminator (RFC 7292 §B.1). */
function toBmpString(text: string): Buffer {
  return Buffer.from(`${text}\0`, "utf16le").swap16();
}

interface Pkcs12Derivation {
  /** 1 for a key, 2 for an initialization vector. */
  readonly purpose: 1 | 2;
  readonly password: Buffer;
  readonly salt: Buffer;
  readonly iterations: number;
  /** How many are derived. */
  readonly bytes: number;
}

/** By SHA-1 (RFC 7292 §B.2); the names of the steps are the RFC's. */
function derivePkcs12({ purpose, password, salt, iterations, bytes }: Pkcs12Derivation): Buffer {
  const [u, v] = [20, 64];
  const diversifier = Buffer.alloc(v, purpose);
  const input = Buffer.concat([repeatTo(salt, v), repeatTo(password, v)]);
  const output: Buffer[] = [];
  while (output.length * u < bytes) {
    let a = Buffer.concat([diversifier, input]);
    for (let round = 0; round < iterations; round++) a = createHash("sha1").update(a).digest();
    output.push(a);
    const b = repeatTo(a.subarray(0, u), v);
    for (let start = 0; start < input.length; start += v) addOne(input.subarray(start, start + v), b);
  }
  return Buffer.concat(output).subarray(0, bytes);
}

/** Bytes repeated to the next multiple of `size`; none stay none. */
function repeatTo(bytes: Buffer, size: number): Buffer {
  return Buffer.alloc(Math.ceil(bytes.length / size) * size, bytes);
}

/** target = (target + addend + 1) mod 2^(8 × length), in place. */
function addOne(target: Buffer, addend: Buffer): void {
  let carry = 1;
  for (let i = target.length - 1; i >= 0; i--) {
    carry += (target[i] ?? 0) + (addend[i] ?? 0);
    target[i] = carry & 0xff;
    carry >>= 8;
  }
}
