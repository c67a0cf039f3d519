// Idempotency keys (draft-ietf-httpapi-idempotency-key-header): one key, one request, one notification, however often
// and wherever it is tried (P4). I/O through the store.
//
// A claim says which notification a key stands for, and is written once. Who may work on that notification, and whether
// it is finished, its outbox row and payload rows tell (keyedSending.ts).
//
// A claim lies in the table of the day on which its key was first used, so that a whole day is dropped at once. A request
// looks in today's and yesterday's table. Instances may disagree for a moment on which day it is: during the first minutes
// of a day a request therefore claims its key in yesterday's table too, before today's. Such a claim keeps late requests
// of yesterday out and is otherwise ignored; the claim in today's table decides.
import type { Clock } from "../base/clock.ts";
import { both } from "../base/deadline.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { ClaimKey } from "../crypto/keyring.ts";
import { type Day, DAY_MS, type NotificationId, toDay } from "../domain/id.ts";
import { LEASE_MS } from "../outbox/outbox.ts";
import type { Failure } from "../problem.ts";
import { untilWon } from "../store/race.ts";
import type { Claim, Store, Versioned } from "../store/store.ts";

/** What a notification is before anything of it is stored. */
export interface Draft {
  readonly id: NotificationId;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** What a caller wants a key to stand for; `draft` is used where the key is new. */
interface ClaimRequest {
  readonly key: ClaimKey;
  /** Keyed hash of the request. */
  readonly fingerprint: string;
  readonly draft: Draft;
}

export interface Claimed {
  /** The notification that the key stands for. */
  readonly draft: Draft;
  /** This call was the first to use the key. */
  readonly isNew: boolean;
  /** Makes the key stand for another draft; false where another call was faster. */
  readonly replace: (draft: Draft, signal: AbortSignal) => Promise<boolean>;
}

export interface ClaimsOptions {
  readonly store: Store;
  readonly clock: Clock;
}

/** Claims a key, or finds what it stands for. Refuses a key that is used for another request. */
export type ClaimKeyFor = (request: ClaimRequest, signal: AbortSignal) => Promise<Result<Claimed, Failure>>;

/** A key is remembered for a day (R86). */
const REMEMBERED_MS = DAY_MS;
/** Clocks of instances differ by less. */
const DAY_CHANGE_MS = 10 * 60_000;

export function createClaims(options: ClaimsOptions): ClaimKeyFor {
  return (request, signal) =>
    untilWon(() => tryClaim(options, request, signal), "an idempotency key was raced for too often", signal);
}

/** One try; nothing where the rows changed in between, so that it has to begin again. */
async function tryClaim(
  options: ClaimsOptions,
  request: ClaimRequest,
  signal: AbortSignal,
): Promise<Result<Claimed, Failure> | undefined> {
  const { store, clock } = options;
  const now = clock.now();
  const today = toDay(now);
  const yesterday = today - 1;
  const isDayChange = now.getTime() - today * DAY_MS < DAY_CHANGE_MS;
  const earlier = isDayChange ? await place(options, yesterday, request, signal) : undefined;
  if (earlier?.isNew === false && isClaimOf(earlier.claim.value, yesterday, now))
    return toClaimed(options, request, earlier);
  const [placed, late] = await both(
    place(options, today, request, signal),
    isDayChange ? Promise.resolve(undefined) : store.readClaim({ day: yesterday, key: request.key }, signal),
  );
  if (placed === undefined) return undefined;
  if (late !== undefined && isClaimOf(late.value, yesterday, now)) {
    if (placed.isNew) await store.deleteClaim({ day: today, key: request.key }, placed.claim.etag, signal);
    return toClaimed(options, request, { day: yesterday, isNew: false, claim: late });
  }
  // A claim of tomorrow: this instance's clock is behind, and the caller tries again when it is not.
  if (toDay(placed.claim.value.claimedAt) > today) return err(toInProgress(now));
  return toClaimed(options, request, placed);
}

/** A claim in one day's table: this call's own, just inserted, or one that was there. */
interface PlacedClaim {
  readonly day: Day;
  readonly isNew: boolean;
  readonly claim: Versioned<Claim>;
}

/** Inserts a claim, or reads the one that is there; nothing where that went away in between. */
async function place(
  { store, clock }: ClaimsOptions,
  day: Day,
  { key, fingerprint, draft }: ClaimRequest,
  signal: AbortSignal,
): Promise<PlacedClaim | undefined> {
  const value: Claim = { ...draft, fingerprint, claimedAt: clock.now() };
  const etag = await store.writeClaim({ day, key }, value, undefined, signal);
  if (etag !== undefined) return { day, isNew: true, claim: { etag, value } };
  const claim = await store.readClaim({ day, key }, signal);
  return claim && { day, isNew: false, claim };
}

/** Whether a claim in a day's table was made on that day, and is still remembered. */
function isClaimOf({ claimedAt }: Claim, day: Day, now: Date): boolean {
  return toDay(claimedAt) === day && now.getTime() - claimedAt.getTime() < REMEMBERED_MS;
}

function toClaimed(
  { store }: ClaimsOptions,
  { key, fingerprint }: ClaimRequest,
  { day, isNew, claim }: PlacedClaim,
): Result<Claimed, Failure> {
  if (claim.value.fingerprint !== fingerprint) return err({ reason: "idempotency_key_reused" });
  return ok({
    draft: claim.value,
    isNew,
    replace: async (draft, signal) => {
      const next = { ...claim.value, ...draft };
      return (await store.writeClaim({ day, key }, next, claim.etag, signal)) !== undefined;
    },
  });
}

/** Another call works on it, until `leaseUntil` at the latest. */
export function toInProgress(now: Date, leaseUntil = new Date(now.getTime() + LEASE_MS)): Failure {
  return {
    reason: "request_in_progress",
    retryAfterSeconds: Math.max(1, Math.ceil((leaseUntil.getTime() - now.getTime()) / 1000)),
  };
}
