// Rows of `outbox` (docs/storage.md). In a shard's partition lie one row for each piece of work, found by its key, and one
// schedule entry for each queue that is to look at it: `due-QUEUE-TIME-KEY`. Both change together in one transaction, so
// that reading what is due is a range that starts at the beginning of its queue.
import * as z from "zod";
import { NotificationId, toCreatedAt, toLastDigit } from "../domain/id.ts";
import {
  type Due,
  type OutboxKey,
  type OutboxRow,
  QUEUES,
  type QueueName,
  StoredWork,
} from "./outboxWork.ts";
import { isCurrent, jsonOf } from "./rows.ts";
import type { OutboxChange, OutboxCount, OutboxRows, ScheduleEntry } from "./store.ts";
import type { StoredRow, TableOperation, Tables, Value, Values } from "./table.ts";
import { MAX_OPERATIONS } from "./tableBatch.ts";

/** A text property holds 32 Ki UTF-16 units at most (Azure Tables' data model); ours are ASCII. */
const CHUNK_CHARACTERS = 32_768;
const MAX_CHUNKS = 16;
const OUTBOX = "outbox";
/** Partitions. Azure Tables takes some 2,000 entities a second for each. */
export const SHARDS = 8;
/** Enough to tell an operator that there are many. */
export const MAX_COUNTED_ROWS = 1000;
const TIME_DIGITS = 15;

export function createOutboxRows(tables: Tables): OutboxRows {
  return {
    readOutbox: async (key, signal) => {
      const row = await tables.read(
        { table: OUTBOX, partitionKey: toShard(key), rowKey: toRowKey(key) },
        signal,
      );
      return row && { etag: row.etag, value: toOutboxRow(row, key) };
    },
    writeOutbox: (change, signal) => writeOne(tables, change, signal),
    writeOutboxBatch: (changes, signal) => writeBatch(tables, changes, signal),
    listDue: async ({ queue, shard, until, after }, limit, signal) => {
      const start = `due-${queue}-`;
      const rows = await tables.list(
        {
          table: OUTBOX,
          partitionKey: String(shard),
          after: after?.rowKey ?? start,
          before: start + toTimeText(until),
          select: ["v"],
        },
        limit,
        signal,
      );
      return rows.map((row) => toEntry(row, queue));
    },
    moveEntry: async ({ queue, key, partitionKey, rowKey }, dueAt, signal) => {
      const moved = dueAt === undefined ? [] : [toPut(toEntryKey(queue, dueAt, key), {})];
      await tables.transact(OUTBOX, partitionKey, [{ kind: "delete", rowKey }, ...moved], signal);
    },
    countOutbox: (signal) => countRows(tables, signal),
  };
}

/** Spread evenly by the last digit, which is random in notification IDs and in the UUIDs of tasks. */
function toShard(key: OutboxKey): string {
  return String(toLastDigit(key) % SHARDS);
}

/** Starts with the creation time, so that the oldest row of a shard comes first. */
function toRowKey(key: OutboxKey): string {
  const id = NotificationId.safeParse(key);
  return id.success ? `row-${toTimeText(toCreatedAt(id.data))}-${key}` : `row-${key.slice("task-".length)}`;
}

function toEntryKey(queue: QueueName, dueAt: Date, key: OutboxKey): string {
  return `due-${queue}-${toTimeText(dueAt)}-${key}`;
}

function toTimeText(at: Date): string {
  return String(Math.max(0, at.getTime())).padStart(TIME_DIGITS, "0");
}

/** An entry whose key nobody can have written has the key of no row, and is deleted when it is looked at. */
function toEntry({ partitionKey, rowKey }: StoredRow, queue: QueueName): ScheduleEntry {
  const rest = rowKey.slice(`due-${queue}-`.length);
  const key = rest.slice(TIME_DIGITS + 1) as OutboxKey;
  return { queue, key, dueAt: new Date(Number(rest.slice(0, TIME_DIGITS))), partitionKey, rowKey };
}

function toPut(rowKey: string, values: Values): TableOperation {
  return { kind: "put", rowKey, values };
}

function toEntryKeys(key: OutboxKey, due: Due): readonly string[] {
  return QUEUES.flatMap((queue) => {
    const dueAt = due[queue];
    return dueAt === undefined ? [] : [toEntryKey(queue, dueAt, key)];
  });
}

/** The operations of one change; the row's own comes first, and decides. */
function toOperations(change: OutboxChange): readonly TableOperation[] {
  const { key, before, after } = change;
  const old = before === undefined ? [] : toEntryKeys(key, before.value.due);
  const wanted = after === undefined ? [] : toEntryKeys(key, after.due);
  return [
    toRowOperation(change),
    ...old
      .filter((entry) => !wanted.includes(entry))
      .map((entry) => ({ kind: "delete" as const, rowKey: entry })),
    ...wanted.filter((entry) => !old.includes(entry)).map((entry) => toPut(entry, {})),
  ];
}

function toRowOperation({ key, before, after }: OutboxChange): TableOperation {
  const rowKey = toRowKey(key);
  if (after === undefined) return { kind: "delete", rowKey, ...(before && { etag: before.etag }) };
  const values = toOutboxValues(after);
  if (before === undefined) return { kind: "insert", rowKey, values };
  return { kind: "replace", rowKey, values, etag: before.etag };
}

/** Answers the ETag written, an empty text for a row that was deleted, or `undefined` where the row had changed. */
async function writeOne(
  tables: Tables,
  change: OutboxChange,
  signal: AbortSignal,
): Promise<string | undefined> {
  const partitionKey = toShard(change.key);
  const operations = toOperations(change);
  const etags = await tables.transact(OUTBOX, partitionKey, operations, signal);
  if (etags !== undefined) return etags[0] ?? "";
  const rowKey = toRowKey(change.key);
  const found = await tables.read({ table: OUTBOX, partitionKey, rowKey }, signal, ["w"]);
  if (change.after === undefined && found === undefined) return ""; // deleted already: that is what was wanted
  if (found === undefined || found.etag !== change.before?.etag) return undefined;
  // The row is as it was read, so one of its entries is missing: somebody else has deleted it.
  const kept = operations.filter((operation, i) => i === 0 || operation.kind !== "delete");
  const repaired = await tables.transact(OUTBOX, partitionKey, kept, signal);
  return repaired === undefined ? undefined : (repaired[0] ?? "");
}

async function writeBatch(
  tables: Tables,
  changes: readonly OutboxChange[],
  signal: AbortSignal,
): Promise<readonly (string | undefined)[]> {
  const results: (string | undefined)[] = [];
  for (const { shard, group } of toGroups(changes)) {
    const all = group.flatMap(({ operations }) => operations);
    const etags = await tables.transact(OUTBOX, shard, all, signal);
    let position = 0;
    for (const { change, index, operations } of group) {
      // One row that has changed undoes the whole transaction; then each is written by itself.
      results[index] = etags === undefined ? await writeOne(tables, change, signal) : (etags[position] ?? "");
      position += operations.length;
    }
  }
  return results;
}

interface IndexedChange {
  readonly change: OutboxChange;
  readonly index: number;
  readonly operations: readonly TableOperation[];
}

/** Changes of one shard, as many as one transaction takes. */
interface Group {
  readonly shard: string;
  readonly group: IndexedChange[];
  /** Operations. */
  size: number;
}

function toGroups(changes: readonly OutboxChange[]): readonly Group[] {
  const groups: Group[] = [];
  const open = new Map<string, Group>();
  for (const [index, change] of changes.entries()) {
    const operations = toOperations(change);
    const shard = toShard(change.key);
    let current = open.get(shard);
    if (current === undefined || current.size + operations.length > MAX_OPERATIONS) {
      current = { shard, group: [], size: 0 };
      groups.push(current);
      open.set(shard, current);
    }
    current.group.push({ change, index, operations });
    current.size += operations.length;
  }
  return groups;
}

/** Costs the same however many rows there are: so many of each shard are counted, the oldest first. */
async function countRows(tables: Tables, signal: AbortSignal): Promise<OutboxCount> {
  const shards = await Promise.all(
    Array.from({ length: SHARDS }, (_, shard) =>
      tables.list(
        { table: OUTBOX, partitionKey: String(shard), after: "row-", before: "row.", select: ["v"] },
        MAX_COUNTED_ROWS / SHARDS,
        signal,
      ),
    ),
  );
  const times = shards.flatMap(([first]) =>
    first === undefined ? [] : [Number(first.rowKey.slice("row-".length, "row-".length + TIME_DIGITS))],
  );
  const oldestMs = Math.min(...times.filter(Number.isFinite));
  const open = shards.reduce((sum, rows) => sum + rows.length, 0);
  return { open, ...(oldestMs === Infinity ? {} : { oldestAt: new Date(oldestMs) }) };
}

/** A row's work as properties: JSON in chunks. */
export function toWorkValues(work: unknown): Values {
  const text = JSON.stringify(work);
  const chunks = Math.ceil(text.length / CHUNK_CHARACTERS);
  const values: Record<string, Value> = { chunks };
  for (let i = 0; i < chunks; i++)
    values[`work${i}`] = text.slice(i * CHUNK_CHARACTERS, (i + 1) * CHUNK_CHARACTERS);
  return values;
}

/** The JSON text of a row's work. */
export function toWorkText(values: StoredRow["values"], chunks: number): string {
  return Array.from({ length: chunks }, (_, i) => values[`work${i}`]).join("");
}

function toOutboxValues({ createdAt, attempts, due, leaseUntil, work }: OutboxRow): Values {
  return {
    createdAt,
    attempts,
    due: JSON.stringify(due),
    ...(leaseUntil === undefined ? {} : { leaseUntil }),
    ...toWorkValues(work),
  };
}

export const chunkCount = z.int().min(1).max(MAX_CHUNKS);
const instant = z.iso.datetime().transform((text) => new Date(text));

const OutboxValues = z.object({
  createdAt: z.date(),
  attempts: z.int(),
  due: jsonOf(z.partialRecord(z.enum(QUEUES), instant)),
  leaseUntil: z.date().optional(),
  chunks: chunkCount,
});

/** A row that this code cannot read, damaged or of another version, has no value. */
function toOutboxRow({ values }: StoredRow, key: OutboxKey): OutboxRow | undefined {
  const row = OutboxValues.safeParse(values);
  if (!row.success || !isCurrent(values)) return undefined;
  const { chunks, leaseUntil, ...rest } = row.data;
  const work = jsonOf(StoredWork).safeParse(toWorkText(values, chunks));
  if (!work.success) return undefined;
  // What is pushed is an ID that this service could have made, and nothing else (P1).
  if (work.data.kind === "send" && !NotificationId.safeParse(key).success) return undefined;
  return { ...rest, work: work.data, ...(leaseUntil === undefined ? {} : { leaseUntil }) };
}
