// Our rows in Azure Table Storage: which table, which keys, which properties (docs/storage.md).
import * as z from "zod";
import type { WrappedKey } from "../crypto/kek.ts";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { both, mapBounded } from "../deadline.ts";
import { type Day, type NotificationId, parseDayName, toDayName, toExpiryDay } from "../id.ts";
import { Display, type InstallationId, PLATFORMS, Urgency } from "../notification.ts";
import type {
  ChannelHolder,
  ChannelRow,
  InstallationRow,
  NotificationRow,
  Store,
  StoredNotification,
  Versioned,
} from "./store.ts";
import { ROW_VERSION, type RowKey, type StoredRow, type Tables, type Value, type Values } from "./table.ts";

/** A binary property holds 64 KiB at most (Azure Tables' data model). */
const CHUNK_BYTES = 65_536;
const MAX_MARK_TRIES = 5;
/** Of one table in one pass; what is left is the next one's. */
const MAX_STALE_ROWS = 1000;
const MAX_PARALLEL_DROPS = 8;

/** A row that this code cannot have written: damaged, or moved by somebody. It is never served. */
class RowDamagedError extends Error {
  readonly code = "ROW_DAMAGED";
}

export function createTableStore(tables: Tables): Store {
  /** Adds marks to a row; `decide` sees each version that the race brings and may find nothing left to do. */
  async function mark(
    key: RowKey,
    decide: (row: StoredRow) => Values | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    for (let tries = 0; tries < MAX_MARK_TRIES; tries++) {
      const row = await tables.read(key, signal);
      const values = row && decide(row);
      if (row === undefined || values === undefined) return;
      if ((await tables.merge(key, values, row.etag, signal)) === "written") return;
    }
    throw new Error("a mark lost every race for its row");
  }

  /** Deletes a row, whatever it has become meanwhile. */
  async function erase(key: RowKey, signal: AbortSignal): Promise<void> {
    for (;;) {
      const row = await tables.read(key, signal);
      if (row === undefined || (await tables.remove(key, row.etag, signal)) === "written") return;
    }
  }

  return {
    insertNotification: async (row, signal) => {
      const outcome = await tables.insert(toNotificationKey(row.recipientKey, row.id), toValues(row), signal);
      if (outcome === "changed") throw new Error("a notification ID was drawn twice");
    },
    readNotification: async (recipientKey, id, signal) => {
      const row = await tables.read(toNotificationKey(recipientKey, id), signal);
      return row && { etag: row.etag, value: toNotification(row, recipientKey, id) };
    },
    markFetched: async ({ value, etag }, at, signal) => {
      if (value.fetchedAt !== undefined) return;
      const key = toNotificationKey(value.recipientKey, value.id);
      const fetched = { fetchedAt: at };
      if ((await tables.merge(key, fetched, etag, signal)) === "written") return;
      await mark(key, (row) => ("fetchedAt" in row.values ? undefined : fetched), signal);
    },
    markPush: (recipientKey, id, push, signal) =>
      mark(toNotificationKey(recipientKey, id), () => ({ push }), signal),
    takeBackNotification: async (recipientKey, id, signal) => {
      await erase(toNotificationKey(recipientKey, id), signal);
    },

    listInstallations: async (recipientKey, signal) =>
      (await tables.list("installations", recipientKey, signal)).map(toInstallation),
    readInstallation: async (holder, signal) => {
      const row = await tables.read(toInstallationKey(holder), signal);
      return row && toInstallation(row);
    },
    writeInstallation: (row, etag, signal) => {
      const { recipientKey, installationId, leaving, ...rest } = row;
      const key = toInstallationKey({ recipientKey, installationId });
      const values = { ...rest, leaving: JSON.stringify(leaving) };
      return etag === undefined
        ? tables.insert(key, values, signal)
        : tables.replace(key, values, etag, signal);
    },
    deleteInstallation: (holder, etag, signal) => tables.remove(toInstallationKey(holder), etag, signal),

    readChannel: async (channelKey, signal) => {
      const row = await tables.read(toChannelRowKey(channelKey), signal);
      return row && toChannel(row);
    },
    writeChannel: (channelKey, { holder, displaced, isSettled }, etag, signal) => {
      const key = toChannelRowKey(channelKey);
      const named = holder && { recipientKey: holder.recipientKey, installationId: holder.installationId };
      const values = { ...named, displaced: JSON.stringify(displaced), isSettled };
      return etag === undefined
        ? tables.insert(key, values, signal)
        : tables.replace(key, values, etag, signal);
    },
    deleteChannel: (channelKey, etag, signal) => tables.remove(toChannelRowKey(channelKey), etag, signal),

    readKey: async (kind, name, signal) => {
      const row = await tables.read(toKeyRowKey(kind, name), signal);
      return row && { ...toWrappedKey(row), etag: row.etag };
    },
    insertKey: async (kind, name, { kekId, wrapped }, signal) => {
      const key = toKeyRowKey(kind, name);
      if ((await tables.insert(key, { kekId, wrapped }, signal)) === "written") return { kekId, wrapped };
      const winner = await tables.read(key, signal);
      if (winner === undefined) throw new Error("a key row came and went");
      return toWrappedKey(winner);
    },
    replaceKey: (kind, name, { kekId, wrapped }, etag, signal) =>
      tables.replace(toKeyRowKey(kind, name), { kekId, wrapped }, etag, signal),

    listDays: async (signal) => {
      const [names, keys] = await both(
        tables.listTables(NOTIFICATIONS, signal),
        tables.list("keys", "day", signal),
      );
      return {
        tables: toDays(names.map((name) => name.slice(NOTIFICATIONS.length))),
        keys: toDays(keys.map(({ rowKey }) => rowKey)),
      };
    },
    prepareDay: (day, signal) => tables.makeTable(toNotificationTable(day), day, signal),
    dropDay: async (day, signal) => {
      // The key first: from then on nothing of the day opens, whatever becomes of the table.
      await erase(toKeyRowKey("day", toDayName(day)), signal);
      await tables.dropTable(toNotificationTable(day), signal);
    },

    dropStale: async (now, signal) => {
      let dropped = 0;
      for (const table of ["outbox", "idempotency"]) {
        const rows = await tables.listPast(table, "dropAfter", now, MAX_STALE_ROWS, signal);
        const outcomes = await mapBounded(rows, MAX_PARALLEL_DROPS, ({ partitionKey, rowKey, etag }) =>
          // One that has changed since is in use again.
          tables.remove({ table, partitionKey, rowKey }, etag, signal),
        );
        dropped += outcomes.filter((outcome) => outcome === "written").length;
      }
      return dropped;
    },

    ping: async (signal) => {
      await tables.read(toKeyRowKey("root", "v1"), signal);
    },
  };
}

const NOTIFICATIONS = "notifications";

function toNotificationTable(day: Day): string {
  return NOTIFICATIONS + toDayName(day);
}

/** What is named otherwise is not ours. */
function toDays(names: readonly string[]): ReadonlySet<Day> {
  return new Set(names.map(parseDayName).filter((day) => day !== undefined));
}

/** The ID names its table, the token the partition: a read is one point read. */
function toNotificationKey(recipientKey: RecipientKey, id: NotificationId): RowKey {
  const day = toExpiryDay(id);
  return { table: toNotificationTable(day), day, partitionKey: recipientKey, rowKey: id };
}

function toInstallationKey({ recipientKey, installationId }: ChannelHolder): RowKey {
  return { table: "installations", partitionKey: recipientKey, rowKey: installationId };
}

/** Spread over 256 partitions by the hash itself. */
function toChannelRowKey(channelKey: ChannelKey): RowKey {
  return { table: "channels", partitionKey: channelKey.slice(0, 2), rowKey: channelKey };
}

function toKeyRowKey(kind: "root" | "day", name: string): RowKey {
  return { table: "keys", partitionKey: kind, rowKey: name };
}

function toValues({ sealed, createdAt, expiresAt, urgency, display }: NotificationRow): Values {
  const values: Record<string, Value> = { createdAt, expiresAt, urgency, display };
  const chunks = Math.ceil(sealed.length / CHUNK_BYTES);
  for (let i = 0; i < chunks; i++)
    values[`sealed${i}`] = sealed.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES);
  return { ...values, chunks };
}

function toNotification(
  { values }: StoredRow,
  recipientKey: RecipientKey,
  id: NotificationId,
): StoredNotification {
  if (!isCurrent(values)) throw new RowDamagedError("a notification's row is of another version");
  const chunks: Uint8Array[] = [];
  for (let i = 0; i < number(values["chunks"]); i++) chunks.push(bytes(values[`sealed${i}`]));
  const push = values["push"];
  return {
    recipientKey,
    id,
    sealed: Buffer.concat(chunks),
    createdAt: instant(values["createdAt"]),
    expiresAt: instant(values["expiresAt"]),
    urgency: Urgency.parse(values["urgency"]),
    display: Display.parse(values["display"]),
    ...("fetchedAt" in values ? { fetchedAt: instant(values["fetchedAt"]) } : {}),
    ...("readAt" in values ? { readAt: instant(values["readAt"]) } : {}),
    ...(push === "failed" || push === "no-devices" ? { push } : {}),
  };
}

/** A row that this code cannot read, damaged or of another version, has no value, and can still be replaced. */
function toInstallation({
  partitionKey,
  rowKey,
  etag,
  values,
}: StoredRow): Versioned<InstallationRow | undefined> {
  const parsed = InstallationValues.safeParse(values);
  if (!parsed.success || !isCurrent(values)) return { etag, value: undefined };
  const recipientKey = partitionKey as RecipientKey;
  return { etag, value: { recipientKey, installationId: rowKey as InstallationId, ...parsed.data } };
}

const channelKey = z.custom<ChannelKey>((value) => typeof value === "string");

/** A property that holds JSON, since a table has no lists. */
function jsonOf<T>(schema: z.ZodType<T>): z.ZodType<T> {
  return z
    .string()
    .transform((value, context): unknown => {
      try {
        return JSON.parse(value);
      } catch {
        context.addIssue({ code: "custom", message: "is not JSON" });
        return z.NEVER;
      }
    })
    .pipe(schema);
}

const InstallationValues = z.object({
  platform: z.enum(PLATFORMS),
  channelKey,
  sealedPushChannel: z.instanceof(Uint8Array),
  changedAt: z.date(),
  renewedAt: z.date(),
  leaving: jsonOf(z.array(channelKey)),
});

const Holder = z.object({
  recipientKey: z.custom<RecipientKey>((value) => typeof value === "string"),
  installationId: z.custom<InstallationId>((value) => typeof value === "string"),
});

const ChannelValues = z.object({ displaced: jsonOf(z.array(Holder)), isSettled: z.boolean() });

function toWrappedKey({ values }: StoredRow): WrappedKey {
  if (!isCurrent(values)) throw new RowDamagedError("a key's row is of another version");
  return { kekId: text(values["kekId"]), wrapped: bytes(values["wrapped"]) };
}

function toChannel({ etag, values }: StoredRow): Versioned<ChannelRow> {
  const parsed = ChannelValues.safeParse(values);
  // What cannot be read names nobody, and whoever claims the channel next replaces it.
  if (!parsed.success || !isCurrent(values)) return { etag, value: { displaced: [], isSettled: false } };
  const holder = Holder.safeParse(values);
  return { etag, value: { ...parsed.data, ...(holder.success ? { holder: holder.data } : {}) } };
}

/** A row of a shape that this code does not know is not read as if it were of this one. */
function isCurrent(values: StoredRow["values"]): boolean {
  return values["v"] === ROW_VERSION;
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  throw new RowDamagedError("a text is missing");
}

function number(value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 16) return value;
  throw new RowDamagedError("a number is missing or out of range");
}

function bytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new RowDamagedError("bytes are missing");
}

function instant(value: unknown): Date {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value;
  throw new RowDamagedError("a time is missing");
}
