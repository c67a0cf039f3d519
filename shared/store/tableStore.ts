// Our rows in Azure Table Storage: which table, which keys, which properties (docs/storage.md).
import type { WrappedKey } from "../crypto/kek.ts";
import { both } from "../base/deadline.ts";
import { toDayName } from "../domain/id.ts";
import { createClaimRows } from "./claimRows.ts";
import { createDeadLetterRows } from "./deadLetterRows.ts";
import { createInstallationRows } from "./installationRows.ts";
import { createNotificationRows, NOTIFICATIONS, toNotificationTable } from "./notificationRows.ts";
import { createOutboxRows } from "./outboxRows.ts";
import { createPauseRows } from "./pauseRows.ts";
import { bytes, eraseRow, isCurrent, listDayTables, parseDayNames, RowDamagedError, text } from "./rows.ts";
import type { Store } from "./store.ts";
import type { RowKey, StoredRow, Tables } from "./table.ts";

export function createTableStore(tables: Tables): Store {
  return {
    ...createNotificationRows(tables),
    ...createInstallationRows(tables),
    ...createOutboxRows(tables),
    ...createDeadLetterRows(tables),
    ...createPauseRows(tables),
    ...createClaimRows(tables),

    readKey: async (kind, name, signal) => {
      const row = await tables.read(toKeyRowKey(kind, name), signal);
      return row && { ...toWrappedKey(row), etag: row.etag };
    },
    insertKey: async (kind, name, { kekId, wrapped }, signal) => {
      const key = toKeyRowKey(kind, name);
      if ((await tables.write(key, { kekId, wrapped }, undefined, signal)) !== undefined)
        return { kekId, wrapped };
      const winner = await tables.read(key, signal);
      if (winner === undefined) throw new Error("a key row came and went");
      return toWrappedKey(winner);
    },
    replaceKey: async (kind, name, { key: { kekId, wrapped }, etag }, signal) => {
      const written = await tables.write(toKeyRowKey(kind, name), { kekId, wrapped }, etag, signal);
      return written === undefined ? "changed" : "written";
    },

    listDays: async (signal) => {
      const [days, keys] = await both(
        listDayTables(tables, NOTIFICATIONS, signal),
        tables.list({ table: "keys", partitionKey: "day" }, Infinity, signal),
      );
      return {
        tables: new Set(days),
        keys: new Set(parseDayNames(keys.map(({ rowKey }) => rowKey))),
      };
    },
    prepareDay: (day, signal) => tables.makeTable(toNotificationTable(day), day, signal),
    dropDay: async (day, signal) => {
      // The key first: from then on nothing of the day opens, whatever becomes of the table.
      await eraseRow(tables, toKeyRowKey("day", toDayName(day)), signal);
      await tables.dropTable(toNotificationTable(day), signal);
    },

    ping: async (signal) => {
      await tables.read(toKeyRowKey("root", "v1"), signal);
    },
  };
}

function toKeyRowKey(kind: "root" | "day", name: string): RowKey {
  return { table: "keys", partitionKey: kind, rowKey: name };
}

function toWrappedKey({ values }: StoredRow): WrappedKey {
  if (!isCurrent(values)) throw new RowDamagedError("a key's row is of another version");
  return { kekId: text(values["kekId"]), wrapped: bytes(values["wrapped"]) };
}
