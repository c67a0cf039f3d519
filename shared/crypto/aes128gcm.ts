// The encryption of push messages: the content coding "aes128gcm" (RFC 8188) under keys that only the browser can derive
// (RFC 8291). Messages are short, so each is one record, padded to one size. No I/O.
import {
  createCipheriv,
  createECDH,
  createHmac,
  createSecretKey,
  type ECDH,
  type KeyObject,
  randomBytes,
} from "node:crypto";

/** What a browser gave its app: RFC 8291 §3.1, §3.2. Both in base64url. */
export interface MessageKeys {
  /** The user agent's public key: a point on P-256 in the uncompressed form, 65 bytes. */
  readonly p256dh: string;
  /** 16 bytes. */
  readonly authSecret: string;
}

/** A key pair and a salt, never used for a second message (RFC 8188 §2.1, RFC 8291 §3.1). Tests fix them. */
export interface Ephemeral {
  /** Holds a key pair on P-256. */
  readonly ecdh: ECDH;
  /** Of `ecdh`, uncompressed. */
  readonly publicKey: Uint8Array;
  /** 16 bytes. */
  readonly salt: Uint8Array;
}

const SALT_BYTES = 16;
const KEY_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Salt, record size (4 bytes), length of the key id (1 byte). RFC 8188 §2.1. */
const HEADER_BYTES = SALT_BYTES + 5;
/** RFC 8188 §2: ends the last record. The padding after it is zeros. */
const LAST_RECORD = 2;
const RECORD_SIZE = 4096;

const KEY_INFO_PREFIX = Buffer.from("WebPush: info\0");
const CEK_INFO = Buffer.from("Content-Encoding: aes128gcm\0");
const NONCE_INFO = Buffer.from("Content-Encoding: nonce\0");
const FIRST_BLOCK = Buffer.of(1);

/**
 * The body of a push request (RFC 8291 §4). All bodies with one `paddedBytes` have one length.
 * @param paddedBytes What the plaintext is padded to, without the delimiter.
 * @throws Error when `p256dh` is not a point on the curve or the plaintext is longer than `paddedBytes`.
 */
export function encryptPush(
  { p256dh, authSecret }: MessageKeys,
  plaintext: Uint8Array,
  paddedBytes: number,
  { ecdh, publicKey, salt }: Ephemeral = createEphemeral(),
): Buffer {
  const userAgentKey = Buffer.from(p256dh, "base64url");
  // RFC 8291 §3.4: one HKDF, whose salt is the authentication secret.
  const sharedSecret = ecdh.computeSecret(userAgentKey);
  const inputKey = expand(extract(Buffer.from(authSecret, "base64url"), sharedSecret), [
    KEY_INFO_PREFIX,
    userAgentKey,
    publicKey,
  ]);
  return encryptRecord({ inputKey, salt, keyId: publicKey, plaintext, paddedBytes, recordSize: RECORD_SIZE });
}

/** One object for all messages, which are made one at a time: each replaces its key pair, and making one costs time. */
const sharedEcdh = createECDH("prime256v1");

function createEphemeral(): Ephemeral {
  return { ecdh: sharedEcdh, publicKey: sharedEcdh.generateKeys(), salt: takeSalt() };
}

/** Random bytes for the next salts: asking for many at once costs hardly more than asking for one. */
let saltPool = Buffer.alloc(0);
const POOLED_SALTS = 256;

function takeSalt(): Uint8Array {
  if (saltPool.length === 0) saltPool = randomBytes(POOLED_SALTS * SALT_BYTES);
  const salt = saltPool.subarray(0, SALT_BYTES);
  saltPool = saltPool.subarray(SALT_BYTES);
  return salt;
}

export interface RecordOptions {
  /** The input keying material of RFC 8188 §2.2. */
  readonly inputKey: Uint8Array;
  readonly salt: Uint8Array;
  readonly keyId: Uint8Array;
  readonly plaintext: Uint8Array;
  readonly paddedBytes: number;
  readonly recordSize: number;
}

/** A message of one record (RFC 8188 §2). @throws Error when it does not fit. */
export function encryptRecord(options: RecordOptions): Buffer {
  const { inputKey, salt, keyId, plaintext, paddedBytes, recordSize } = options;
  if (plaintext.length > paddedBytes || paddedBytes + 1 + TAG_BYTES > recordSize)
    throw new RangeError("the message does not fit its record");
  const pseudoRandomKey = extract(salt, inputKey);
  const contentKey = createSecretKey(expand(pseudoRandomKey, [CEK_INFO]).subarray(0, KEY_BYTES));
  // Of record 0: XOR with zeros (§2.3).
  const nonce = expand(pseudoRandomKey, [NONCE_INFO]).subarray(0, NONCE_BYTES);

  const padded = Buffer.alloc(paddedBytes + 1);
  padded.set(plaintext);
  padded[plaintext.length] = LAST_RECORD;
  const cipher = createCipheriv("aes-128-gcm", contentKey, nonce);
  const sealed = cipher.update(padded);
  cipher.final(); // nothing is left: GCM is a stream

  const message = Buffer.alloc(HEADER_BYTES + keyId.length + sealed.length + TAG_BYTES);
  message.set(salt);
  message.writeUInt32BE(recordSize, SALT_BYTES);
  message.writeUInt8(keyId.length, SALT_BYTES + 4);
  message.set(keyId, HEADER_BYTES);
  message.set(sealed, HEADER_BYTES + keyId.length);
  message.set(cipher.getAuthTag(), message.length - TAG_BYTES);
  return message;
}

/**
 * HKDF with SHA-256 (RFC 5869 §2.2). Keys are KeyObjects: Node takes several times as long with bytes. `hkdfSync` would
 * do the first half again for the nonce.
 */
function extract(salt: Uint8Array, inputKey: Uint8Array): KeyObject {
  return createSecretKey(createHmac("sha256", createSecretKey(salt)).update(inputKey).digest());
}

/** RFC 5869 §2.3: the first block, 32 bytes, of which the start is used. */
function expand(pseudoRandomKey: KeyObject, info: readonly Uint8Array[]): Buffer {
  const hmac = createHmac("sha256", pseudoRandomKey);
  for (const part of info) hmac.update(part);
  return hmac.update(FIRST_BLOCK).digest();
}
