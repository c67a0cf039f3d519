// Rows of the day tables: sealed payloads with their marks, and the tombstone that replaces a payload that is gone
// (docs/storage.md).
import type { RecipientKey } from "../crypto/keyring.ts";
import { type Day, NotificationId, toDayName, toExpiryDay } from "../domain/id.ts";
import { Display, Urgency } from "../domain/notification.ts";
import { instant, isCurrent, RowDamagedError, bytes } from "./rows.ts";
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
const MAX_MARK_TRIES = 5;
const MARKS = ["v", "gone", "createdAt", "expiresAt", "fetchedAt", "readAt", "push"];

export const NOTIFICATIONS = "notifications";

export function toNotificationTable(day: Day): string {
  return NOTIFICATIONS + toDayName(day);
}

export function createNotificationRows(tables: Tables): NotificationRows {
  return {
    insertNotification: (row, how, signal) => insert(tables, row, how, signal),
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
    listMarks: async ({ recipientKey, day, after }, limit, signal) => {
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
    markFetched: (read, at, signal) => addOnce(tables, read, { fetchedAt: at }, signal),
    markRead: (read, at, signal) => addOnce(tables, read, { readAt: at }, signal),
    markPush: (recipientKey, id, push, signal) =>
      markRow(
        tables,
        toNotificationKey(recipientKey, id),
        // Nothing is known any more of who was erased.
        ({ values }) => (toGone(values) === "erased" ? undefined : { push }),
        signal,
      ),
    deleteNotification: async (recipientKey, id, signal) => {
      await bury(tables, toNotificationKey(recipientKey, id), toDeleted, signal);
    },
    eraseNotification: async (recipientKey, id, signal) => {
      await bury(tables, toNotificationKey(recipientKey, id), toErased, signal);
    },
    rollBackNotification: (recipientKey, id, signal) =>
      rollBack(tables, toNotificationKey(recipientKey, id), signal),
  };
}

async function insert(
  tables: Tables,
  row: NotificationRow,
  how: "new" | "again",
  signal: AbortSignal,
): Promise<void> {
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
}

/** Replaces a row by a tombstone, whatever the row has become meanwhile. */
async function bury(
  tables: Tables,
  key: RowKey,
  toTombstone: (values: StoredRow["values"]) => Values | undefined,
  signal: AbortSignal,
): Promise<"buried" | "missing"> {
  for (;;) {
    const row = await tables.read(key, signal, MARKS);
    if (row === undefined) return "missing";
    const tombstone = toTombstone(row.values);
    if (tombstone === undefined) return "buried";
    if ((await tables.write(key, tombstone, row.etag, signal)) !== undefined) return "buried";
  }
}

/** The tombstone of a row that is deleted keeps its marks. */
function toDeleted(values: StoredRow["values"]): Values | undefined {
  if (toGone(values) !== undefined) return undefined;
  const { gone: _, v: __, ...marks } = toKnownValues(values);
  return { ...marks, gone: "deleted" };
}

function toErased(values: StoredRow["values"]): Values | undefined {
  return toGone(values) === "erased" ? undefined : { gone: "erased" };
}

async function rollBack(tables: Tables, key: RowKey, signal: AbortSignal): Promise<void> {
  const tombstone = { gone: "rolledBack" };
  const toRolledBack = (values: StoredRow["values"]) =>
    toGone(values) === undefined ? tombstone : undefined;
  for (;;) {
    if ((await bury(tables, key, toRolledBack, signal)) === "buried") return;
    // Without a row, a tombstone refuses a write that is still on its way.
    if ((await tables.write(key, tombstone, undefined, signal)) !== undefined) return;
  }
}

/** Adds a time to a row that has none of its name; the first one stays. */
async function addOnce(
  tables: Tables,
  { value, etag }: Versioned<NotificationMarks>,
  added: { readonly fetchedAt: Date } | { readonly readAt: Date },
  signal: AbortSignal,
): Promise<MarkOutcome> {
  const name = "fetchedAt" in added ? "fetchedAt" : "readAt";
  if (value[name] !== undefined) return "marked";
  const key = toNotificationKey(value.recipientKey, value.id);
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

/** Adds marks to a row, without reading its payload; `decide` sees each version that the race brings and may find nothing left to do. */
async function markRow(
  tables: Tables,
  key: RowKey,
  decide: (row: StoredRow) => Values | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 0; tries < MAX_MARK_TRIES; tries++) {
    const row = await tables.read(key, signal, MARKS);
    const values = row && decide(row);
    if (row === undefined || values === undefined) return;
    if ((await tables.merge(key, values, row.etag, signal)) !== undefined) return;
  }
  throw new Error("a mark lost every race for its row");
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
