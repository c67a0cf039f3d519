// Rows of the day tables: sealed payloads with their marks, and the tombstone that replaces a payload that is gone
// (docs/storage.md).
import type { RecipientKey } from "../crypto/keyring.ts";
import { type Day, NotificationId, toDayName, toExpiryDay } from "../domain/id.ts";
import { Display, Urgency } from "../domain/notification.ts";
import { instant, isCurrent, markRow, RowDamagedError, bytes } from "./rows.ts";
import {
  GONE,
  type Gone,
  type MarkOutcome,
  type NotificationMarks,
  type NotificationRow,
  type NotificationRows,
  type StoredNotification,
  StoreUnavailableError,
  type Versioned,
} from "./store.ts";
import type { RowKey, StoredRow, Tables, Value, Values } from "./table.ts";

/** A binary property holds 64 KiB at most (Azure Tables' data model). */
const CHUNK_BYTES = 65_536;
const MAX_CHUNKS = 16;
const MARKS = ["v", "gone", "createdAt", "expiresAt", "fetchedAt", "readAt", "push"];

export const NOTIFICATIONS = "notifications";

export function toNotificationTable(day: Day): string {
  return NOTIFICATIONS + toDayName(day);
}

export function createNotificationRows(tables: Tables): NotificationRows {
  /** Replaces a row by a tombstone, whatever the row has become meanwhile. */
  async function bury(
    key: RowKey,
    toTombstone: (row: StoredRow) => Values | undefined,
    signal: AbortSignal,
  ): Promise<"buried" | "missing"> {
    for (;;) {
      const row = await tables.read(key, signal, MARKS);
      if (row === undefined) return "missing";
      const values = toTombstone(row);
      if (values === undefined) return "buried";
      if ((await tables.write(key, values, row.etag, signal)) !== undefined) return "buried";
    }
  }

  return {
    insertNotification: async (row, how, signal) => {
      const key = toNotificationKey(row.recipientKey, row.id);
      const values = toValues(row);
      for (;;) {
        if ((await tables.write(key, values, undefined, signal)) !== undefined) return;
        const found = await tables.read(key, signal, MARKS);
        if (found === undefined) continue;
        // What was taken back was promised to nobody, and may be promised anew.
        if (toGone(found.values) !== "rolledBack") return;
        if (how === "new") throw new StoreUnavailableError("it was taken back while it was written");
        if ((await tables.write(key, values, found.etag, signal)) !== undefined) return;
      }
    },
    readNotification: async (recipientKey, id, signal) => {
      const row = await tables.read(toNotificationKey(recipientKey, id), signal);
      if (row === undefined) return undefined;
      const marks = toMarks(row, recipientKey, id);
      return marks.gone === undefined ? { etag: row.etag, value: toNotification(row, marks) } : undefined;
    },
    readMarks: async (recipientKey, id, signal) => {
      const row = await tables.read(toNotificationKey(recipientKey, id), signal, MARKS);
      return row && { etag: row.etag, value: toMarks(row, recipientKey, id) };
    },
    listMarks: async (recipientKey, day, after, limit, signal) => {
      const rows = await tables.list(
        {
          table: toNotificationTable(day),
          partitionKey: recipientKey,
          select: MARKS,
          ...(after === undefined ? {} : { after }),
        },
        limit,
        signal,
      );
      return rows.map((row) => ({ etag: row.etag, value: toListedMarks(row, recipientKey) }));
    },
    markFetched: (read, at, signal) => addOnce(tables, read, "fetchedAt", at, signal),
    markRead: (read, at, signal) => addOnce(tables, read, "readAt", at, signal),
    markPush: (recipientKey, id, push, signal) =>
      markRow(
        tables,
        toNotificationKey(recipientKey, id),
        // Nothing is known any more of who was erased.
        ({ values }) => (toGone(values) === "erased" ? undefined : { push }),
        signal,
      ),
    deleteNotification: async (recipientKey, id, signal) => {
      await bury(
        toNotificationKey(recipientKey, id),
        ({ values }) => {
          if (toGone(values) !== undefined) return undefined;
          const { gone: _, v: __, ...marks } = toKnownValues(values);
          return { ...marks, gone: "deleted" };
        },
        signal,
      );
    },
    eraseNotification: async (recipientKey, id, signal) => {
      await bury(
        toNotificationKey(recipientKey, id),
        ({ values }) => (toGone(values) === "erased" ? undefined : { gone: "erased" }),
        signal,
      );
    },
    rollBackNotification: async (recipientKey, id, signal) => {
      const key = toNotificationKey(recipientKey, id);
      const tombstone = { gone: "rolledBack" };
      for (;;) {
        // Without a row, a tombstone refuses a write that is still on its way.
        const outcome = await bury(
          key,
          ({ values }) => (toGone(values) === undefined ? tombstone : undefined),
          signal,
        );
        if (outcome === "buried" || (await tables.write(key, tombstone, undefined, signal)) !== undefined)
          return;
      }
    },
  };
}

/** Adds a time to a row that has none of that name; the first one stays. */
async function addOnce(
  tables: Tables,
  { value, etag }: Versioned<NotificationMarks>,
  name: "fetchedAt" | "readAt",
  at: Date,
  signal: AbortSignal,
): Promise<MarkOutcome> {
  if (value[name] !== undefined) return "marked";
  const key = toNotificationKey(value.recipientKey, value.id);
  const added = { [name]: at };
  if ((await tables.merge(key, added, etag, signal)) !== undefined) return "marked";
  let gone: Gone | undefined;
  await markRow(
    tables,
    key,
    ({ values }) => {
      gone = toGone(values);
      return name in values || gone === "erased" ? undefined : added;
    },
    signal,
  );
  return gone === undefined ? "marked" : "gone";
}

/** The ID names its table, the token the partition: a read is one point read. */
function toNotificationKey(recipientKey: RecipientKey, id: NotificationId): RowKey {
  const day = toExpiryDay(id);
  return { table: toNotificationTable(day), day, partitionKey: recipientKey, rowKey: id };
}

function toValues({ sealed, createdAt, expiresAt, urgency, display }: NotificationRow): Values {
  const values: Record<string, Value> = { createdAt, expiresAt, urgency, display };
  const chunks = Math.ceil(sealed.length / CHUNK_BYTES);
  for (let i = 0; i < chunks; i++)
    values[`sealed${i}`] = sealed.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES);
  return { ...values, chunks };
}

/** Of a row, what its tombstone keeps. */
function toKnownValues(values: StoredRow["values"]): Values {
  const known = MARKS.filter((name) => values[name] !== undefined);
  return Object.fromEntries(known.map((name) => [name, values[name] as Value]));
}

function toGone(values: StoredRow["values"]): Gone | undefined {
  return GONE.find((gone) => gone === values["gone"]);
}

function toMarks({ values }: StoredRow, recipientKey: RecipientKey, id: NotificationId): NotificationMarks {
  if (!isCurrent(values)) throw new RowDamagedError("a notification's row is of another version");
  const gone = toGone(values);
  const push = values["push"];
  const timeOf = (name: "createdAt" | "expiresAt" | "fetchedAt" | "readAt") =>
    values[name] === undefined ? {} : { [name]: instant(values[name]) };
  return {
    recipientKey,
    id,
    ...(gone === undefined ? {} : { gone }),
    ...timeOf("createdAt"),
    ...timeOf("expiresAt"),
    ...timeOf("fetchedAt"),
    ...timeOf("readAt"),
    ...(push === "failed" || push === "noDevices" ? { push } : {}),
  };
}

/** One damaged row does not keep a user from the others. */
function toListedMarks(row: StoredRow, recipientKey: RecipientKey): NotificationMarks {
  const id = row.rowKey as NotificationId;
  try {
    NotificationId.parse(id);
    return toMarks(row, recipientKey, id);
  } catch {
    return { recipientKey, id, isDamaged: true };
  }
}

function toNotification({ values }: StoredRow, marks: NotificationMarks): StoredNotification {
  const chunks: Uint8Array[] = [];
  for (let i = 0; i < toChunkCount(values["chunks"]); i++) chunks.push(bytes(values[`sealed${i}`]));
  return {
    ...marks,
    sealed: Buffer.concat(chunks),
    createdAt: instant(values["createdAt"]),
    expiresAt: instant(values["expiresAt"]),
    urgency: Urgency.parse(values["urgency"]),
    display: Display.parse(values["display"]),
  };
}

function toChunkCount(value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_CHUNKS) return value;
  throw new RowDamagedError("a number is missing or out of range");
}
