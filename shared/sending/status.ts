// How the pushes of a notification to its recipients ended, or that they are pending: read from its outbox row, its marks
// and its dead letter. I/O through the store.
import type { Clock } from "../base/clock.ts";
import { mapBounded } from "../base/deadline.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import type { NotificationId } from "../domain/id.ts";
import type { PushStatus } from "../domain/notification.ts";
import { isSend } from "../outbox/outbox.ts";
import type { OutboxRow, SendWork } from "../store/outboxWork.ts";
import type { NotificationMarks, Store } from "../store/store.ts";

export interface RecipientStatus {
  readonly recipientKey: RecipientKey;
  /** `unknown`: nothing is known about it, or nothing any more. */
  readonly push: PushStatus | "unknown";
  readonly marks?: NotificationMarks;
}

export interface StatusOptions {
  readonly store: Store;
  readonly clock: Clock;
}

const MAX_PARALLEL_READS = 16;

/** The status of each recipient, in their order. */
export async function readStatuses(
  { store, clock }: StatusOptions,
  id: NotificationId,
  recipientKeys: readonly RecipientKey[],
  signal: AbortSignal,
): Promise<readonly RecipientStatus[]> {
  // The outbox first: what is concluded meanwhile is then in the marks.
  const found = await store.readOutbox(id, signal);
  const row = found?.value !== undefined && isSend(found.value) ? found.value : undefined;
  const isUnreadable = found !== undefined && row === undefined;
  const all = await mapBounded(recipientKeys, MAX_PARALLEL_READS, (recipientKey) =>
    store.readMarks(recipientKey, id, signal),
  );
  // A mark goes with the day of its payload; the dead letter stays longer.
  const isUnmarked = row === undefined && all.some((marks) => marks === undefined);
  const letter = isUnmarked ? (await store.readDeadLetter(id, signal))?.value : undefined;
  const failed = row?.work.failed ?? (letter?.work.kind === "send" ? letter.work.failed : []);
  const now = clock.latest();
  return recipientKeys.map((recipientKey, i) => {
    const marks = all[i]?.value;
    const push = toStatus({ recipientKey, marks, row, failed, isUnreadable }, now);
    return { recipientKey, push, ...(marks && { marks }) };
  });
}

interface Known {
  readonly recipientKey: RecipientKey;
  readonly marks: NotificationMarks | undefined;
  readonly row: OutboxRow<SendWork> | undefined;
  readonly failed: readonly RecipientKey[];
  /** There is an outbox row that this code cannot read. */
  readonly isUnreadable: boolean;
}

function toStatus(
  { recipientKey, marks, row, failed, isUnreadable }: Known,
  now: Date,
): RecipientStatus["push"] {
  // Nothing is said of a recipient who was erased. What was rolled back was promised to nobody.
  if (marks?.gone === "erased" || marks?.gone === "rolledBack") return "unknown";
  if (row?.work.pending.some((one) => one.recipientKey === recipientKey) === true)
    return row.work.expiresAt <= now ? "failed" : "pending"; // no push is made after the expiry
  if (marks?.push === undefined && failed.includes(recipientKey)) return "failed";
  if (marks === undefined) return "unknown";
  // Something is still to be done, and nobody knows what.
  if (isUnreadable && marks.push === undefined) return "pending";
  return marks.push ?? "accepted";
}
