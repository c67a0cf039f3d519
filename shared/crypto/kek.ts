// Key-encryption keys: what wraps the root key and the day keys. The seam, and the local key of development.
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
  /** Under the newest key-encryption key. */
  readonly wrap: (key: Uint8Array, signal: AbortSignal) => Promise<WrappedKey>;
  /** @throws KeyUnavailableError when its key-encryption key is not there or does not fit. */
  readonly unwrap: (key: WrappedKey, signal: AbortSignal) => Promise<Uint8Array>;
}

/** A key cannot be unwrapped: its key-encryption key was taken away, or the row was altered. */
export class KeyUnavailableError extends Error {
  readonly code = "KEY_UNAVAILABLE";

  constructor(kekId: string, options?: ErrorOptions) {
    super(
      `the key-encryption key ${kekId} is not there, or does not open what it should have wrapped`,
      options,
    );
  }
}

// RFC 3394 §2.2.3.1: the default initial value, by which an unwrapping checks itself.
const INITIAL_VALUE = Buffer.alloc(8, 0xa6);

/** Wraps by AES-256 key wrap (RFC 3394) under keys from settings, newest first. Does no I/O. */
export function createLocalKeyWrapper(keks: readonly Secret<Uint8Array>[]): KeyWrapper {
  const known = keks.map((kek) => {
    const bytes = kek.reveal();
    if (bytes.length !== KEY_BYTES) throw new Error("a local key-encryption key must be 32 bytes");
    // A name that tells keys apart and nothing of the key.
    const kekId = `local:${createHash("sha256").update("sp1 kek name\0").update(bytes).digest("hex").slice(0, 16)}`;
    return { kekId, key: createSecretKey(bytes) };
  });
  const [newest] = known;
  if (newest === undefined) throw new Error("no local key-encryption key");
  return {
    newestKekId: () => Promise.resolve(newest.kekId),
    wrap: (key) => {
      const cipher = createCipheriv("id-aes256-wrap", newest.key, INITIAL_VALUE);
      return Promise.resolve({
        kekId: newest.kekId,
        wrapped: Buffer.concat([cipher.update(key), cipher.final()]),
      });
    },
    unwrap: ({ kekId, wrapped }) => {
      const kek = known.find((candidate) => candidate.kekId === kekId);
      const key = kek && unwrapLocally(kek.key, wrapped);
      return key === undefined ? Promise.reject(new KeyUnavailableError(kekId)) : Promise.resolve(key);
    },
  };
}

function unwrapLocally(kek: KeyObject, wrapped: Uint8Array): Buffer | undefined {
  // OpenSSL unwraps nothing to nothing, and RFC 3394 wraps keys of other lengths too.
  if (wrapped.length !== KEY_BYTES + INITIAL_VALUE.length) return undefined;
  try {
    const decipher = createDecipheriv("id-aes256-wrap", kek, INITIAL_VALUE);
    return Buffer.concat([decipher.update(wrapped), decipher.final()]);
  } catch {
    return undefined;
  }
}
