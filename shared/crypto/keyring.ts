// The keys in use: one root key, from which a key for each purpose is derived, and one data key for each expiry day. The
// store holds them wrapped; unwrapped they stay in memory for an hour at most. I/O through what is handed in.
import { createHmac, createSecretKey, hkdfSync, type Hmac, type KeyObject, randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { type Day, toDay, toDayName } from "../domain/id.ts";
import { withDeadline } from "../base/deadline.ts";
import { KEY_BYTES, KeyUnavailableError, type KeyWrapper, type WrappedKey } from "./kek.ts";

interface StoredKey extends WrappedKey {
  /** The row's version, which a replacement has to name. */
  readonly etag: string;
}

/** What the keyring needs of storage. */
export interface KeyRows {
  readonly readKey: (
    kind: "root" | "day",
    name: string,
    signal: AbortSignal,
  ) => Promise<StoredKey | undefined>;
  /** Inserts the key if there is none, and returns the stored one: of many concurrent inserts one wins for all. */
  readonly insertKey: (
    kind: "root" | "day",
    name: string,
    key: WrappedKey,
    signal: AbortSignal,
  ) => Promise<WrappedKey>;
  /** Replaces exactly the version that was read before; `changed` if it is no longer the current one. */
  readonly replaceKey: (
    kind: "root",
    name: string,
    replacement: { readonly key: WrappedKey; readonly etag: string },
    signal: AbortSignal,
  ) => Promise<"written" | "changed">;
}

/** Keys derived from the root key, each for one purpose (HKDF, RFC 5869). */
export interface PurposeKeys {
  /** Stands for a user in rows and tags: a guessed user id cannot be confirmed, and nothing needs escaping. */
  readonly toRecipientKey: (userId: string) => RecipientKey;
  /** Stands for a device's address: 32 bytes in lower-case hexadecimal. */
  readonly toChannelKey: (platform: string, address: string) => ChannelKey;
  /** Stands for a topic on the wire: 32 base64url characters (RFC 8030 §5.4) that reveal nothing about it. */
  readonly toWireTopic: (topic: string) => string;
  /** Stands for a sender's idempotency key: 32 bytes in lower-case hexadecimal. */
  readonly toClaimKey: (sender: string, idempotencyKey: string) => ClaimKey;
  /** Tells requests apart, without letting anybody confirm a guessed payload. */
  readonly toFingerprint: (request: string) => string;
  /** Seals push channels. */
  readonly channelSealingKey: KeyObject;
  /** Authenticates the cursors of lists. */
  readonly cursorsKey: KeyObject;
}

export type RecipientKey = string & { readonly __brand: "RecipientKey" };
export type ClaimKey = string & { readonly __brand: "ClaimKey" };
export type ChannelKey = string & { readonly __brand: "ChannelKey" };

export interface Keyring {
  readonly purposes: (signal: AbortSignal) => Promise<PurposeKeys>;
  /** The data key of a day, made if there is none yet. @throws Error for a day that is over (R103). */
  readonly makeDayKey: (day: Day, signal: AbortSignal) => Promise<KeyObject>;
  /** The data key of a day, if there is one. */
  readonly findDayKey: (day: Day, signal: AbortSignal) => Promise<KeyObject | undefined>;
  /**
   * Wraps the root key with the newest key-encryption key if another one wrapped it; returns whether it did. The root
   * key outlives key-encryption keys; a day's key keeps its own until the day is over.
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

/** The parts that all steps share. */
interface Parts extends KeyringOptions {
  readonly root: Cache<PurposeKeys>;
  readonly days: Cache<KeyObject>;
}

/** Reads keys at their first use and makes those that are missing. */
export function createKeyring(options: KeyringOptions): Keyring {
  const { clock } = options;
  const parts: Parts = { ...options, root: createCache(clock), days: createCache(clock) };
  return {
    purposes: (signal) => findPurposes(parts, signal),
    makeDayKey: (day, signal) => makeDayKey(parts, day, signal),
    findDayKey: (day, signal) => {
      const name = toDayName(day);
      return parts.days(name, () => loadKey(parts, "day", name, false), signal);
    },
    wrapRootAnew: (signal) => wrapRootAnew(parts, signal),
  };
}

async function findPurposes(parts: Parts, signal: AbortSignal): Promise<PurposeKeys> {
  const loadPurposes = async () => {
    const key = await loadKey(parts, "root", ROOT_NAME, true);
    return key && toPurposeKeys(key);
  };
  const purposes = await parts.root(ROOT_NAME, loadPurposes, signal);
  if (purposes === undefined) throw new Error("the root key that was just made is missing");
  return purposes;
}

async function makeDayKey(parts: Parts, day: Day, signal: AbortSignal): Promise<KeyObject> {
  const name = toDayName(day);
  for (;;) {
    if (day < toDay(parts.clock.now())) throw new Error("a day that is over gets no key");
    const key = await parts.days(name, () => loadKey(parts, "day", name, true), signal);
    if (key !== undefined) return key;
    // It shared the load of a reader, which makes no key: try again.
  }
}

/** @param make Whether to make the key if there is none. */
async function loadKey(
  { rows, wrapper }: Parts,
  kind: "root" | "day",
  name: string,
  make: boolean,
): Promise<KeyObject | undefined> {
  const signal = AbortSignal.timeout(LOAD_TIMEOUT_MS);
  let stored: WrappedKey | undefined = await rows.readKey(kind, name, signal);
  if (stored === undefined && make)
    stored = await rows.insertKey(kind, name, await wrapper.wrap(randomBytes(KEY_BYTES), signal), signal);
  if (stored === undefined) return undefined;
  const secret = await unwrap(wrapper, stored, signal);
  // Derived for its row: a wrapped key that is moved to another row opens nothing there.
  return derive(createSecretKey(secret), `${kind} key ${name}`);
}

async function unwrap(wrapper: KeyWrapper, stored: WrappedKey, signal: AbortSignal): Promise<Uint8Array> {
  const secret = await wrapper.unwrap(stored, signal);
  // Checked for every wrapper: an empty key would be one that everybody knows.
  if (secret.length !== KEY_BYTES) throw new KeyUnavailableError(stored.kekId);
  return secret;
}

async function wrapRootAnew({ rows, wrapper }: Parts, signal: AbortSignal): Promise<boolean> {
  const stored = await rows.readKey("root", ROOT_NAME, signal);
  if (stored === undefined || stored.kekId === (await wrapper.newestKekId(signal))) return false;
  const secret = await unwrap(wrapper, stored, signal);
  const wrapped = await wrapper.wrap(secret, signal);
  // There is no second copy of the root key, so the replacement is tried before it is written.
  if (!Buffer.from(secret).equals(await unwrap(wrapper, wrapped, signal)))
    throw new KeyUnavailableError(wrapped.kekId);
  const replacement = { key: wrapped, etag: stored.etag };
  return (await rows.replaceKey("root", ROOT_NAME, replacement, signal)) === "written";
}

/** The value with this name; `load` is called when none is kept. */
type Cache<T> = (
  name: string,
  load: () => Promise<T | undefined>,
  signal: AbortSignal,
) => Promise<T | undefined>;

interface Entry<T> {
  readonly loading: Promise<T | undefined>;
  readonly atMs: number;
  /** The result, once there is one. */
  value?: T | undefined;
}

/**
 * Keeps loaded values for an hour. Concurrent callers share one load. It has a time limit of its own, so that a caller
 * who gives up does not end it for the others. Missing values and failures are not kept.
 */
function createCache<T>(clock: Clock): Cache<T> {
  const entries = new Map<string, Entry<T>>();
  return (name, load, signal) => {
    const nowMs = clock.uncorrectedMs();
    for (const [key, { atMs }] of entries) if (nowMs - atMs > CACHE_MS || nowMs < atMs) entries.delete(key);
    const entry = entries.get(name) ?? startLoad(entries, name, load, nowMs);
    // Without a promise and a listener of its own: most calls find their key here.
    if (entry.value !== undefined && !signal.aborted) return Promise.resolve(entry.value);
    return withDeadline(entry.loading, signal);
  };
}

function startLoad<T>(
  entries: Map<string, Entry<T>>,
  name: string,
  load: () => Promise<T | undefined>,
  atMs: number,
): Entry<T> {
  const entry: Entry<T> = { loading: load(), atMs };
  entries.set(name, entry);
  const forget = () => {
    if (entries.get(name) === entry) entries.delete(name);
  };
  setTimeout(forget, CACHE_MS).unref(); // also when nobody asks again
  entry.loading.then((value) => {
    entry.value = value;
    if (value === undefined) forget();
  }, forget);
  return entry;
}

/** HKDF (RFC 5869): a key for one purpose. It reveals neither the secret nor another key. */
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
