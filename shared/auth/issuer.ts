// Keeps the keys of one issuer: when to ask for them again, and how long to use the ones it has. I/O through
// issuerDocuments.ts.
import type { CryptoKey } from "jose";
import { createCoolDown, type CoolDown } from "../base/coolDown.ts";
import type { Log } from "../base/log.ts";
import { err, ok, type Result } from "../base/result.ts";
import { fetchKeySet, type IssuerDocumentsOptions } from "./issuerDocuments.ts";
import { isSameKeySet, type KeySetPolicy, toVerificationKeys, type VerificationKeys } from "./keySet.ts";

/** Age at which keys are asked for again, so that a withdrawn key stops working. */
const REFRESH_AGE_MS = 10 * 60_000;
/** Age up to which keys are used while the issuer cannot be reached. */
const MAX_AGE_MS = 24 * 60 * 60_000;
/** Minimum time between two requests that unknown `kid`s cause. */
const UNKNOWN_KEY_INTERVAL_MS = 30_000;
/** How long a caller waits for a refresh when a key to use is at hand already. */
const REFRESH_PATIENCE_MS = 1_000;

type KeyFailure =
  | { readonly reason: "key_unknown" }
  | { readonly reason: "issuer_unavailable"; readonly retryAfterSeconds: number };

type Found = Result<CryptoKey, KeyFailure>;

export interface IssuerKeys {
  /** The key with this `kid` for this algorithm. Waits for the issuer only as long as `signal` allows. */
  readonly find: (kid: string, alg: string, signal: AbortSignal) => Promise<Found>;
  /**
   * The key, if it is in a key set that need not be refreshed yet. An unchanged key set keeps its key objects, so a
   * key that is the same object as before has been current all the time.
   */
  readonly findFresh: (kid: string, alg: string) => CryptoKey | undefined;
}

export interface IssuerKeysOptions extends IssuerDocumentsOptions, KeySetPolicy {
  readonly log: Log;
  /** Called when a refresh brought other keys than before. */
  readonly onChange?: () => void;
  readonly now?: () => Date;
}

/** One issuer's keys and what is known of its availability. */
interface Keys {
  readonly options: IssuerKeysOptions;
  readonly nowMs: () => number;
  readonly coolDown: CoolDown;
  held?: { readonly keys: VerificationKeys; readonly readAtMs: number } | undefined;
  /** The request in progress, which all callers share. */
  pending?: Promise<void> | undefined;
  lastAttemptAtMs: number;
}

/**
 * Keeps the keys of one issuer. Parallel callers share one request; unknown `kid`s cause at most one request in 30 s;
 * failed requests are followed by a pause of 1 s, growing to 30 s; keys stay usable for 24 h while the issuer cannot
 * be reached.
 */
export function createIssuerKeys(options: IssuerKeysOptions): IssuerKeys {
  const { now = () => new Date() } = options;
  const nowMs = () => now().getTime();
  const keys: Keys = {
    options,
    nowMs,
    coolDown: createCoolDown(nowMs),
    lastAttemptAtMs: Number.NEGATIVE_INFINITY,
  };
  return {
    find: (kid, alg, signal) => find(keys, kid, alg, signal),
    findFresh: (kid, alg) => findFresh(keys, kid, alg),
  };
}

function findFresh(keys: Keys, kid: string, alg: string): CryptoKey | undefined {
  const { held } = keys;
  if (held === undefined || elapsedMs(keys, held.readAtMs) >= REFRESH_AGE_MS) return undefined;
  return held.keys.get(kid)?.get(alg)?.cryptoKey;
}

async function find(keys: Keys, kid: string, alg: string, signal: AbortSignal): Promise<Found> {
  dropTooOld(keys);
  if (keys.held === undefined) {
    if (mayAsk(keys, 0)) await waitFor(refresh(keys), signal);
  } else if (elapsedMs(keys, keys.held.readAtMs) >= REFRESH_AGE_MS && mayAsk(keys, 0)) {
    await waitFor(refresh(keys), AbortSignal.any([signal, AbortSignal.timeout(REFRESH_PATIENCE_MS)]));
  }
  if (keys.held !== undefined && !keys.held.keys.has(kid) && mayAsk(keys, UNKNOWN_KEY_INTERVAL_MS))
    await waitFor(refresh(keys), signal);
  if (keys.held === undefined) return unavailable(keys);
  const byAlgorithm = keys.held.keys.get(kid);
  const key = byAlgorithm?.get(alg);
  if (key !== undefined) return ok(key.cryptoKey);
  // While the issuer could not be asked, nobody knows whether the key exists.
  const isUndecided = byAlgorithm === undefined && (keys.coolDown.isFailing() || keys.pending !== undefined);
  return isUndecided ? unavailable(keys) : err({ reason: "key_unknown" });
}

function dropTooOld(keys: Keys): void {
  if (keys.held === undefined) return;
  const ageMs = elapsedMs(keys, keys.held.readAtMs);
  // The age is infinite after the clock was set back: the keys are asked for again, but kept.
  if (ageMs >= MAX_AGE_MS && Number.isFinite(ageMs)) keys.held = undefined;
}

/** A clock that was set back must not block anything: then the event counts as long past. */
function elapsedMs({ nowMs }: Keys, sinceMs: number): number {
  const elapsed = nowMs() - sinceMs;
  return elapsed < 0 ? Number.POSITIVE_INFINITY : elapsed;
}

function mayAsk(keys: Keys, intervalMs: number): boolean {
  if (keys.pending !== undefined) return true;
  return elapsedMs(keys, keys.lastAttemptAtMs) >= intervalMs && keys.coolDown.remainingMs() === 0;
}

function refresh(keys: Keys): Promise<void> {
  keys.pending ??= read(keys).finally(() => {
    keys.pending = undefined;
  });
  return keys.pending;
}

async function read(keys: Keys): Promise<void> {
  const { options, coolDown } = keys;
  const { issuer, log } = options;
  const document = await fetchKeySet(options);
  const found = document.ok ? await toVerificationKeys(document.value, options) : document;
  keys.lastAttemptAtMs = keys.nowMs();
  if (!found.ok) {
    coolDown.failed();
    log.warn("issuer_keys_unavailable", { issuer, cause: found.error, coolDownMs: coolDown.remainingMs() });
    return;
  }
  coolDown.succeeded();
  const isSame = keys.held !== undefined && isSameKeySet(keys.held.keys, found.value.keys);
  const current = isSame && keys.held !== undefined ? keys.held.keys : found.value.keys;
  keys.held = { keys: current, readAtMs: keys.lastAttemptAtMs };
  if (!isSame) options.onChange?.();
  log.info("issuer_keys_read", { issuer, keys: current.size, leftOut: found.value.leftOut });
}

function unavailable({ coolDown }: Keys): Found {
  const retryAfterSeconds = Math.max(1, Math.ceil(coolDown.remainingMs() / 1000));
  return err({ reason: "issuer_unavailable", retryAfterSeconds });
}

/** Waits for work that never rejects, or for the signal. The work goes on for the other callers. */
async function waitFor(work: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const stop = () => {
    resolve();
  };
  signal.addEventListener("abort", stop, { once: true });
  await Promise.race([work, aborted]);
  signal.removeEventListener("abort", stop);
}
