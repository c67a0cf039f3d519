// Pages over many days' tables, against the plain answer: all rows sorted at once. Rows in memory, so that thousands
// of cases can be tried; inbox.test.ts has the real ones.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  createNotificationId,
  DAY_MS,
  type NotificationId,
  type Position,
  toExpiryDay,
  toLivingDays,
  toPosition,
} from "../../shared/domain/id.ts";
import { type Live, type Page, readPage } from "../../shared/inbox/pages.ts";
import type { NotificationMarks, NotificationRows } from "../../shared/store/store.ts";
import { createRecipientKey } from "../helpers/rows.ts";

const never = new AbortController().signal;
const now = new Date("2026-05-01T12:00:00.000Z");
const recipientKey = createRecipientKey();

/** A row made so many milliseconds ago that expires so many days from now. */
function createMarks(
  agoMs: number,
  inDays: number,
  rest: Partial<NotificationMarks> = {},
): NotificationMarks {
  const createdAt = new Date(now.getTime() - agoMs);
  const expiresAt = new Date(now.getTime() + inDays * DAY_MS);
  return { recipientKey, id: createNotificationId(createdAt, expiresAt), createdAt, expiresAt, ...rest };
}

/** Tables in memory that tell what was read of them. */
function createMemory(initial: readonly NotificationMarks[] = []) {
  const days = new Map<number, NotificationMarks[]>();
  const seen = { queries: 0, rows: 0, open: 0, mostOpen: 0 };
  const add = (marks: NotificationMarks) => {
    const day = toExpiryDay(marks.id);
    const rows = [...(days.get(day) ?? []), marks];
    days.set(
      day,
      rows.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    );
  };
  for (const marks of initial) add(marks);
  const listMarks: NotificationRows["listMarks"] = async ({ day, after }, limit) => {
    seen.queries++;
    seen.mostOpen = Math.max(seen.mostOpen, ++seen.open);
    await Promise.resolve();
    seen.open--;
    const rows = (days.get(day) ?? []).filter(({ id }) => after === undefined || id > after).slice(0, limit);
    seen.rows += rows.length;
    return rows.map((value) => ({ value, etag: "" }));
  };
  return { rows: { listMarks }, add, seen, days };
}
type Memory = ReturnType<typeof createMemory>;

const isLive = (marks: NotificationMarks): marks is Live => marks.gone === undefined;

function read(
  { rows }: Memory,
  limit: number,
  after?: Position,
  onDamaged: (id: NotificationId) => void = () => undefined,
): Promise<Page> {
  const days = toLivingDays(now);
  return readPage({ rows, recipientKey, days, after, limit, isListed: isLive, onDamaged }, never);
}

const idsOf = ({ notifications }: Page) => notifications.map(({ id }) => id);

/** All pages to the end; `between` may change what is stored. */
async function readAll(memory: Memory, limit: number, between: (page: Page) => void = () => undefined) {
  const pages: Page[] = [];
  for (let after: Position | undefined; ;) {
    const page = await read(memory, limit, after);
    pages.push(page);
    if (page.next === undefined) return pages;
    after = page.next;
    between(page);
  }
}

const newestFirst = (rows: readonly NotificationMarks[]) =>
  rows.map(({ id }) => id).toSorted((a, b) => (toPosition(a) < toPosition(b) ? -1 : 1));

const anyRow = fc
  .record({ agoMs: fc.nat(50), inDays: fc.nat(28), isGone: fc.boolean() })
  .map(({ agoMs, inDays, isGone }) => createMarks(agoMs, inDays, isGone ? { gone: "deleted" } : {}));
const anyRows = fc.array(anyRow, { maxLength: 60 });

test("pages of any size are all that is listed, the newest first, each once; and a cursor is given only where more follows", async () => {
  await fc.assert(
    fc.asyncProperty(anyRows, fc.integer({ min: 1, max: 12 }), async (rows, limit) => {
      const pages = await readAll(createMemory(rows), limit);
      expect(pages.flatMap(idsOf)).toEqual(newestFirst(rows.filter(isLive)));
      for (const page of pages.slice(0, -1)) expect(page.notifications).toHaveLength(limit);
      expect(pages.at(-1)?.notifications.length === 0).toBe(rows.filter(isLive).length === 0);
    }),
  );
});

test("what is deleted or made between two pages makes no other one appear twice or be skipped", async () => {
  await fc.assert(
    fc.asyncProperty(anyRows, fc.integer({ min: 1, max: 6 }), fc.nat(), async (rows, limit, seed) => {
      const memory = createMemory(rows);
      const deleted = new Set<NotificationId>();
      const pages = await readAll(memory, limit, () => {
        for (const [day, stored] of memory.days) {
          const index = seed % stored.length;
          const { id } = stored[index] ?? createMarks(0, 0);
          deleted.add(id);
          // A tombstone, or the whole row where nothing is left of it.
          const rest = stored.filter((row) => row.id !== id);
          memory.days.set(
            day,
            day % 2 === 0 || rest.length === 0 ? rest.concat({ recipientKey, id, gone: "erased" }) : rest,
          );
          memory.days.get(day)?.sort((a, b) => (a.id < b.id ? -1 : 1));
        }
        memory.add(createMarks(-1 - memory.seen.queries, seed % 29)); // newer than all
      });
      const listed = pages.flatMap(idsOf);
      expect(new Set(listed).size).toBe(listed.length);
      const stayed = (ids: readonly NotificationId[]) => ids.filter((id) => !deleted.has(id));
      expect(stayed(listed)).toEqual(stayed(newestFirst(rows.filter(isLive))));
    }),
  );
});

test("an empty list costs one query for each day that anything can expire on, not all at once", async () => {
  const memory = createMemory();
  expect(await read(memory, 20)).toEqual({ notifications: [] });
  expect(memory.seen.queries).toBe(30);
  expect(memory.seen.mostOpen).toBeLessThanOrEqual(16);
  expect(memory.seen.mostOpen).toBeGreaterThan(1);
});

test("a page of the usual size over a thousand of one lifetime costs no more queries than an empty one", async () => {
  const memory = createMemory(Array.from({ length: 1_000 }, (_, i) => createMarks(i, 7)));
  expect((await read(memory, 20)).notifications).toHaveLength(20);
  expect(memory.seen).toMatchObject({ queries: 30, rows: 21 });
});

test("a call reads about a thousand rows; then a page may hold fewer, or nothing, and the next goes on behind them", async () => {
  const gone = Array.from({ length: 3_000 }, (_, i) => createMarks(i, 7, { gone: "deleted" }));
  const old = Array.from({ length: 5 }, (_, i) => createMarks(DAY_MS + i, i));
  const memory = createMemory([...gone, ...old]);
  const pages = await readAll(memory, 100, () => {
    expect(memory.seen.rows).toBeLessThanOrEqual(1_100);
    memory.seen.rows = 0;
  });
  expect(pages.flatMap(idsOf)).toEqual(newestFirst(old));
  expect(pages[0]?.notifications).toEqual([]);
  expect(pages.length).toBeLessThanOrEqual(4);
});

test("with thousands on every day a call still reads about a thousand rows, and gets on", async () => {
  const days = Array.from({ length: 29 }, (_, day) => day);
  const rows = days.flatMap((day) =>
    Array.from({ length: 60 }, (_, i) => createMarks(i * 31 + day, day, { gone: "deleted" })),
  );
  const memory = createMemory(rows);
  let pages = 0;
  for (const page of await readAll(memory, 100, () => {
    expect(memory.seen.rows).toBeLessThanOrEqual(1_100);
    memory.seen.rows = 0;
    pages++;
  }))
    expect(page.notifications).toEqual([]);
  expect(pages).toBeGreaterThan(0);
});

test("R98: damaged rows are told of and left out, and the others are listed, however they are mixed", async () => {
  await fc.assert(
    fc.asyncProperty(anyRows, fc.nat(28), fc.nat(60), async (rows, inDays, count) => {
      const damaged = Array.from({ length: count }, (_, i) => createMarks(i, inDays)).map(({ id }) => id);
      const memory = createMemory([
        ...rows,
        ...damaged.map((id): NotificationMarks => ({ recipientKey, id, isDamaged: true })),
      ]);
      const told: NotificationId[] = [];
      const page = await read(memory, 60, undefined, (id) => told.push(id));
      expect(idsOf(page)).toEqual(newestFirst(rows.filter(isLive)));
      expect(told.toSorted()).toEqual(damaged.toSorted());
    }),
  );
});
