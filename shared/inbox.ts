// What a device does with its user's notifications. I/O through what is handed in.
import type { Clock } from "./clock.ts";
import { MAX_TTL_SECONDS } from "./config.ts";
import type { Keyring } from "./crypto/keyring.ts";
import { DAY_MS, type NotificationId, toDay, toExpiryDay } from "./id.ts";
import { type Log, toCause } from "./log.ts";
import type { UserId } from "./notification.ts";
import { openPayload } from "./payload.ts";
import type { Failure } from "./problem.ts";
import { err, ok, type Result } from "./result.ts";
import type { Secret } from "./secret.ts";
import type { Store } from "./store/store.ts";

interface Fetched {
  readonly id: NotificationId;
  /** JSON text, as it was given to sendSecure. */
  readonly payload: Secret<string>;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly read: boolean;
}

export interface Inbox {
  /** A notification of this user that has not expired; the first time, the fetch is recorded. */
  readonly get: (
    id: NotificationId,
    userId: UserId,
    log: Log,
    signal: AbortSignal,
  ) => Promise<Result<Fetched, Failure>>;
}

export interface InboxOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: Clock;
}

export function createInbox({ store, keyring, clock }: InboxOptions): Inbox {
  return {
    get: async (id, userId, log, signal) => {
      const unknown = err({ reason: "notification_unknown" } as const);
      const now = clock.latest();
      const day = toExpiryDay(id);
      // Over, or later than anything could be: no row can stand there, and no storage is asked.
      if (day < toDay(now) || day > toDay(now) + (MAX_TTL_SECONDS * 1000) / DAY_MS + 1) return unknown;
      const recipientKey = (await keyring.purposes(signal)).toRecipientKey(userId);
      const found = await store.readNotification(recipientKey, id, signal);
      if (found === undefined) return unknown;
      const { createdAt, expiresAt, readAt } = found.value;
      if (expiresAt <= clock.latest()) return unknown;
      const dayKey = await keyring.findDayKey(day, signal);
      const payload = dayKey && openPayload(dayKey, found.value);
      if (payload === undefined) {
        // Damaged, or moved here from elsewhere: never served.
        log.error("payload_unreadable", { notificationId: id, hasKey: dayKey !== undefined });
        return unknown;
      }
      // Whoever could be given the payload is given it, whether the mark can be made or not.
      await store.markFetched(found, clock.now(), signal).catch((error: unknown) => {
        log.warn("fetch_not_marked", { notificationId: id, cause: toCause(error) });
      });
      if (expiresAt <= clock.latest()) return unknown; // meanwhile
      log.info("fetched", { notificationId: id });
      return ok({ id, payload, createdAt, expiresAt, read: readAt !== undefined });
    },
  };
}
