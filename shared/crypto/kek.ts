// Key-encryption keys: they wrap the root key and the day keys. The interface, and the local key for development.
import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject } from "node:crypto";
import type { Secret } from "../base/secret.ts";

export const KEY_BYTES = 32;

/** A 256-bit key, wrapped, with the name of the key-encryption key that wrapped it. */
export interface WrappedKey {
  readonly kekId: string;
  readonly wrapped: Uint8Array;
}

/** Wraps and unwraps 256-bit keys. May do I/O (a vault); every wait ends with `signal`. */
export interface KeyWrapper {
  /** The name of the key-encryption key that wraps now. */
  readonly newestKekId: (signal: AbortSignal) => Promise<string>;
  /** Wraps with the newest key-encryption key. */
  readonly wrap: (key: Uint8Array, signal: AbortSignal) => Promise<WrappedKey>;
  /** @throws KeyUnavailableError when the key-encryption key is not available or did not wrap this key. */
  readonly unwrap: (key: WrappedKey, signal: AbortSignal) => Promise<Uint8Array>;
}

/** A key cannot be wrapped or unwrapped: its key-encryption key is not available, or the row was altered. */
export class KeyUnavailableError extends Error {
  readonly code = "KEY_UNAVAILABLE";

  constructor(kekId: string, options?: ErrorOptions) {
    super(`the key-encryption key ${kekId} is not available, or did not wrap this key`, options);
  }
}

// RFC 3394 §2.2.3.1: the default initial value, which lets unwrapping check its result.
const INITIAL_VALUE = Buffer.alloc(8, 0xa6);

interface LocalKek {
  readonly kekId: string;
  readonly key: KeyObject;
}

/**
 * Wraps by AES-256 key wrap (RFC 3394) with keys from settings: the first wraps, each unwraps what it wrapped. Does no
 * I/O. @throws Error without a key, and for a key that is not 32 bytes.
 */
export function createLocalKeyWrapper(keks: readonly Secret<Uint8Array>[]): KeyWrapper {
  const known = keks.map(toLocalKek);
  const [newest] = known;
  if (newest === undefined) throw new Error("no local key-encryption key");
  return {
    newestKekId: () => Promise.resolve(newest.kekId),
    wrap: (key) => Promise.resolve({ kekId: newest.kekId, wrapped: wrapLocally(newest.key, key) }),
    unwrap: ({ kekId, wrapped }) => {
      const kek = known.find((candidate) => candidate.kekId === kekId);
      const key = kek && unwrapLocally(kek.key, wrapped);
      return key === undefined ? Promise.reject(new KeyUnavailableError(kekId)) : Promise.resolve(key);
    },
  };
}

function toLocalKek(kek: Secret<Uint8Array>): LocalKek {
  const bytes = kek.reveal();
  if (bytes.length !== KEY_BYTES) throw new Error("a local key-encryption key must be 32 bytes");
  // The name tells keys apart and reveals nothing about the key.
  const name = createHash("sha256").update("sp1 kek name\0").update(bytes).digest("hex").slice(0, 16);
  return { kekId: `local:${name}`, key: createSecretKey(bytes) };
}

function wrapLocally(kek: KeyObject, key: Uint8Array): Buffer {
  const cipher = createCipheriv("id-aes256-wrap", kek, INITIAL_VALUE);
  return Buffer.concat([cipher.update(key), cipher.final()]);
}

function unwrapLocally(kek: KeyObject, wrapped: Uint8Array): Buffer | undefined {
  // OpenSSL unwraps an empty text to an empty key without an error, and RFC 3394 allows keys of other lengths.
  if (wrapped.length !== KEY_BYTES + INITIAL_VALUE.length) return undefined;
  try {
    const decipher = createDecipheriv("id-aes256-wrap", kek, INITIAL_VALUE);
    return Buffer.concat([decipher.update(wrapped), decipher.final()]);
  } catch {
    return undefined;
  }
}
