// Leases and back-off of outbox rows. No I/O.
import type { Clock } from "../base/clock.ts";
import type { PushOutcome } from "../push/sender.ts";
import type { Due, OutboxRow, QueueName, SendWork, Work } from "../store/outboxWork.ts";

/** Longer than a call may take. When a lease ends, anybody may take the row. */
export const LEASE_MS = 15_000;
const FIRST_BACK_OFF_MS = 1_000;
/** A sender that comes back does not wait longer for us. */
const MAX_BACK_OFF_MS = 300_000;
/** Somebody has to correct our credentials first. */
const FIRST_CREDENTIALS_BACK_OFF_MS = 60_000;
const MAX_CREDENTIALS_BACK_OFF_MS = 900_000;

export type LeasedRow<W extends Work = Work> = OutboxRow<W> & { readonly leaseUntil: Date };

/** A row for work that its maker begins at once. If the maker does not finish, redelivery takes it when the lease ends. */
export function toNewRow<W extends Work>(
  work: W,
  queue: QueueName,
  clock: Clock,
  createdAt: Date = clock.now(),
): LeasedRow<W> {
  const leaseUntil = new Date(clock.now().getTime() + LEASE_MS);
  return { createdAt, attempts: 0, work, due: { [queue]: leaseUntil }, leaseUntil };
}

/** The same row, leased again. Its queues find it as before, and skip it while it is leased. */
export function toLeasedRow<W extends Work>(
  row: OutboxRow<W>,
  clock: Clock,
  leaseMs = LEASE_MS,
): LeasedRow<W> {
  return { ...row, leaseUntil: new Date(clock.now().getTime() + leaseMs) };
}

/** The same row without a lease. */
export function toFreeRow<W extends Work>(row: OutboxRow<W>): OutboxRow<W> {
  const { leaseUntil: _, ...free } = row;
  return free;
}

/** Whether somebody owns the row. By the clock of leases: a process that was suspended has lost it, whatever its timers say. */
export function isLeased<W extends Work>(row: OutboxRow<W>, now: Date): row is LeasedRow<W> {
  return row.leaseUntil !== undefined && row.leaseUntil > now;
}

/** A task's row, to be worked on again after a back-off. */
export function toLaterRow(row: OutboxRow, clock: Clock): OutboxRow {
  const dueAt = new Date(clock.now().getTime() + toBackOffMs(row.attempts));
  return { ...toFreeRow(row), attempts: row.attempts + 1, due: { [row.work.kind]: dueAt } };
}

/** Whether work is a send, so that its row can be used as one. */
export function isSend(row: OutboxRow): row is OutboxRow<SendWork> {
  return row.work.kind === "send";
}

/**
 * The queues of a send: before its first try `unsent`; afterwards each sender that has pending targets, when the first
 * of them is due, and `expire`. Without pending targets there are none.
 */
export function toDue(work: SendWork, otherwiseAt: Date): Due {
  if (!work.isWritten || work.pending.some(({ targets }) => targets === undefined))
    return { unsent: otherwiseAt };
  const due: Partial<Record<QueueName, Date>> = {};
  for (const { sender, dueAt = otherwiseAt } of work.pending.flatMap(({ targets = [] }) => targets)) {
    const known = due[sender];
    if (known === undefined || dueAt < known) due[sender] = dueAt;
  }
  return Object.keys(due).length === 0 ? {} : { ...due, expire: work.expiresAt };
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
  // Half of it fixed, the other half random.
  return askedMs + (grown * (1 + random())) / 2;
}
