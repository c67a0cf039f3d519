// What a sender may know of a notification that it sent: whether it was pushed, fetched and read. I/O through the store
// and the keyring that are handed in.
import type { Clock } from "../base/clock.ts";
import type { Keyring, RecipientKey } from "../crypto/keyring.ts";
import { mapBounded } from "../base/deadline.ts";
import { MAX_TTL_SECONDS } from "../config/config.ts";
import { DAY_MS, NotificationId, toDay, toExpiryDay } from "../domain/id.ts";
import type { PushStatus, UserId } from "../domain/notification.ts";
import type { NotificationMarks, OutboxRow, Store } from "../store/store.ts";

interface Receipt {
  readonly to: UserId;
  /** `unknown`: nothing is known of it, or not any more. */
  readonly push: PushStatus | "unknown";
  readonly fetchedAt?: Date;
  readonly readAt?: Date;
}

/** A receipt for each user, in their order; duplicates count once. A text that is no ID of ours is as unknown as any. */
export type GetReceipts = (
  id: string,
  userIds: readonly UserId[],
  signal: AbortSignal,
) => Promise<readonly Receipt[]>;

export interface ReceiptsOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: Clock;
}

const MAX_PARALLEL_READS = 16;

export function createGetReceipts({ store, keyring, clock }: ReceiptsOptions): GetReceipts {
  return async (text, userIds, signal) => {
    const asked = [...new Set(userIds)];
    const id = NotificationId.safeParse(text);
    const lastDay = toDay(clock.now()) + (MAX_TTL_SECONDS * 1000) / DAY_MS + 1;
    // Later than anything could be: no row can stand there, and no storage is asked.
    if (!id.success || toExpiryDay(id.data) > lastDay)
      return asked.map((to) => ({ to, push: "unknown" as const }));
    const purposes = await keyring.purposes(signal);
    const recipientKeys = asked.map((userId) => purposes.toRecipientKey(userId));
    // The outbox first: what it concludes meanwhile is then in the marks.
    const found = await store.readOutbox(id.data, signal);
    const outbox = found?.value;
    const isUnreadable = found !== undefined && outbox === undefined;
    const marks = await mapBounded(recipientKeys, MAX_PARALLEL_READS, (recipientKey) =>
      store.readMarks(recipientKey, id.data, signal),
    );
    return asked.map((to, i) => {
      const recipientKey = recipientKeys[i];
      const mark = marks[i]?.value;
      const { fetchedAt, readAt } = mark ?? {};
      return {
        to,
        push: recipientKey === undefined ? "unknown" : toPush(recipientKey, mark, outbox, isUnreadable),
        ...(fetchedAt === undefined ? {} : { fetchedAt }),
        ...(readAt === undefined ? {} : { readAt }),
      };
    });
  };
}

function toPush(
  recipientKey: RecipientKey,
  mark: NotificationMarks | undefined,
  outbox: OutboxRow | undefined,
  isUnreadable: boolean,
): PushStatus | "unknown" {
  // Nothing is said of who was erased; what was taken back was promised to nobody.
  if (mark?.gone === "erased" || mark?.gone === "takenBack") return "unknown";
  if (outbox?.work.kind === "send") {
    if (outbox.work.owed.some((one) => one.recipientKey === recipientKey)) return "pending";
    if (mark?.push === undefined && outbox.work.failed.includes(recipientKey)) return "failed";
  }
  if (mark === undefined) return "unknown";
  // Something is still to be done, and nobody knows what.
  if (isUnreadable && mark.push === undefined) return "pending";
  return mark.push ?? "accepted";
}
