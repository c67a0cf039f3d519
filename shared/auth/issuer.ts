// An issuer's keys: OpenID Connect Discovery, the key set, and when to ask for them again. This is I/O.
//
// jose's own remote key set has no cool-down after a failed fetch, follows what it is given and reads documents of any
// size; it verifies here, and what is fetched, when and from where is decided in this file.
import type { CryptoKey } from "jose";
import { isLoopback } from "../config/config.ts";
import type { Log } from "../base/log.ts";
import { err, ok, type Result } from "../base/result.ts";
import { isMembers } from "./jws.ts";
import { toVerificationKeys, type VerificationKeys } from "./keySet.ts";

const FETCH_TIMEOUT_MS = 5_000; // discovery and key set together
const MAX_DOCUMENT_BYTES = 256 * 1024;
/** Age from which keys are asked for again, so that a withdrawn one stops working. */
const REFRESH_AGE_MS = 10 * 60_000;
/** Age up to which keys are used while the issuer cannot be reached. */
const MAX_AGE_MS = 24 * 60 * 60_000;
/** Between two requests that an unknown `kid` causes; also the longest cool-down after failures. */
const UNKNOWN_KEY_INTERVAL_MS = 30_000;
const FIRST_COOL_DOWN_MS = 1_000;
/** A caller whose key is at hand does not wait longer for a refresh. */
const REFRESH_PATIENCE_MS = 1_000;

type KeyFailure =
  | { readonly reason: "key_unknown" }
  | { readonly reason: "issuer_unavailable"; readonly retryAfterSeconds: number };

export interface IssuerKeys {
  /** The key with this `kid` for this algorithm. Waits for the issuer only as long as `signal` allows. */
  readonly find: (kid: string, alg: string, signal: AbortSignal) => Promise<Result<CryptoKey, KeyFailure>>;
}

export interface IssuerKeysOptions {
  /** The issuer's identifier, which is also where its discovery document lies (OpenID Connect Discovery §4). */
  readonly issuer: string;
  readonly algorithms: ReadonlySet<string>;
  readonly allowLoopback: boolean;
  readonly log: Log;
  readonly now?: () => Date;
  readonly fetch?: typeof globalThis.fetch;
}

/**
 * Keeps the keys of one issuer. Parallel callers share one request; unknown `kid`s cause at most one in 30 s; failed
 * requests cool down for 1 s, growing to 30 s; keys outlive an unreachable issuer by 24 h.
 */
export function createIssuerKeys(options: IssuerKeysOptions): IssuerKeys {
  const { issuer, log, now = () => new Date() } = options;
  let held: { readonly keys: VerificationKeys; readonly readAtMs: number } | undefined;
  let pending: Promise<void> | undefined;
  let lastAttemptAtMs = Number.NEGATIVE_INFINITY;
  let failures = 0;

  /** A clock that was set back must not lock anything: time before the event counts as long after it. */
  function elapsedMs(sinceMs: number): number {
    const elapsed = now().getTime() - sinceMs;
    return elapsed < 0 ? Number.POSITIVE_INFINITY : elapsed;
  }

  function coolDownMs(): number {
    return failures === 0 ? 0 : Math.min(UNKNOWN_KEY_INTERVAL_MS, FIRST_COOL_DOWN_MS * 2 ** (failures - 1));
  }

  function mayAsk(intervalMs: number): boolean {
    return pending !== undefined || elapsedMs(lastAttemptAtMs) >= Math.max(intervalMs, coolDownMs());
  }

  function refresh(): Promise<void> {
    pending ??= read().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  async function read(): Promise<void> {
    const found = await fetchKeys(options);
    lastAttemptAtMs = now().getTime();
    if (found.ok) {
      failures = 0;
      held = { keys: found.value.keys, readAtMs: lastAttemptAtMs };
      log.info("issuer_keys_read", { issuer, keys: found.value.keys.size, leftOut: found.value.leftOut });
    } else {
      failures++;
      log.warn("issuer_keys_unavailable", { issuer, cause: found.error, coolDownMs: coolDownMs() });
    }
  }

  function unavailable(): Result<never, KeyFailure> {
    const remainingMs = coolDownMs() - elapsedMs(lastAttemptAtMs);
    return err({
      reason: "issuer_unavailable",
      retryAfterSeconds: Math.max(1, Math.ceil(remainingMs / 1000)),
    });
  }

  return {
    find: async (kid, alg, signal) => {
      // An age without end comes of a clock set back: the keys are asked for again, but not thrown away.
      const ageMs = held === undefined ? undefined : elapsedMs(held.readAtMs);
      if (ageMs !== undefined && ageMs >= MAX_AGE_MS && Number.isFinite(ageMs)) held = undefined;
      if (held === undefined) {
        if (mayAsk(0)) await waitFor(refresh(), signal);
      } else if (ageMs !== undefined && ageMs >= REFRESH_AGE_MS && mayAsk(0)) {
        await waitFor(refresh(), AbortSignal.any([signal, AbortSignal.timeout(REFRESH_PATIENCE_MS)]));
      }
      if (held !== undefined && !held.keys.has(kid) && mayAsk(UNKNOWN_KEY_INTERVAL_MS))
        await waitFor(refresh(), signal);
      if (held === undefined) return unavailable();
      const byAlgorithm = held.keys.get(kid);
      const key = byAlgorithm?.get(alg);
      if (key !== undefined) return ok(key);
      // Whether the key exists is open as long as the issuer was not asked with success.
      const undecided = byAlgorithm === undefined && (failures > 0 || pending !== undefined);
      return undecided ? unavailable() : err({ reason: "key_unknown" });
    },
  };
}

/** Waits for work that never rejects, or for the signal; the work goes on for others. */
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

type Fetched<T> = Promise<Result<T, string>>;

async function fetchKeys(
  options: IssuerKeysOptions,
): Fetched<{ readonly keys: VerificationKeys; readonly leftOut: number }> {
  const { issuer, algorithms } = options;
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  // OpenID Connect Discovery §4.1: a slash at the end of the issuer is removed first.
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const discovery = await fetchDocument(address, "discovery", options, signal);
  if (!discovery.ok) return discovery;
  if (!isMembers(discovery.value)) return err("discovery_form");
  const { issuer: stated, jwks_uri: keySetAddress } = discovery.value;
  if (stated !== issuer) return err("discovery_of_another_issuer"); // §4.3
  if (typeof keySetAddress !== "string") return err("discovery_form");
  const keySet = await fetchDocument(keySetAddress, "key_set", options, signal);
  return keySet.ok ? toVerificationKeys(keySet.value, algorithms) : keySet;
}

/** One JSON document. The error says what went wrong and holds nothing that came from outside but a status. */
async function fetchDocument(
  address: string,
  name: "discovery" | "key_set",
  { allowLoopback, fetch = globalThis.fetch }: IssuerKeysOptions,
  signal: AbortSignal,
): Fetched<unknown> {
  const url = URL.parse(address);
  if (url === null || !isAllowed(url, allowLoopback)) return err(`${name}_address_refused`);
  try {
    // Not followed: a redirect would make the keys come from where nobody looked.
    const response = await fetch(url, {
      redirect: "manual",
      headers: { accept: "application/json" },
      signal,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      return err(`${name}_status_${response.status}`);
    }
    const text = await readBounded(response);
    return text === undefined ? err(`${name}_too_large`) : ok(JSON.parse(text) as unknown);
  } catch (error) {
    if (signal.aborted) return err(`${name}_timeout`);
    return err(error instanceof SyntaxError ? `${name}_form` : `${name}_unreachable`);
  }
}

function isAllowed(url: URL, allowLoopback: boolean): boolean {
  if (url.username !== "" || url.password !== "") return false;
  return url.protocol === "https:" || (url.protocol === "http:" && allowLoopback && isLoopback(url));
}

/** `undefined` when there is more of it than a document may have; the rest is not read. */
async function readBounded({ body }: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_DOCUMENT_BYTES) return undefined; // leaving the loop cancels the stream
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
