// Rows of the tables of dead letters, one table for each week, dropped whole (docs/storage.md). A notification's dead
// letter lies in the week of its expiry, so that its ID names the table; a task's in the week in which it was given up.
import * as z from "zod";
import { type Day, toDay, toDayName, toExpiryDay, NotificationId } from "../domain/id.ts";
import { DEAD_LETTER_REASONS, type DeadLetter, type OutboxKey, StoredWork } from "./outboxWork.ts";
import { chunkCount, toWorkText, toWorkValues } from "./outboxRows.ts";
import { isCurrent, jsonOf, listDayTables } from "./rows.ts";
import type { DeadLetterRows } from "./store.ts";
import type { RowKey, StoredRow, Tables } from "./table.ts";

const DEAD_LETTERS = "deadletters";
const WEEK_DAYS = 7;

export function createDeadLetterRows(tables: Tables): DeadLetterRows {
  return {
    putDeadLetter: async (key, { work, ...values }, now, signal) => {
      const id = NotificationId.safeParse(key);
      const row = id.success ? toLetterKey(id.data) : toRowKeyOf(toDay(now), key);
      for (;;) {
        const found = await tables.read(row, signal, ["v"]);
        const written = await tables.write(row, { ...values, ...toWorkValues(work) }, found?.etag, signal);
        if (written !== undefined) return;
      }
    },
    readDeadLetter: async (id, signal) => {
      const row = await tables.read(toLetterKey(id), signal);
      const value = row && toDeadLetter(row);
      return value && { etag: row.etag, value };
    },
    writeDeadLetter: async (id, { work, ...values }, etag, signal) =>
      (await tables.write(toLetterKey(id), { ...values, ...toWorkValues(work) }, etag, signal)) !== undefined,
    deleteDeadLetter: (id, etag, signal) => tables.remove(toLetterKey(id), etag, signal),
    listDeadLetterWeeks: (signal) => listDayTables(tables, DEAD_LETTERS, signal),
    dropDeadLetterWeek: (week, signal) => tables.dropTable(DEAD_LETTERS + toDayName(week), signal),
  };
}

/** The Monday of a day's week. Day 0, 1970-01-01, was a Thursday. */
function toWeek(day: Day): Day {
  return day - ((day + 3) % WEEK_DAYS);
}

function toLetterKey(id: NotificationId): RowKey {
  return toRowKeyOf(toExpiryDay(id), id);
}

function toRowKeyOf(day: Day, key: OutboxKey): RowKey {
  return { table: DEAD_LETTERS + toDayName(toWeek(day)), partitionKey: key.slice(-1), rowKey: key };
}

const DeadLetterValues = z.object({
  reason: z.enum(DEAD_LETTER_REASONS),
  createdAt: z.date(),
  attempts: z.int(),
  chunks: chunkCount,
});

/** A row that this code cannot read counts as none. */
function toDeadLetter({ values }: StoredRow): DeadLetter | undefined {
  const parsed = DeadLetterValues.safeParse(values);
  if (!parsed.success || !isCurrent(values)) return undefined;
  const { chunks, ...rest } = parsed.data;
  const work = jsonOf(StoredWork).safeParse(toWorkText(values, chunks));
  return work.success ? { ...rest, work: work.data } : undefined;
}
