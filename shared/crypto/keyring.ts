// The keys in use: one root key, from which every purpose has a key of its own, and one data key for each expiry
// day. They lie wrapped in the store; unwrapped they live in memory for an hour at most. I/O through what is
// handed in.
import { createHmac, createSecretKey, hkdfSync, type Hmac, type KeyObject, randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { type Day, toDay, toDayName } from "../domain/id.ts";
import { withDeadline } from "../base/deadline.ts";
import { KEY_BYTES, KeyUnavailableError, type KeyWrapper, type WrappedKey } from "./kek.ts";

interface StoredKey extends WrappedKey {
  /** The version that a replacement has to name. */
  readonly etag: string;
}

/** What the keyring needs of storage. */
export interface KeyRows {
  readonly readKey: (
    kind: "root" | "day",
    name: string,
    signal: AbortSignal,
  ) => Promise<StoredKey | undefined>;
  /** Inserts if absent, and answers what stands there then: of many who insert at once, one wins for all. */
  readonly insertKey: (
    kind: "root" | "day",
    name: string,
    key: WrappedKey,
    signal: AbortSignal,
  ) => Promise<WrappedKey>;
  /** Replaces exactly the version read before; `changed`: somebody else was faster. */
  readonly replaceKey: (
    kind: "root",
    name: string,
    key: WrappedKey,
    etag: string,
    signal: AbortSignal,
  ) => Promise<"written" | "changed">;
}

/** Made from the root key, each for one purpose (HKDF, RFC 5869). */
export interface PurposeKeys {
  /** What stands for a user in rows and tags: cannot be confirmed by guessing, needs no escaping. */
  readonly toRecipientKey: (userId: string) => RecipientKey;
  /** What stands for a device's address: 32 bytes in lower-case hexadecimal. */
  readonly toChannelKey: (platform: string, address: string) => ChannelKey;
  /** What a topic is on the wire: 32 base64url characters (RFC 8030 §5.4), meaningless outside. */
  readonly toWireTopic: (topic: string) => string;
  /** What stands for a sender's idempotency key: 32 bytes in lower-case hexadecimal. */
  readonly toClaimKey: (sender: string, idempotencyKey: string) => ClaimKey;
  /** What tells one request from another, and nothing of a payload that could be guessed. */
  readonly toFingerprint: (request: string) => string;
  /** Seals push channels. */
  readonly channelSealingKey: KeyObject;
  /** Vouches for the cursors of lists. */
  readonly cursorsKey: KeyObject;
}

export type RecipientKey = string & { readonly __brand: "RecipientKey" };
export type ClaimKey = string & { readonly __brand: "ClaimKey" };
export type ChannelKey = string & { readonly __brand: "ChannelKey" };

export interface Keyring {
  readonly purposes: (signal: AbortSignal) => Promise<PurposeKeys>;
  /** The data key of a day, made if it is not there yet. @throws Error for a day that is over (R103). */
  readonly makeDayKey: (day: Day, signal: AbortSignal) => Promise<KeyObject>;
  /** The data key of a day, if there is one. */
  readonly findDayKey: (day: Day, signal: AbortSignal) => Promise<KeyObject | undefined>;
  /**
   * Wraps the root key by the newest key-encryption key where another has; answers whether it did. The root key
   * outlives key-encryption keys; a day's key keeps its own until the day is over.
   */
  readonly wrapRootAnew: (signal: AbortSignal) => Promise<boolean>;
}

export interface KeyringOptions {
  readonly rows: KeyRows;
  readonly wrapper: KeyWrapper;
  readonly clock: Clock;
}

const CACHE_MS = 3_600_000;
const LOAD_TIMEOUT_MS = 4_000;
const ROOT_NAME = "v1";

export function createKeyring({ rows, wrapper, clock }: KeyringOptions): Keyring {
  const load = async (kind: "root" | "day", name: string, make: boolean): Promise<KeyObject | undefined> => {
    const signal = AbortSignal.timeout(LOAD_TIMEOUT_MS);
    let stored: WrappedKey | undefined = await rows.readKey(kind, name, signal);
    if (stored === undefined && make)
      stored = await rows.insertKey(kind, name, await wrapper.wrap(randomBytes(KEY_BYTES), signal), signal);
    if (stored === undefined) return undefined;
    const secret = await unwrap(stored, signal);
    // Bound to its row: a wrapped key that is moved to another opens nothing there.
    return derive(createSecretKey(secret), `${kind} key ${name}`);
  };

  async function unwrap(stored: WrappedKey, signal: AbortSignal): Promise<Uint8Array> {
    const secret = await wrapper.unwrap(stored, signal);
    // Whatever unwraps it: an empty key would be one that everybody knows.
    if (secret.length !== KEY_BYTES) throw new KeyUnavailableError(stored.kekId);
    return secret;
  }

  const root = createCache<PurposeKeys>(clock);
  const days = createCache<KeyObject>(clock);

  return {
    purposes: async (signal) => {
      const loadRoot = async () => {
        const key = await load("root", ROOT_NAME, true);
        return key && toPurposeKeys(key);
      };
      const purposes = await root(ROOT_NAME, loadRoot, signal);
      if (purposes === undefined) throw new Error("the root key that was just made is missing");
      return purposes;
    },
    makeDayKey: async (day, signal) => {
      const name = toDayName(day);
      for (;;) {
        if (day < toDay(clock.now())) throw new Error("a day that is over gets no key");
        const key = await days(name, () => load("day", name, true), signal);
        if (key !== undefined) return key;
        // It joined the load of a reader, who makes no key.
      }
    },
    findDayKey: (day, signal) => {
      const name = toDayName(day);
      return days(name, () => load("day", name, false), signal);
    },
    wrapRootAnew: async (signal) => {
      const stored = await rows.readKey("root", ROOT_NAME, signal);
      if (stored === undefined || stored.kekId === (await wrapper.newestKekId(signal))) return false;
      const secret = await unwrap(stored, signal);
      const wrapped = await wrapper.wrap(secret, signal);
      // There is no second copy: what replaces it has to open.
      if (!Buffer.from(secret).equals(await unwrap(wrapped, signal)))
        throw new KeyUnavailableError(wrapped.kekId);
      return (await rows.replaceKey("root", ROOT_NAME, wrapped, stored.etag, signal)) === "written";
    },
  };
}

/**
 * Keeps what was loaded for an hour. Callers who ask for the same thing at once share one load, which runs under
 * a deadline of its own, so that one caller who gives up does not end it for the others. What is not there, and
 * what failed, is not kept.
 */
function createCache<T>(clock: Clock) {
  const entries = new Map<string, { readonly value: Promise<T | undefined>; readonly atMs: number }>();
  return (name: string, load: () => Promise<T | undefined>, signal: AbortSignal): Promise<T | undefined> => {
    const nowMs = clock.uncorrectedMs();
    for (const [key, { atMs }] of entries) if (nowMs - atMs > CACHE_MS || nowMs < atMs) entries.delete(key);
    const kept = entries.get(name);
    if (kept !== undefined) return withDeadline(kept.value, signal);
    const entry = { value: load(), atMs: nowMs };
    entries.set(name, entry);
    const forget = () => {
      if (entries.get(name) === entry) entries.delete(name);
    };
    setTimeout(forget, CACHE_MS).unref(); // also where nobody asks again
    entry.value.then((value) => {
      if (value === undefined) forget();
    }, forget);
    return withDeadline(entry.value, signal);
  };
}

/** HKDF (RFC 5869): a key for one purpose, from which neither the secret nor another key can be told. */
function derive(secret: KeyObject, purpose: string): KeyObject {
  return createSecretKey(
    Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), `sp1 ${purpose}`, KEY_BYTES)),
  );
}

function toPurposeKeys(root: KeyObject): PurposeKeys {
  const recipientsKey = derive(root, "recipient keys");
  const channelsKey = derive(root, "channel keys");
  const topicsKey = derive(root, "topics on the wire");
  const claimsKey = derive(root, "idempotency keys");
  const fingerprintsKey = derive(root, "idempotency fingerprints");
  return {
    toRecipientKey: (userId) => hmac(recipientsKey, userId).digest("base64url") as RecipientKey,
    toChannelKey: (platform, address) =>
      hmac(channelsKey, `${platform}\0${address}`).digest("hex") as ChannelKey,
    toClaimKey: (sender, idempotencyKey) =>
      hmac(claimsKey, `${sender}\0${idempotencyKey}`).digest("hex") as ClaimKey,
    toFingerprint: (request) => hmac(fingerprintsKey, request).digest("base64url"),
    toWireTopic: (topic) => hmac(topicsKey, topic).digest().subarray(0, 24).toString("base64url"),
    channelSealingKey: derive(root, "sealed push channels"),
    cursorsKey: derive(root, "cursors"),
  };
}

function hmac(key: KeyObject, text: string): Hmac {
  return createHmac("sha256", key).update(text, "utf8");
}
