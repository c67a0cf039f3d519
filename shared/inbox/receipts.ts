// What a sender may know of a notification that it sent: whether it was pushed, fetched and read. I/O through the store
// and the keyring.
import type { Clock } from "../base/clock.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { NotificationId, toExpiryDay, toLivingDays } from "../domain/id.ts";
import type { PushStatus, UserId } from "../domain/notification.ts";
import { readStatuses } from "../sending/status.ts";
import type { Store } from "../store/store.ts";

interface Receipt {
  readonly to: UserId;
  /** `unknown`: nothing is known about it, or nothing any more. */
  readonly push: PushStatus | "unknown";
  readonly fetchedAt?: Date;
  readonly readAt?: Date;
}

/** A receipt for each user, in the order asked; a repeated user gets one. A text that is not an ID is as unknown as any ID. */
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

export function createGetReceipts(options: ReceiptsOptions): GetReceipts {
  return async (text, userIds, signal) => {
    const { keyring, clock } = options;
    const asked = [...new Set(userIds)];
    const id = NotificationId.safeParse(text);
    // No ID, or one that expires later than any notification can: no row can exist, and storage is not read.
    if (!id.success || toExpiryDay(id.data) > toLivingDays(clock.now()).last)
      return asked.map((to) => ({ to, push: "unknown" as const }));
    const purposes = await keyring.purposes(signal);
    const recipientKeys = asked.map((userId) => purposes.toRecipientKey(userId));
    const statuses = await readStatuses(options, id.data, recipientKeys, signal);
    return asked.map((to, i) => {
      const { push = "unknown", marks } = statuses[i] ?? {};
      const { fetchedAt, readAt } = marks ?? {};
      return {
        to,
        push,
        ...(fetchedAt === undefined ? {} : { fetchedAt }),
        ...(readAt === undefined ? {} : { readAt }),
      };
    });
  };
}
