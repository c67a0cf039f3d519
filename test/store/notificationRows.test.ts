// Rows of notifications in Azurite: what is written comes back, races lose no mark, and what is gone stays gone.
import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { createNotificationId, DAY_MS, NotificationId, toDay, toExpiryDay } from "../../shared/domain/id.ts";
import { GONE, type NotificationRow } from "../../shared/store/store.ts";
import {
  createForgetfulStore,
  createNotification,
  createRecipientKey,
  tableOf,
  toRecipientKey,
} from "../helpers/rows.ts";
import { createTestStore, type TestStore } from "../helpers/store.ts";

const never = new AbortController().signal;
const KIB = 1024;
const noon = new Date("2026-05-01T12:00:00.000Z");

type Key = Pick<NotificationRow, "recipientKey" | "id">;

async function readBack({ store }: TestStore, { recipientKey, id }: Key) {
  const found = await store.readNotification(recipientKey, id, never);
  if (found === undefined) throw new Error("the notification is missing");
  return found;
}

async function readMarks({ store }: TestStore, { recipientKey, id }: Key) {
  const found = await store.readMarks(recipientKey, id, never);
  if (found === undefined) throw new Error("the row is missing");
  return found;
}

/** What whoever holds the account sees of a row, but for what every row has. */
async function readRaw({ rawTable }: TestStore, row: Key): Promise<Readonly<Record<string, unknown>>> {
  const {
    etag: _,
    timestamp: __,
    partitionKey: ___,
    rowKey: ____,
    v,
    w,
    ...own
  } = await rawTable(tableOf(row)).getEntity(row.recipientKey, row.id);
  expect(v).toBe(1);
  expect(w).toMatch(/^[0-9a-f-]{36}$/);
  return Object.fromEntries(Object.entries(own).filter(([name]) => !name.startsWith("odata")));
}

describe("notifications", () => {
  let shared: TestStore;
  beforeAll(() => {
    shared = createTestStore();
  });

  // The largest is a payload of 900 KiB, sealed; a sealed text is never shorter than 28 bytes, the rest is for safety.
  test.each([
    0,
    1,
    28,
    29,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    128 * KIB - 1,
    128 * KIB,
    128 * KIB + 1,
    256 * KIB + 28,
    900 * KIB,
    900 * KIB + 28,
  ])("R97: %i sealed bytes come back as they were", async (size) => {
    const row = createNotification({ sealed: randomBytes(size) });
    await shared.store.insertNotification(row, "again", never);
    const { value, etag } = await readBack(shared, row);
    expect(Buffer.from(value.sealed).equals(row.sealed)).toBe(true);
    expect({ ...value, sealed: row.sealed }).toEqual(row);
    expect(etag).not.toBe("");
  });

  test("the order of chunks is that of the bytes, past the tenth too", async () => {
    const sealed = Buffer.concat(Array.from({ length: 14 }, (_, i) => Buffer.alloc(64 * KIB, i)));
    const row = createNotification({ sealed });
    await shared.store.insertNotification(row, "again", never);
    expect(Buffer.from((await readBack(shared, row)).value.sealed).equals(sealed)).toBe(true);
  });

  test.each([0, 1, 7, 99, 100, 120, 999])("an expiry %i ms past the second keeps them", async (ms) => {
    const createdAt = new Date(Math.floor(Date.now() / 1000) * 1000 + ms);
    const expiresAt = new Date(createdAt.getTime() + DAY_MS);
    const row = createNotification({ createdAt, expiresAt, id: createNotificationId(createdAt, expiresAt) });
    await shared.store.insertNotification(row, "again", never);
    expect((await readBack(shared, row)).value).toMatchObject({ createdAt, expiresAt });
  });

  test("each expiry day has a table of its own, made with its first row by ten instances at once", async () => {
    const { prefix, listTables } = createTestStore();
    const rows = Array.from({ length: 10 }, (_, i) => {
      const expiresAt = new Date(Date.now() + (i % 2) * DAY_MS + DAY_MS);
      return createNotification({ expiresAt, id: createNotificationId(new Date(), expiresAt) });
    });
    await Promise.all(
      rows.map((row) => createTestStore({ prefix }).store.insertNotification(row, "again", never)),
    );
    expect(await listTables()).toEqual([...new Set(rows.map(tableOf))].toSorted());
    for (const row of rows) await readBack(createTestStore({ prefix }), row);
  });

  test("another user's key, another id, or another day's table finds nothing", async () => {
    const row = createNotification();
    await shared.store.insertNotification(row, "again", never);
    const other = createNotification();
    const dayLater = createNotificationId(row.createdAt, new Date(row.expiresAt.getTime() + DAY_MS));
    expect(await shared.store.readNotification(other.recipientKey, row.id, never)).toBeUndefined();
    expect(await shared.store.readNotification(row.recipientKey, other.id, never)).toBeUndefined();
    expect(await shared.store.readNotification(row.recipientKey, dayLater, never)).toBeUndefined();
  });

  test("R90: keys that differ in case alone are two partitions", async () => {
    const row = createNotification({ recipientKey: toRecipientKey("Aa".padEnd(43, "x")) });
    await shared.store.insertNotification(row, "again", never);
    const folded = toRecipientKey(row.recipientKey.toLowerCase());
    expect(await shared.store.readNotification(folded, row.id, never)).toBeUndefined();
  });

  test("R103: a dropped table is an unknown notification and nothing to mark, and no read makes it anew", async () => {
    const { store, rawTable, listTables, ...rest } = createTestStore();
    const row = createNotification();
    await store.insertNotification(row, "again", never);
    const found = await readBack({ store, rawTable, listTables, ...rest }, row);
    await rawTable(tableOf(row)).deleteTable();
    expect(await store.readNotification(row.recipientKey, row.id, never)).toBeUndefined();
    await store.markFetched(found, new Date(), never);
    await store.markPush(row.recipientKey, row.id, "failed", never);
    await store.markRead(found, new Date(), never);
    await store.deleteNotification(row.recipientKey, row.id, never);
    await store.eraseNotification(row.recipientKey, row.id, never);
    expect(await store.readMarks(row.recipientKey, row.id, never)).toBeUndefined();
    expect(await listTables()).toEqual([]);
  });

  test.each([1, 2, 400])("R103: no table is made for a day that was over %i days ago", async (days) => {
    const { store, listTables } = createTestStore();
    const expiresAt = new Date(Date.now() - days * DAY_MS);
    const row = createNotification({ expiresAt, id: createNotificationId(expiresAt, expiresAt) });
    await expect(store.insertNotification(row, "again", never)).rejects.toThrow("a day that is over");
    expect(await listTables()).toEqual([]);
  });

  test("R93: a row that stands there already is left as it is", async () => {
    const row = createNotification();
    await shared.store.insertNotification(row, "again", never);
    const forged = { ...row, sealed: randomBytes(50) };
    await shared.store.insertNotification(forged, "again", never);
    expect(Buffer.from((await readBack(shared, row)).value.sealed).equals(row.sealed)).toBe(true);
  });
});

describe("marks", () => {
  let shared: TestStore;
  beforeAll(() => {
    shared = createTestStore();
  });

  test("the first fetch is recorded once, whatever is tried later", async () => {
    const row = createNotification();
    await shared.store.insertNotification(row, "again", never);
    const unread = await readBack(shared, row);
    const first = new Date("2026-05-01T12:00:00.123Z");
    await shared.store.markFetched(unread, first, never);
    await shared.store.markFetched(unread, new Date("2026-05-01T12:00:01Z"), never); // an old version
    await shared.store.markFetched(await readBack(shared, row), new Date("2026-05-01T12:00:02Z"), never);
    expect((await readBack(shared, row)).value.fetchedAt).toEqual(first);
  });

  test("of many first fetches at once one is recorded, and the payload stays", async () => {
    const row = createNotification({ sealed: randomBytes(100 * KIB) });
    await shared.store.insertNotification(row, "again", never);
    const unread = await readBack(shared, row);
    const times = Array.from({ length: 20 }, (_, i) => new Date(Date.UTC(2026, 4, 1, 12, 0, i)));
    await Promise.all(times.map((at) => shared.store.markFetched(unread, at, never)));
    const { value } = await readBack(shared, row);
    expect(times).toContainEqual(value.fetchedAt);
    expect(Buffer.from(value.sealed).equals(row.sealed)).toBe(true);
  });

  test("the first reading is recorded once, whatever is tried later", async () => {
    const row = createNotification();
    await shared.store.insertNotification(row, "again", never);
    const unread = await readMarks(shared, row);
    const first = new Date("2026-05-01T12:00:00.123Z");
    await shared.store.markRead(unread, first, never);
    await shared.store.markRead(unread, new Date("2026-05-01T12:00:01Z"), never); // an old version
    await shared.store.markRead(await readMarks(shared, row), new Date("2026-05-01T12:00:02Z"), never);
    expect((await readBack(shared, row)).value).toMatchObject({ readAt: first });
  });

  test("of twenty who fetch, read and are pushed to at once, each mark stands once, and the payload too", async () => {
    const row = createNotification({ sealed: randomBytes(100 * KIB) });
    await shared.store.insertNotification(row, "again", never);
    const untouched = await readMarks(shared, row);
    const times = Array.from({ length: 20 }, (_, i) => new Date(Date.UTC(2026, 4, 1, 12, 0, i)));
    await Promise.all([
      ...times.map((at) => shared.store.markFetched(untouched, at, never)),
      ...times.map((at) => shared.store.markRead(untouched, at, never)),
      shared.store.markPush(row.recipientKey, row.id, "failed", never),
    ]);
    const { value } = await readBack(shared, row);
    expect(times).toContainEqual(value.fetchedAt);
    expect(times).toContainEqual(value.readAt);
    expect(value.push).toBe("failed");
    expect(Buffer.from(value.sealed).equals(row.sealed)).toBe(true);
  });

  test("are read without the payload", async () => {
    const row = createNotification({ sealed: randomBytes(100 * KIB) });
    await shared.store.insertNotification(row, "again", never);
    expect(await shared.store.readMarks(createRecipientKey(), row.id, never)).toBeUndefined();
    await shared.store.markPush(row.recipientKey, row.id, "noDevices", never);
    const { recipientKey, id, createdAt, expiresAt } = row;
    const { value, etag } = await readMarks(shared, row);
    expect(value).toEqual({ recipientKey, id, createdAt, expiresAt, push: "noDevices" });
    expect(etag).toBe((await readBack(shared, row)).etag);
  });

  test("a push mark and a first fetch at once both stand", async () => {
    const rows = Array.from({ length: 10 }, () => createNotification());
    await Promise.all(
      rows.map(async (row, i) => {
        await shared.store.insertNotification(row, "again", never);
        const unread = await readBack(shared, row);
        const at = new Date("2026-05-01T12:00:00.000Z");
        const push = i % 2 === 0 ? "failed" : "noDevices";
        await Promise.all([
          shared.store.markFetched(unread, at, never),
          shared.store.markPush(row.recipientKey, row.id, push, never),
        ]);
        expect((await readBack(shared, row)).value).toMatchObject({ fetchedAt: at, push });
      }),
    );
  });

  test("a mark for what is not there makes no row", async () => {
    const row = createNotification();
    await shared.store.markPush(row.recipientKey, row.id, "failed", never);
    await shared.store.markFetched({ value: row, etag: 'W/"x"' }, new Date(), never);
    expect(await shared.store.readNotification(row.recipientKey, row.id, never)).toBeUndefined();
  });
});

describe("R98: a damaged row is not served", () => {
  test.each<readonly [string, Record<string, unknown>]>([
    ["its bytes are text", { sealed0: "text" }],
    ["a chunk is missing", { chunks: 3 }],
    ["there are more chunks than a row can hold", { chunks: 1_000_000 }],
    ["chunks below none", { chunks: -1 }],
    ["chunks by halves", { chunks: 1.5 }],
    ["chunks as text", { chunks: "2" }],
    ["an expiry as text", { expiresAt: "2099-01-01" }],
    ["an expiry as a number", { expiresAt: 4_070_908_800 }],
    ["no creation time", { createdAt: "" }],
    ["an unknown urgency", { urgency: "urgent" }],
    ["an unknown display", { display: "loud" }],
    ["a fetch time as text", { fetchedAt: "yes" }],
  ])("%s", async (_, damage) => {
    const { store, rawTable } = createTestStore();
    const row = createNotification({ sealed: randomBytes(100 * KIB) });
    const sound = createNotification({ recipientKey: row.recipientKey });
    await store.insertNotification(row, "again", never);
    await store.insertNotification(sound, "again", never);
    await rawTable(tableOf(row)).updateEntity(
      { partitionKey: row.recipientKey, rowKey: row.id, ...damage },
      "Merge",
    );
    await expect(store.readNotification(row.recipientKey, row.id, never)).rejects.toThrow();
    expect(await store.readNotification(sound.recipientKey, sound.id, never)).toBeDefined();
  });
});

/** A row with every mark, and what becomes of it. */
async function createMarked(shared: TestStore) {
  const row = createNotification({ sealed: randomBytes(100 * KIB) });
  const { recipientKey, id, createdAt, expiresAt } = row;
  await shared.store.insertNotification(row, "again", never);
  await shared.store.markPush(recipientKey, id, "failed", never);
  const before = await readMarks(shared, row);
  await shared.store.markFetched(before, noon, never);
  await shared.store.markRead(before, noon, never);
  const marks = { createdAt, expiresAt, fetchedAt: noon, readAt: noon, push: "failed" };
  return { row, marks, before };
}

describe("what is gone", () => {
  let shared: TestStore;
  beforeAll(() => {
    shared = createTestStore();
  });

  const bury = (gone: (typeof GONE)[number], { recipientKey, id }: Key, by: TestStore = shared) => {
    const { deleteNotification, eraseNotification, rollBackNotification } = by.store;
    const burials = {
      deleted: deleteNotification,
      erased: eraseNotification,
      rolledBack: rollBackNotification,
    };
    return burials[gone](recipientKey, id, never);
  };

  test("P5: deleted, leaves a tombstone that keeps the marks and not a byte of the payload", async () => {
    const { row, marks } = await createMarked(shared);
    await bury("deleted", row);
    expect(await readRaw(shared, row)).toEqual({ gone: "deleted", ...marks });
    expect((await readMarks(shared, row)).value).toMatchObject({ gone: "deleted", ...marks });
  });

  test("P5: erased, keeps nothing but that the ID was used", async () => {
    const { row } = await createMarked(shared);
    await bury("erased", row);
    expect(await readRaw(shared, row)).toEqual({ gone: "erased" });
  });

  test("taken back, keeps nothing either", async () => {
    const { row } = await createMarked(shared);
    await bury("rolledBack", row);
    expect(await readRaw(shared, row)).toEqual({ gone: "rolledBack" });
  });

  test.each(GONE)("%s, is not read as a notification, and is listed as what it is", async (gone) => {
    const { row } = await createMarked(shared);
    await bury(gone, row);
    await bury(gone, row); // twice is harmless
    expect(await shared.store.readNotification(row.recipientKey, row.id, never)).toBeUndefined();
    const day = toExpiryDay(row.id);
    const listed = await shared.store.listMarks(
      { recipientKey: row.recipientKey, day, after: undefined },
      10,
      never,
    );
    expect(listed.map(({ value }) => value.gone)).toEqual([gone]);
  });

  test.each<{ first: (typeof GONE)[number]; next: (typeof GONE)[number]; left: (typeof GONE)[number] }>([
    { first: "deleted", next: "erased", left: "erased" },
    { first: "rolledBack", next: "erased", left: "erased" },
    { first: "erased", next: "deleted", left: "erased" },
    { first: "rolledBack", next: "deleted", left: "rolledBack" },
    { first: "deleted", next: "rolledBack", left: "deleted" },
    { first: "erased", next: "rolledBack", left: "erased" },
  ])("$first and then $next is $left", async ({ first, next, left }) => {
    const { row, marks } = await createMarked(shared);
    await bury(first, row);
    await bury(next, row);
    expect(await readRaw(shared, row)).toEqual({ gone: left, ...(left === "deleted" ? marks : {}) });
  });

  test.each(GONE)("%s, is written again only if it was taken back", async (gone) => {
    const { row } = await createMarked(shared);
    await bury(gone, row);
    await shared.store.insertNotification(row, "again", never);
    const found = await shared.store.readNotification(row.recipientKey, row.id, never);
    if (gone !== "rolledBack") expect(found).toBeUndefined();
    else expect(Buffer.from(found?.value.sealed ?? []).equals(row.sealed)).toBe(true);
  });

  test("taken back before it was there, keeps out the write that is still on its way", async () => {
    const row = createNotification();
    await bury("rolledBack", row);
    expect(await readRaw(shared, row)).toEqual({ gone: "rolledBack" });
    const key = { table: tableOf(row), partitionKey: row.recipientKey, rowKey: row.id };
    expect(await shared.tables.write(key, { sealed0: row.sealed }, undefined, never)).toBeUndefined();
  });

  test.each(["deleted", "erased"] as const)("%s where nothing stands, leaves nothing", async (gone) => {
    const other = createTestStore();
    const row = createNotification();
    await bury(gone, row, other);
    expect(await other.listTables()).toEqual([]);
  });

  test("deleted, takes the marks of those who were under way; erased, takes none", async () => {
    const rows = await Promise.all(
      (["deleted", "erased"] as const).map(async (gone) => {
        const row = createNotification();
        await shared.store.insertNotification(row, "again", never);
        const before = await readMarks(shared, row);
        await bury(gone, row);
        expect(await shared.store.markFetched(before, noon, never)).toBe("gone");
        expect(await shared.store.markRead(before, noon, never)).toBe("gone");
        await shared.store.markPush(row.recipientKey, row.id, "failed", never);
        return { row, raw: await readRaw(shared, row) };
      }),
    );
    const [deleted, erased] = rows;
    const { createdAt, expiresAt } = deleted?.row ?? {};
    const marks = { createdAt, expiresAt, fetchedAt: noon, readAt: noon, push: "failed" };
    expect(deleted?.raw).toEqual({ gone: "deleted", ...marks });
    expect(erased?.raw).toEqual({ gone: "erased" });
  });

  test("deleted while ten fetch and read it, stays without its payload and loses no mark", async () => {
    const row = createNotification({ sealed: randomBytes(100 * KIB) });
    await shared.store.insertNotification(row, "again", never);
    const before = await readMarks(shared, row);
    await Promise.all([
      ...Array.from({ length: 10 }, () => shared.store.markFetched(before, noon, never)),
      bury("deleted", row),
      ...Array.from({ length: 10 }, () => shared.store.markRead(before, noon, never)),
      bury("deleted", row),
    ]);
    const { createdAt, expiresAt } = row;
    expect(await readRaw(shared, row)).toEqual({
      gone: "deleted",
      createdAt,
      expiresAt,
      fetchedAt: noon,
      readAt: noon,
    });
  });
});

describe("lists", () => {
  const dayMs = toDay(new Date()) * DAY_MS + 3 * DAY_MS;
  const day = dayMs / DAY_MS;

  /** So many of one recipient that expire on that day, the newest first. */
  async function createListed(shared: TestStore, count: number) {
    const recipientKey = createRecipientKey();
    const rows = Array.from({ length: count }, (_, i) =>
      createNotification({
        recipientKey,
        createdAt: new Date(dayMs - DAY_MS - i * 1000),
        expiresAt: new Date(dayMs + i),
      }),
    );
    for (const row of rows.toReversed()) await shared.store.insertNotification(row, "again", never);
    return { recipientKey, ids: rows.map(({ id }) => id) };
  }

  test("hold one recipient's of one day, the newest first, without payloads", async () => {
    const shared = createTestStore();
    const { recipientKey, ids } = await createListed(shared, 5);
    await createListed(shared, 2); // somebody else's
    await shared.store.insertNotification(
      createNotification({ recipientKey, expiresAt: new Date(dayMs + DAY_MS) }),
      "again",
      never,
    );
    const listed = await shared.store.listMarks({ recipientKey, day, after: undefined }, 10, never);
    expect(listed.map(({ value }) => value.id)).toEqual(ids);
    for (const { value, etag } of listed) {
      expect(Object.keys(value).toSorted()).toEqual(["createdAt", "expiresAt", "id", "recipientKey"]);
      expect(etag).toBe((await readMarks(shared, value)).etag);
    }
  });

  test("go on behind an ID, there or not, and end at their limit", async () => {
    const shared = createTestStore();
    const { recipientKey, ids } = await createListed(shared, 5);
    const list = async (after: NotificationId | undefined, limit: number) =>
      (await shared.store.listMarks({ recipientKey, day, after }, limit, never)).map(({ value }) => value.id);
    expect(await list(undefined, 2)).toEqual(ids.slice(0, 2));
    expect(await list(ids[1], 2)).toEqual(ids.slice(2, 4));
    expect(await list(ids[1], 3)).toEqual(ids.slice(2));
    expect(await list(ids[4], 3)).toEqual([]);
    const between = NotificationId.parse(`${ids[2]?.slice(0, 31)}Z`);
    expect(await list(between, 9)).toEqual(ids.slice(3));
  });

  test("of a day without a table are empty, and make none", async () => {
    const { store, listTables } = createTestStore();
    expect(
      await store.listMarks({ recipientKey: createRecipientKey(), day, after: undefined }, 10, never),
    ).toEqual([]);
    expect(await listTables()).toEqual([]);
  });

  test.each<readonly [string, Record<string, unknown>]>([
    ["a time that is text", { createdAt: "2026-05-01" }],
    ["another version", { v: 2 }],
  ])("R98: tell a damaged row (%s) from the others", async (_what, damage) => {
    const shared = createTestStore();
    const { recipientKey, ids } = await createListed(shared, 3);
    const table = shared.rawTable(
      `notifications${new Date(dayMs).toISOString().slice(0, 10).replaceAll("-", "")}`,
    );
    await table.updateEntity({ partitionKey: recipientKey, rowKey: ids[1] ?? "", ...damage }, "Merge");
    await table.createEntity({ partitionKey: recipientKey, rowKey: "not an ID", v: 1 });
    const listed = await shared.store.listMarks({ recipientKey, day, after: undefined }, 10, never);
    expect(listed.map(({ value }) => [value.id, value.isDamaged])).toEqual([
      [ids[0], undefined],
      [ids[1], true],
      [ids[2], undefined],
      ["not an ID", true],
    ]);
  });
});

describe("R93: with every first answer of a write lost, each operation does what it says", () => {
  test("inserting and marking", async () => {
    const { direct, lossy } = await createForgetfulStore();
    const { row, marks } = await createMarked(lossy);
    expect((await readBack(direct, row)).value).toMatchObject(marks);
  });

  test("deleting", async () => {
    const { direct, lossy } = await createForgetfulStore();
    const { row, marks } = await createMarked(direct);
    await lossy.store.deleteNotification(row.recipientKey, row.id, never);
    expect(await readRaw(direct, row)).toEqual({ gone: "deleted", ...marks });
  });

  test("erasing", async () => {
    const { direct, lossy } = await createForgetfulStore();
    const { row } = await createMarked(direct);
    await lossy.store.eraseNotification(row.recipientKey, row.id, never);
    expect(await readRaw(direct, row)).toEqual({ gone: "erased" });
  });

  test("taking back, what stands and what does not, and writing it again", async () => {
    const { direct, lossy } = await createForgetfulStore();
    const { row } = await createMarked(direct);
    const absent = createNotification();
    for (const { recipientKey, id } of [row, absent]) {
      await lossy.store.rollBackNotification(recipientKey, id, never);
      expect(await readRaw(direct, { recipientKey, id })).toEqual({ gone: "rolledBack" });
    }
    await lossy.store.insertNotification(row, "again", never);
    expect(Buffer.from((await readBack(direct, row)).value.sealed).equals(row.sealed)).toBe(true);
    expect((await readMarks(direct, row)).value.fetchedAt).toBeUndefined(); // it is a new row
  });
});

test("an id names the table of its own expiry day", async () => {
  const { store, listTables } = createTestStore();
  const expiresAt = new Date(toDay(new Date()) * DAY_MS + 2 * DAY_MS); // midnight begins the day
  const id: NotificationId = createNotificationId(new Date(), expiresAt);
  await store.insertNotification(createNotification({ id, expiresAt }), "again", never);
  expect(await listTables()).toEqual([
    `notifications${expiresAt.toISOString().slice(0, 10).replaceAll("-", "")}`,
  ]);
});
