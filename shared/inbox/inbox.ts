// What a device does with its user's notifications: fetch, list, mark read, delete. I/O through store and keyring.
import type { Clock } from "../base/clock.ts";
import type { CallContext } from "../base/context.ts";
import { toCause } from "../base/log.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Secret } from "../base/secret.ts";
import { parseCursor, toCursor } from "../crypto/cursor.ts";
import type { Keyring, RecipientKey } from "../crypto/keyring.ts";
import { openPayload } from "../crypto/payload.ts";
import { type NotificationId, toExpiryDay, toLivingDays } from "../domain/id.ts";
import type { ListQuery, UserId } from "../domain/notification.ts";
import type { Failure } from "../problem.ts";
import type { NotificationMarks, Store } from "../store/store.ts";
import { type Live, readPage } from "./pages.ts";

interface Fetched {
  readonly id: NotificationId;
  /** JSON text, as sendSecure got it. */
  readonly payload: Secret<string>;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly read: boolean;
}

interface Listed extends Omit<Fetched, "payload"> {
  /** The first fetch. */
  readonly fetchedAt?: Date;
}

interface ListedPage {
  /** The newest first. */
  readonly notifications: readonly Listed[];
  /** For the next page; absent on the last page. */
  readonly cursor?: string;
}

/** A foreign, unknown, expired or deleted ID is `notification_unknown` in every call (P2). */
export interface Inbox {
  /** The payload of a notification of this user that has not expired. Records the first fetch. */
  readonly get: (
    id: NotificationId,
    userId: UserId,
    context: CallContext,
  ) => Promise<Result<Fetched, Failure>>;
  /** The notifications of this user that have not expired. A page may have fewer than asked for though more follow. */
  readonly list: (
    query: ListQuery,
    userId: UserId,
    context: CallContext,
  ) => Promise<Result<ListedPage, Failure>>;
  /** Records when the user first read it. */
  readonly markRead: (
    id: NotificationId,
    userId: UserId,
    context: CallContext,
  ) => Promise<Result<undefined, Failure>>;
  /** Erases the payload immediately. Deleting a notification that does not exist succeeds. */
  readonly delete: (id: NotificationId, userId: UserId, context: CallContext) => Promise<void>;
}

export interface InboxOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: Clock;
}

/** One notification as a device names it. */
interface Named {
  readonly id: NotificationId;
  readonly userId: UserId;
}

const UNKNOWN = err({ reason: "notification_unknown" } as const);

export function createInbox(options: InboxOptions): Inbox {
  return {
    get: (id, userId, context) => getNotification(options, { id, userId }, context),
    list: (query, userId, context) => listNotifications(options, query, userId, context),
    markRead: (id, userId, context) => markRead(options, { id, userId }, context),
    delete: (id, userId, context) => deleteNotification(options, { id, userId }, context),
  };
}

async function getNotification(
  options: InboxOptions,
  named: Named,
  { log, signal }: CallContext,
): Promise<Result<Fetched, Failure>> {
  const { store, keyring, clock } = options;
  const { id } = named;
  const recipientKey = await findRecipientKey(options, named, signal);
  const found = recipientKey && (await store.readNotification(recipientKey, id, signal));
  if (found === undefined || !isLive(clock, found.value)) return UNKNOWN;
  const dayKey = await keyring.findDayKey(toExpiryDay(id), signal);
  const payload = dayKey && openPayload(dayKey, found.value);
  if (payload === undefined) {
    // Damaged, or copied here from another row: never served.
    log.error("payload_unreadable", { notificationId: id, hasKey: dayKey !== undefined });
    return UNKNOWN;
  }
  // The payload is served even if the fetch cannot be recorded.
  const outcome = await store.markFetched(found, clock.now(), signal).catch((error: unknown) => {
    log.warn("fetch_not_marked", { notificationId: id, cause: toCause(error) });
  });
  // Deleted or expired in the meantime.
  if (outcome === "gone" || !isLive(clock, found.value)) return UNKNOWN;
  log.info("fetched", { notificationId: id });
  const { createdAt, expiresAt, readAt } = found.value;
  return ok({ id, payload, createdAt, expiresAt, read: readAt !== undefined });
}

async function listNotifications(
  { store, keyring, clock }: InboxOptions,
  { unread, limit, cursor }: ListQuery,
  userId: UserId,
  { log, signal }: CallContext,
): Promise<Result<ListedPage, Failure>> {
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
      isListed: (marks): marks is Live => isLive(clock, marks) && !(unread && marks.readAt !== undefined),
      onDamaged: (id) => log.error("row_damaged", { notificationId: id }),
    },
    signal,
  );
  log.info("listed", { notifications: page.notifications.length, isLast: page.next === undefined });
  return ok({
    notifications: page.notifications.map(toListed),
    ...(page.next === undefined ? {} : { cursor: toCursor(purposes.cursorsKey, list, page.next) }),
  });
}

async function markRead(
  options: InboxOptions,
  named: Named,
  { log, signal }: CallContext,
): Promise<Result<undefined, Failure>> {
  const { store, clock } = options;
  const { id } = named;
  const recipientKey = await findRecipientKey(options, named, signal);
  const found = recipientKey && (await store.readMarks(recipientKey, id, signal));
  if (found === undefined || !isLive(clock, found.value)) return UNKNOWN;
  if ((await store.markRead(found, clock.now(), signal)) === "gone") return UNKNOWN;
  log.info("marked_read", { notificationId: id });
  return ok(undefined);
}

async function deleteNotification(
  options: InboxOptions,
  named: Named,
  { log, signal }: CallContext,
): Promise<void> {
  const recipientKey = await findRecipientKey(options, named, signal);
  if (recipientKey === undefined) return;
  await options.store.deleteNotification(recipientKey, named.id, signal);
  log.info("deleted", { notificationId: named.id });
}

/** The partition that a row with this ID would be in. `undefined` if no such row can exist: then no storage is read (R103). */
async function findRecipientKey(
  { keyring, clock }: InboxOptions,
  { id, userId }: Named,
  signal: AbortSignal,
): Promise<RecipientKey | undefined> {
  const day = toExpiryDay(id);
  const { first, last } = toLivingDays(clock.latest());
  if (day < first || day > last) return undefined;
  return (await keyring.purposes(signal)).toRecipientKey(userId);
}

function isLive(clock: Clock, marks: NotificationMarks): marks is Live {
  const { gone, createdAt, expiresAt } = marks;
  return (
    gone === undefined && createdAt !== undefined && expiresAt !== undefined && expiresAt > clock.latest()
  );
}

function toListed({ id, createdAt, expiresAt, fetchedAt, readAt }: Live): Listed {
  const read = readAt !== undefined;
  return { id, createdAt, expiresAt, read, ...(fetchedAt === undefined ? {} : { fetchedAt }) };
}
