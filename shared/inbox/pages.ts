// One page of a user's notifications, the newest first. There is one table for each expiry day, sorted by ID. A page merges
// these streams and reads more rows only from a stream whose rows are used up. I/O through the rows that are passed in.
import type { RecipientKey } from "../crypto/keyring.ts";
import { mapBounded } from "../base/deadline.ts";
import { type Day, type NotificationId, type Position, toIdAt, toPosition } from "../domain/id.ts";
import type { NotificationMarks, NotificationRows } from "../store/store.ts";

/** The marks of a row that holds a payload, not a tombstone. */
export type Live = NotificationMarks & Required<Pick<NotificationMarks, "createdAt" | "expiresAt">>;

export interface Page {
  readonly notifications: readonly Live[];
  /** The next page begins after this position. Absent on the last page. */
  readonly next?: Position;
}

export interface PageOptions {
  readonly rows: Pick<NotificationRows, "listMarks">;
  readonly recipientKey: RecipientKey;
  /** The expiry days to read. */
  readonly days: { readonly first: Day; readonly last: Day };
  /** The page begins after this position. */
  readonly after: Position | undefined;
  readonly limit: number;
  readonly isListed: (marks: NotificationMarks) => marks is Live;
  readonly onDamaged: (id: NotificationId) => void;
}

/** Rows that are first read of each day: enough for most pages, and for 30 days no more than a call may read. */
const FIRST_ROWS = 25;
const MORE_ROWS = 100;
/** A page ends when this many rows were read, however many it has. */
const MAX_READ_ROWS = 1_000;
const MAX_PARALLEL_READS = 16;

/** A page may have fewer notifications than `limit`, or none, though more follow, because one call reads a limited number of rows. */
export async function readPage(options: PageOptions, signal: AbortSignal): Promise<Page> {
  const { days, limit, isListed } = options;
  const count = days.last - days.first + 1;
  const streams = Array.from({ length: count }, (_, i) => createDayStream(options, days.first + i, signal));
  const firstRows = Math.min(limit + 1, FIRST_ROWS);
  let read = 0;
  for (const rows of await mapBounded(streams, MAX_PARALLEL_READS, (stream) => stream.readOn(firstRows)))
    read += rows;

  const notifications: Live[] = [];
  let passed: Position | undefined;
  for (;;) {
    const dry = streams.find((stream) => stream.isDry());
    if (dry !== undefined) {
      if (read >= MAX_READ_ROWS) return { notifications, ...(passed === undefined ? {} : { next: passed }) };
      read += await dry.readOn(MORE_ROWS);
      continue;
    }
    const newest = findNewest(streams);
    const row = newest?.head();
    if (newest === undefined || row === undefined) return { notifications };
    if (isListed(row.marks)) {
      // Reads one notification more than the page has, so that there is a cursor only if something follows.
      if (notifications.length === limit && passed !== undefined) return { notifications, next: passed };
      notifications.push(row.marks);
    }
    passed = row.position;
    newest.take();
  }
}

interface Row {
  readonly marks: NotificationMarks;
  readonly position: Position;
}

interface DayStream {
  /** The next row, if one was read. */
  readonly head: () => Row | undefined;
  readonly take: () => void;
  /** All rows that were read are taken, and the table may have more. */
  readonly isDry: () => boolean;
  /** Reads up to this many rows more; answers how many there were. */
  readonly readOn: (limit: number) => Promise<number>;
}

function createDayStream(
  { rows, recipientKey, after, onDamaged }: PageOptions,
  day: Day,
  signal: AbortSignal,
): DayStream {
  let last = after && toIdAt(after, day);
  let buffer: readonly Row[] = [];
  let taken = 0;
  let hasEnded = false;
  return {
    head: () => buffer[taken],
    take: () => {
      taken++;
    },
    isDry: () => taken >= buffer.length && !hasEnded,
    readOn: async (limit) => {
      const found = await rows.listMarks({ recipientKey, day, after: last }, limit, signal);
      last = found.at(-1)?.value.id ?? last;
      hasEnded = found.length < limit;
      const marks = found.map(({ value }) => value);
      for (const { id } of marks.filter(({ isDamaged }) => isDamaged)) onDamaged(id);
      buffer = marks
        .filter(({ isDamaged }) => isDamaged !== true)
        .map((value) => ({ marks: value, position: toPosition(value.id) }));
      taken = 0;
      return found.length;
    },
  };
}

function findNewest(streams: readonly DayStream[]): DayStream | undefined {
  let newest: { readonly stream: DayStream; readonly position: Position } | undefined;
  for (const stream of streams) {
    const position = stream.head()?.position;
    if (position === undefined || (newest !== undefined && newest.position <= position)) continue;
    newest = { stream, position };
  }
  return newest?.stream;
}
