// What a device does with its user's notifications. I/O through what is handed in.
import type { CallContext } from "../base/context.ts";
import type { Clock } from "../base/clock.ts";
import { parseCursor, toCursor } from "../crypto/cursor.ts";
import type { Keyring, RecipientKey } from "../crypto/keyring.ts";
import { type NotificationId, toExpiryDay, toLivingDays } from "../domain/id.ts";
import { type Live, readPage } from "./pages.ts";
import { toCause } from "../base/log.ts";
import type { ListQuery, UserId } from "../domain/notification.ts";
import { openPayload } from "../crypto/payload.ts";
import type { Failure } from "../problem.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Secret } from "../base/secret.ts";
import type { NotificationMarks, Store } from "../store/store.ts";

interface Fetched {
  readonly id: NotificationId;
  /** JSON text, as it was given to sendSecure. */
  readonly payload: Secret<string>;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly read: boolean;
}

interface Listed extends Omit<Fetched, "payload"> {
  /** When it was fetched first. */
  readonly fetchedAt?: Date;
}

interface ListedPage {
  /** The newest first. */
  readonly notifications: readonly Listed[];
  /** For the next page; absent at the end. */
  readonly cursor?: string;
}

/** A foreign, unknown, expired or deleted ID is `notification_unknown` alike. */
export interface Inbox {
  /** A notification of this user that has not expired; the first time, the fetch is recorded. */
  readonly get: (
    id: NotificationId,
    userId: UserId,
    context: CallContext,
  ) => Promise<Result<Fetched, Failure>>;
  /** Those of this user that have not expired; a page may hold fewer than asked for while there are more. */
  readonly list: (
    query: ListQuery,
    userId: UserId,
    context: CallContext,
  ) => Promise<Result<ListedPage, Failure>>;
  /** Records that its user has read it; the first time stays. */
  readonly markRead: (
    id: NotificationId,
    userId: UserId,
    context: CallContext,
  ) => Promise<Result<undefined, Failure>>;
  /** Erases the payload at once; what is not there is no failure. */
  readonly delete: (id: NotificationId, userId: UserId, context: CallContext) => Promise<void>;
}

export interface InboxOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: Clock;
}

export function createInbox({ store, keyring, clock }: InboxOptions): Inbox {
  const unknown = err({ reason: "notification_unknown" } as const);

  /** Under whose key a row with this ID would stand; nothing where none can, and no storage is asked (R103). */
  async function findRecipient(
    id: NotificationId,
    userId: UserId,
    signal: AbortSignal,
  ): Promise<RecipientKey | undefined> {
    const day = toExpiryDay(id);
    const { first, last } = toLivingDays(clock.latest());
    if (day < first || day > last) return undefined;
    return (await keyring.purposes(signal)).toRecipientKey(userId);
  }

  function isLive(marks: NotificationMarks): marks is Live {
    const { gone, createdAt, expiresAt } = marks;
    return (
      gone === undefined && createdAt !== undefined && expiresAt !== undefined && expiresAt > clock.latest()
    );
  }

  return {
    get: async (id, userId, { log, signal }) => {
      const recipientKey = await findRecipient(id, userId, signal);
      const found = recipientKey && (await store.readNotification(recipientKey, id, signal));
      if (found === undefined || !isLive(found.value)) return unknown;
      const dayKey = await keyring.findDayKey(toExpiryDay(id), signal);
      const payload = dayKey && openPayload(dayKey, found.value);
      if (payload === undefined) {
        // Damaged, or moved here from elsewhere: never served.
        log.error("payload_unreadable", { notificationId: id, hasKey: dayKey !== undefined });
        return unknown;
      }
      // Whoever could be given the payload is given it, whether the mark can be made or not.
      const outcome = await store.markFetched(found, clock.now(), signal).catch((error: unknown) => {
        log.warn("fetch_not_marked", { notificationId: id, cause: toCause(error) });
      });
      if (outcome === "gone" || !isLive(found.value)) return unknown; // deleted or expired meanwhile
      log.info("fetched", { notificationId: id });
      const { createdAt, expiresAt, readAt } = found.value;
      return ok({ id, payload, createdAt, expiresAt, read: readAt !== undefined });
    },

    list: async ({ unread, limit, cursor }, userId, { log, signal }) => {
      const purposes = await keyring.purposes(signal);
      const recipientKey = purposes.toRecipientKey(userId);
      const list = [recipientKey, unread ? "unread" : "all"];
      const after = cursor === undefined ? undefined : parseCursor(purposes.cursorsKey, list, cursor);
      if (cursor !== undefined && after === undefined) return err({ reason: "cursor_invalid" });
      const page = await readPage(
        {
          rows: store,
          recipientKey,
          days: toLivingDays(clock.latest()),
          after,
          limit,
          isListed: (marks): marks is Live => isLive(marks) && !(unread && marks.readAt !== undefined),
          onDamaged: (id) => log.error("row_damaged", { notificationId: id }),
        },
        signal,
      );
      log.info("listed", { notifications: page.notifications.length, isLast: page.next === undefined });
      return ok({
        notifications: page.notifications.map(toListed),
        ...(page.next === undefined ? {} : { cursor: toCursor(purposes.cursorsKey, list, page.next) }),
      });
    },

    markRead: async (id, userId, { log, signal }) => {
      const recipientKey = await findRecipient(id, userId, signal);
      const found = recipientKey && (await store.readMarks(recipientKey, id, signal));
      if (found === undefined || !isLive(found.value)) return unknown;
      if ((await store.markRead(found, clock.now(), signal)) === "gone") return unknown;
      log.info("marked_read", { notificationId: id });
      return ok(undefined);
    },

    delete: async (id, userId, { log, signal }) => {
      const recipientKey = await findRecipient(id, userId, signal);
      if (recipientKey === undefined) return;
      await store.deleteNotification(recipientKey, id, signal);
      log.info("deleted", { notificationId: id });
    },
  };
}

function toListed({ id, createdAt, expiresAt, fetchedAt, readAt }: Live): Listed {
  const read = readAt !== undefined;
  return { id, createdAt, expiresAt, read, ...(fetchedAt === undefined ? {} : { fetchedAt }) };
}
