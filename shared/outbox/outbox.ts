// Rows of work that is still to be done: whose they are, and when they are tried again. No I/O.
import type { Clock } from "../base/clock.ts";
import type { PushOutcome } from "../push/sender.ts";
import type { OutboxRow, Work } from "../store/store.ts";

/** Longer than a call may take; a lease that is over is anybody's. */
export const LEASE_MS = 15_000;
const FIRST_BACK_OFF_MS = 1_000;
/** A hub that comes back is not to wait longer for us. */
const MAX_BACK_OFF_MS = 300_000;
/** Somebody has to mend our credentials first. */
const FIRST_CREDENTIALS_BACK_OFF_MS = 60_000;
const MAX_CREDENTIALS_BACK_OFF_MS = 900_000;

/** A row for work that its maker begins at once; where they do not come to its end, redelivery takes it. */
export function toLeasedRow<W extends Work>(
  work: W,
  clock: Clock,
  createdAt = clock.now(),
): OutboxRow & { readonly work: W; readonly leaseUntil: Date } {
  return toRenewedRow({ createdAt, attempts: 0, work }, clock);
}

/** The same row, leased anew. */
export function toRenewedRow<R extends OutboxRow>(
  row: R,
  clock: Clock,
  leaseMs = LEASE_MS,
): R & { readonly dueAt: Date; readonly leaseUntil: Date } {
  const leaseUntil = new Date(clock.now().getTime() + leaseMs);
  return { ...row, dueAt: leaseUntil, leaseUntil };
}

/**
 * How long to wait after so many tries: exponentially longer, with jitter so that what failed together does not come
 * back together; at least as long as `Retry-After` said (R111).
 */
export function toBackOffMs(
  attempts: number,
  outcomes: readonly PushOutcome[] = [],
  random: () => number = Math.random,
): number {
  const isOurs = outcomes.some(({ kind }) => kind === "credentials");
  const first = isOurs ? FIRST_CREDENTIALS_BACK_OFF_MS : FIRST_BACK_OFF_MS;
  const longest = isOurs ? MAX_CREDENTIALS_BACK_OFF_MS : MAX_BACK_OFF_MS;
  const grown = Math.min(longest, first * 2 ** Math.min(attempts, 20));
  const asked = outcomes.map((outcome) => (outcome.kind === "throttled" ? outcome.retryAfterSeconds : 0));
  const askedMs = Math.max(0, ...asked) * 1000;
  // Half of it for certain, the other half by chance.
  return askedMs + (grown * (1 + random())) / 2;
}
