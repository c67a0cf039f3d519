// Sealing at rest: AES-256-GCM (NIST SP 800-38D) with a fresh random 96-bit nonce each time. No I/O.
import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from "node:crypto";

const NONCE_BYTES = 12;
const AUTH_TAG_BYTES = 16;

/** How many bytes longer a sealed text is than the plain one. */
export const SEAL_OVERHEAD_BYTES = NONCE_BYTES + AUTH_TAG_BYTES;

/**
 * Seals `plain` (a text in UTF-8) under a 256-bit key and binds it to `context`: nonce · ciphertext · authentication tag.
 * Random nonces allow 2^32 seals under one key (SP 800-38D §8.3); a day's key stays far below.
 */
export function seal(key: KeyObject, context: Uint8Array, plain: Uint8Array | string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: AUTH_TAG_BYTES }).setAAD(context);
  const sealed = typeof plain === "string" ? cipher.update(plain, "utf8") : cipher.update(plain);
  cipher.final(); // GCM is a stream mode: nothing is left over
  return Buffer.concat([nonce, sealed, cipher.getAuthTag()]);
}

/** Opens what `seal` made; `undefined` if the key, the context or any bit of it differs. */
export function open(key: KeyObject, context: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < SEAL_OVERHEAD_BYTES) return undefined;
  const end = sealed.length - AUTH_TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: AUTH_TAG_BYTES,
  })
    .setAAD(context)
    .setAuthTag(sealed.subarray(end));
  const plain = decipher.update(sealed.subarray(NONCE_BYTES, end));
  try {
    decipher.final(); // throws if the authentication tag does not match; GCM leaves no bytes over
  } catch {
    return undefined;
  }
  return plain;
}

/** The parts that a sealed text is bound to, after the scheme's version. No part may contain NUL. */
export function toContext(...parts: readonly string[]): Buffer {
  return Buffer.from(["sp1", ...parts].join("\0"), "utf8");
}
