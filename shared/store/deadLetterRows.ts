// Rows of the tables of dead letters, one table for each week, dropped whole (docs/storage.md). A notification's dead
// letter lies in the week of its expiry, so that its ID names the table; a task's in the week in which it was given up.
import * as z from "zod";
import { type Day, toDay, toDayName, toExpiryDay, parseDayName, NotificationId } from "../domain/id.ts";
import { DEAD_LETTER_REASONS, type DeadLetter, type OutboxKey, StoredWork } from "../outbox/work.ts";
import { chunkCount, toWorkText, toWorkValues } from "./outboxRows.ts";
import { isCurrent, jsonOf } from "./rows.ts";
import type { DeadLetterRows } from "./store.ts";
import type { RowKey, StoredRow, Tables } from "./table.ts";

const DEAD_LETTERS = "deadletters";
const WEEK_DAYS = 7;

export function createDeadLetterRows(tables: Tables): DeadLetterRows {
  return {
    putDeadLetter: async (key, { work, ...values }, now, signal) => {
      const row = toKey(key, now);
      for (;;) {
        const found = await tables.read(row, signal, ["v"]);
        const written = await tables.write(row, { ...values, ...toWorkValues(work) }, found?.etag, signal);
        if (written !== undefined) return;
      }
    },
    readDeadLetter: async (id, signal) => {
      const row = await tables.read(toKey(id, new Date(0)), signal);
      const value = row && toDeadLetter(row);
      return value && { etag: row.etag, value };
    },
    writeDeadLetter: async (id, { work, ...values }, etag, signal) =>
      (await tables.write(toKey(id, new Date(0)), { ...values, ...toWorkValues(work) }, etag, signal)) !==
      undefined,
    deleteDeadLetter: (id, etag, signal) => tables.remove(toKey(id, new Date(0)), etag, signal),
    listDeadLetterWeeks: async (signal) => {
      const names = await tables.listTables(DEAD_LETTERS, signal);
      return names
        .map((name) => parseDayName(name.slice(DEAD_LETTERS.length)))
        .filter((day) => day !== undefined);
    },
    dropDeadLetterWeek: (week, signal) => tables.dropTable(DEAD_LETTERS + toDayName(week), signal),
  };
}

/** The Monday of a day's week. Day 0, 1970-01-01, was a Thursday. */
function toWeek(day: Day): Day {
  return day - ((day + 3) % WEEK_DAYS);
}

function toKey(key: OutboxKey, now: Date): RowKey {
  const id = NotificationId.safeParse(key);
  const week = toWeek(id.success ? toExpiryDay(id.data) : toDay(now));
  return { table: DEAD_LETTERS + toDayName(week), partitionKey: key.slice(-1), rowKey: key };
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
