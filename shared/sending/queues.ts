// Draining one queue of the outbox: reads what is due in each shard in turn, leases as many rows as the limiter allows,
// and records their results, one transaction for each chunk. I/O through the store.
import type { Clock } from "../base/clock.ts";
import type { CallContext } from "../base/context.ts";
import { mapBounded } from "../base/deadline.ts";
import { toCause } from "../base/log.ts";
import { isLeased, toFreeRow, toLeasedRow } from "../outbox/outbox.ts";
import type { OutboxKey, OutboxRow, QueueName } from "../store/outboxWork.ts";
import type { PushOutcome } from "../push/sender.ts";
import { SHARDS } from "../store/outboxRows.ts";
import type { OutboxChange, ScheduleEntry, Store } from "../store/store.ts";
import type { Limiter } from "./limiter.ts";

/** A row that this pass has leased. */
export interface HeldRow {
  readonly key: OutboxKey;
  readonly etag: string;
  readonly row: OutboxRow;
}

/** The result of the work on one row; without a change the row is somebody else's by now. */
export interface RowResult {
  readonly change?: OutboxChange;
  readonly outcomes: readonly PushOutcome[];
}

export interface Queue {
  readonly name: QueueName;
  readonly limiter: Limiter;
  /** For how long nothing of it is to be read. */
  readonly closedForSeconds: () => number | undefined;
  readonly work: (held: HeldRow, context: CallContext) => Promise<RowResult>;
}

/** What all queues of a pass share. */
export interface Pass {
  readonly clock: Clock;
  readonly store: Store;
  readonly context: CallContext;
  readonly counts: { done: number; postponed: number; left: number };
  /** Nothing new is to be begun. */
  readonly isOver: () => boolean;
  /** What falls due until then is still this pass's. */
  readonly lookUntil: () => Date;
}

/** Rows of one transaction: each takes up to three operations, and one of two queues a few more. */
const MAX_CHUNK_ROWS = 16;
const ROW_LEASE_MS = 30_000;
const UNREADABLE_AGAIN_MS = 3_600_000;

/** One shard's part of a queue, read in the order of due times. */
interface Cursor {
  readonly shard: number;
  after?: ScheduleEntry;
  isBusy: boolean;
  isAtEnd: boolean;
}

/** When queues have their next rows, in milliseconds, as far as this drain knows. */
export type NextDue = Map<QueueName, number>;

/** Works on all rows that are due now. A failure is one row's alone (R113). */
export async function drainQueue(queue: Queue, pass: Pass): Promise<NextDue> {
  const next: NextDue = new Map();
  const cursors: Cursor[] = Array.from({ length: SHARDS }, (_, shard) => ({
    shard,
    isBusy: false,
    isAtEnd: false,
  }));
  const running = new Set<Promise<void>>();
  let rowsInWork = 0;
  const failures: unknown[] = [];
  for (;;) {
    const cursor = cursors.find(({ isBusy, isAtEnd }) => !isBusy && !isAtEnd);
    const room = queue.limiter.limit() - rowsInWork;
    const mayBegin = !pass.isOver() && queue.closedForSeconds() === undefined && failures.length === 0;
    if (cursor !== undefined && mayBegin && (room > 0 || running.size === 0)) {
      const size = Math.min(Math.max(room, 1), MAX_CHUNK_ROWS);
      rowsInWork += size;
      cursor.isBusy = true;
      const chunk = drainChunk({ queue, pass, next }, cursor, size)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => {
          rowsInWork -= size;
          cursor.isBusy = false;
          running.delete(chunk);
        });
      running.add(chunk);
      // Other shards take a turn before this one has another.
      cursors.push(...cursors.splice(cursors.indexOf(cursor), 1));
    } else if (running.size > 0) await Promise.race(running);
    else break;
  }
  if (failures.length > 0) throw failures[0];
  const closedForSeconds = queue.closedForSeconds();
  if (closedForSeconds !== undefined)
    note(next, queue.name, new Date(pass.clock.now().getTime() + closedForSeconds * 1000));
  return next;
}

interface Drain {
  readonly queue: Queue;
  readonly pass: Pass;
  readonly next: NextDue;
}

/** Reads up to `size` entries of a shard, and works on those that are due. */
async function drainChunk(drain: Drain, cursor: Cursor, size: number): Promise<void> {
  const { queue, pass, next } = drain;
  const { store, clock, context } = pass;
  const range = {
    queue: queue.name,
    shard: cursor.shard,
    until: pass.lookUntil(),
    ...(cursor.after && { after: cursor.after }),
  };
  const entries = await store.listDue(range, size, context.signal);
  const now = clock.now();
  const due = entries.filter(({ dueAt }) => dueAt <= now);
  const later = entries[due.length];
  if (later !== undefined) note(next, queue.name, later.dueAt);
  const last = due.at(-1);
  if (last !== undefined) cursor.after = last;
  cursor.isAtEnd = later !== undefined || entries.length < size;
  const rows = await mapBounded(due, MAX_CHUNK_ROWS, (entry) => readRow(drain, entry));
  const held = await leaseRows(
    pass,
    rows.filter((row) => row !== undefined),
  );
  const results = await Promise.all(held.map((row) => workOn(drain, row)));
  await writeResults(drain, results);
}

/** The row of an entry, if it can be worked on now. An entry that no row knows is deleted. */
async function readRow({ queue, pass, next }: Drain, entry: ScheduleEntry): Promise<HeldRow | undefined> {
  const { store, clock, context } = pass;
  const { log, signal } = context;
  try {
    const found = await store.readOutbox(entry.key, signal);
    const row = found?.value;
    if (found !== undefined && row === undefined) {
      log.error("row_damaged", { table: "outbox", key: entry.key });
      await store.moveEntry(entry, new Date(clock.now().getTime() + UNREADABLE_AGAIN_MS), signal);
      pass.counts.postponed++;
      return undefined;
    }
    if (found === undefined || row?.due[queue.name]?.getTime() !== entry.dueAt.getTime()) {
      await store.moveEntry(entry, undefined, signal);
      return undefined;
    }
    if (isLeased(row, clock.now())) {
      note(next, queue.name, row.leaseUntil);
      return undefined;
    }
    return { key: entry.key, etag: found.etag, row };
  } catch (error) {
    signal.throwIfAborted();
    leave(pass, entry.key, error);
    return undefined;
  }
}

/** Leases rows in one transaction for each shard; what somebody else has leased meanwhile is left out. */
async function leaseRows(pass: Pass, rows: readonly HeldRow[]): Promise<readonly HeldRow[]> {
  const { store, clock, context } = pass;
  if (rows.length === 0) return [];
  const changes = rows.map(({ key, etag, row }) => ({
    key,
    before: { etag, value: row },
    after: toLeasedRow(row, clock, ROW_LEASE_MS),
  }));
  try {
    const etags = await store.writeOutboxBatch(changes, context.signal);
    return changes.flatMap(({ key, after }, i) => {
      const etag = etags[i];
      return etag === undefined ? [] : [{ key, etag, row: after }];
    });
  } catch (error) {
    context.signal.throwIfAborted();
    for (const { key } of rows) leave(pass, key, error);
    return [];
  }
}

async function workOn({ queue, pass }: Drain, held: HeldRow): Promise<RowResult> {
  const { context } = pass;
  const isSend = held.row.work.kind === "send";
  const log = context.log.with(isSend ? { notificationId: held.key } : { task: held.key });
  // The gate may have closed since the row was leased: it is given back as it was.
  if (pass.isOver() || queue.closedForSeconds() !== undefined)
    return { change: toChange(held, toFreeRow(held.row)), outcomes: [] };
  try {
    const result = await queue.work(held, { ...context, log });
    queue.limiter.note(result.outcomes);
    return result;
  } catch (error) {
    context.signal.throwIfAborted();
    leave(pass, held.key, error); // its lease ends by itself, and then it is tried again
    return { outcomes: [] };
  }
}

function toChange({ key, etag, row }: HeldRow, after?: OutboxRow): OutboxChange {
  return { key, before: { etag, value: row }, ...(after && { after }) };
}

async function writeResults({ pass, next }: Drain, results: readonly RowResult[]): Promise<void> {
  const { store, context, counts } = pass;
  const changes = results.flatMap(({ change }) => (change === undefined ? [] : [change]));
  if (changes.length === 0) return;
  try {
    const written = await store.writeOutboxBatch(changes, context.signal);
    for (const [i, { after }] of changes.entries()) {
      if (written[i] === undefined) continue;
      if (after === undefined) counts.done++;
      else counts.postponed++;
      for (const [queue, dueAt] of Object.entries(after?.due ?? {})) note(next, queue as QueueName, dueAt);
    }
  } catch (error) {
    context.signal.throwIfAborted();
    for (const { key } of changes) leave(pass, key, error);
  }
}

function note(next: NextDue, queue: QueueName, dueAt: Date): void {
  next.set(queue, Math.min(next.get(queue) ?? Infinity, dueAt.getTime()));
}

function leave({ counts, context }: Pass, key: OutboxKey, error: unknown): void {
  counts.left++;
  context.log.warn("row_left", { key, cause: toCause(error) });
}
