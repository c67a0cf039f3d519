// Idempotency keys (draft-ietf-httpapi-idempotency-key-header): one key, one request, one notification, however often
// and wherever it is tried (P4). I/O through what is handed in.
import type { CallContext } from "../base/context.ts";
import type { Clock } from "../base/clock.ts";
import type { ClaimKey } from "../crypto/keyring.ts";
import type { NotificationId } from "../domain/id.ts";
import { toCause } from "../base/log.ts";
import type { PushStatus } from "../domain/notification.ts";
import type { Failure } from "../problem.ts";
import { LEASE_MS } from "../outbox/outbox.ts";
import { untilWon } from "../store/race.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Claim, Store } from "../store/store.ts";

/** What a notification is before anything of it is stored. */
export interface Draft {
  readonly id: NotificationId;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** A key that is ours until its lease is over. */
export interface HeldClaim {
  readonly draft: Draft;
  /** Somebody began before us and did not answer: what they wrote may stand. */
  readonly isResumed: boolean;
  /** Has every later try answered so. A failure is no failure of the call: a later try then finds the same out. */
  readonly answer: (push: PushStatus, context: CallContext) => Promise<void>;
  /** Lets the next try go on at once. */
  readonly release: (context: CallContext) => Promise<void>;
}

/** `answered`: a replay of what an earlier try was answered. */
type Claimed =
  | { readonly kind: "held"; readonly claim: HeldClaim }
  | { readonly kind: "answered"; readonly draft: Draft; readonly push: PushStatus };

export interface ClaimsOptions {
  readonly store: Store;
  readonly clock: Clock;
}

/** A key is remembered for a day (R86). */
const REMEMBERED_MS = 86_400_000;

/**
 * Claims a key for a request; refuses it where it stands for another one, or where somebody is at work on it. `draft` is
 * what the notification becomes where the key is new, or forgotten.
 */
export type ClaimKeyFor = (
  key: ClaimKey,
  fingerprint: string,
  draft: Draft,
  signal: AbortSignal,
) => Promise<Result<Claimed, Failure>>;

export function createClaims({ store, clock }: ClaimsOptions): ClaimKeyFor {
  function hold(key: ClaimKey, claim: Claim, etag: string, isResumed: boolean): HeldClaim {
    const { leaseUntil: _, ...unleased } = claim;
    const replace = async (next: Claim, { log, signal }: CallContext) => {
      try {
        // Where it has changed, our lease is over and somebody else goes on.
        await store.putClaim(key, next, etag, signal);
      } catch (error) {
        log.warn("claim_not_written", { notificationId: claim.id, cause: toCause(error) });
      }
    };
    return {
      draft: claim,
      isResumed,
      answer: (push, { log, signal }) => replace({ ...unleased, push }, { log, signal }),
      release: ({ log, signal }) => replace(unleased, { log, signal }),
    };
  }

  return (key, fingerprint, draft, signal) => {
    const tryOnce = async (): Promise<Result<Claimed, Failure> | undefined> => {
      const found = await store.readClaim(key, signal);
      const now = clock.now();
      const known = found !== undefined && found.value.dropAfter > now ? found.value : undefined;
      if (known !== undefined && known.fingerprint !== fingerprint)
        return err({ reason: "idempotency_key_reused" });
      if (known?.push !== undefined) return ok({ kind: "answered", draft: known, push: known.push });
      if (known?.leaseUntil !== undefined && known.leaseUntil > now)
        return err(toInProgress(known.leaseUntil, now));
      // What was begun is gone on with, but for a notification that is over before it was promised to anyone.
      const isResumed = known !== undefined && known.expiresAt > now;
      const next: Claim = {
        ...(isResumed ? known : { ...draft, fingerprint }),
        leaseUntil: new Date(now.getTime() + LEASE_MS),
        dropAfter: new Date(now.getTime() + REMEMBERED_MS),
      };
      const etag = await store.putClaim(key, next, found?.etag, signal);
      if (etag === undefined) return undefined;
      return ok({ kind: "held", claim: hold(key, next, etag, isResumed) });
    };
    return untilWon(tryOnce, "an idempotency key was raced for too often", signal);
  };
}

/** Somebody else holds it until then. */
export function toInProgress(leaseUntil: Date, now: Date): Failure {
  return {
    reason: "request_in_progress",
    retryAfterSeconds: Math.ceil((leaseUntil.getTime() - now.getTime()) / 1000),
  };
}
