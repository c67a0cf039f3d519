// Our rows in Azurite: what is written comes back, and what was damaged or moved is never served.
import { randomBytes } from "node:crypto";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ChannelKey, RecipientKey } from "../../shared/crypto/keyring.ts";
import { createNotificationId, DAY_MS, type NotificationId, toDay, toDayName } from "../../shared/id.ts";
import { InstallationId, PLATFORMS } from "../../shared/notification.ts";
import type {
  ChannelHolder,
  ChannelRow,
  InstallationRow,
  NotificationRow,
} from "../../shared/store/store.ts";
import type { ProxiedRequest } from "../helpers/faultProxy.ts";
import { createStoreProxy, createTestStore, type StoreProxy, type TestStore } from "../helpers/store.ts";

const never = new AbortController().signal;
const KIB = 1024;

let proxy: StoreProxy | undefined;
afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
});

// Only the keyring makes these; a test may.
// oxlint-disable typescript/no-unsafe-type-assertion
const toRecipientKey = (text: string) => text as RecipientKey;
const createRecipientKey = () => toRecipientKey(randomBytes(32).toString("base64url"));
const createChannelKey = () => randomBytes(32).toString("hex") as ChannelKey;
// oxlint-enable typescript/no-unsafe-type-assertion

function createNotification(row: Partial<NotificationRow> = {}): NotificationRow {
  const createdAt = new Date();
  const expiresAt = new Date(createdAt.getTime() + DAY_MS);
  return {
    recipientKey: createRecipientKey(),
    id: createNotificationId(createdAt, expiresAt),
    sealed: randomBytes(100),
    createdAt,
    expiresAt,
    urgency: "normal",
    display: "alert",
    ...row,
  };
}

function createInstallation(row: Partial<InstallationRow> = {}): InstallationRow {
  return {
    recipientKey: createRecipientKey(),
    installationId: InstallationId.parse("phone.1_a-B"),
    platform: "fcmv1",
    channelKey: createChannelKey(),
    sealedPushChannel: randomBytes(300),
    changedAt: new Date("2026-05-01T12:00:00.001Z"),
    renewedAt: new Date("2026-05-02T12:00:00.999Z"),
    leaving: [createChannelKey()],
    ...row,
  };
}

/** A channel's row that names this holder alone. */
const heldBy = ({ recipientKey, installationId }: ChannelHolder): ChannelRow => ({
  holder: { recipientKey, installationId },
  displaced: [],
  isSettled: true,
});
const HELD_BY_NOBODY: ChannelRow = { displaced: [], isSettled: false };

async function readBack({ store }: TestStore, { recipientKey, id }: NotificationRow) {
  const found = await store.readNotification(recipientKey, id, never);
  if (found === undefined) throw new Error("the notification is missing");
  return found;
}

const tableOf = (row: NotificationRow) => `notifications${toDayName(toDay(row.expiresAt))}`;

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
    await shared.store.insertNotification(row, never);
    const { value, etag } = await readBack(shared, row);
    expect(Buffer.from(value.sealed).equals(row.sealed)).toBe(true);
    expect({ ...value, sealed: row.sealed }).toEqual(row);
    expect(etag).not.toBe("");
  });

  test("the order of chunks is that of the bytes, past the tenth too", async () => {
    const sealed = Buffer.concat(Array.from({ length: 14 }, (_, i) => Buffer.alloc(64 * KIB, i)));
    const row = createNotification({ sealed });
    await shared.store.insertNotification(row, never);
    expect(Buffer.from((await readBack(shared, row)).value.sealed).equals(sealed)).toBe(true);
  });

  test.each([0, 1, 7, 99, 100, 120, 999])("an expiry %i ms past the second keeps them", async (ms) => {
    const createdAt = new Date(Math.floor(Date.now() / 1000) * 1000 + ms);
    const expiresAt = new Date(createdAt.getTime() + DAY_MS);
    const row = createNotification({ createdAt, expiresAt, id: createNotificationId(createdAt, expiresAt) });
    await shared.store.insertNotification(row, never);
    expect((await readBack(shared, row)).value).toMatchObject({ createdAt, expiresAt });
  });

  test("each expiry day has a table of its own, made with its first row by ten instances at once", async () => {
    const { prefix, listTables } = createTestStore();
    const rows = Array.from({ length: 10 }, (_, i) => {
      const expiresAt = new Date(Date.now() + (i % 2) * DAY_MS + DAY_MS);
      return createNotification({ expiresAt, id: createNotificationId(new Date(), expiresAt) });
    });
    await Promise.all(rows.map((row) => createTestStore({ prefix }).store.insertNotification(row, never)));
    expect(await listTables()).toEqual([...new Set(rows.map(tableOf))].toSorted());
    for (const row of rows) await readBack(createTestStore({ prefix }), row);
  });

  test("another user's key, another id, or another day's table finds nothing", async () => {
    const row = createNotification();
    await shared.store.insertNotification(row, never);
    const other = createNotification();
    const dayLater = createNotificationId(row.createdAt, new Date(row.expiresAt.getTime() + DAY_MS));
    expect(await shared.store.readNotification(other.recipientKey, row.id, never)).toBeUndefined();
    expect(await shared.store.readNotification(row.recipientKey, other.id, never)).toBeUndefined();
    expect(await shared.store.readNotification(row.recipientKey, dayLater, never)).toBeUndefined();
  });

  test("R90: keys that differ in case alone are two partitions", async () => {
    const row = createNotification({ recipientKey: toRecipientKey("Aa".padEnd(43, "x")) });
    await shared.store.insertNotification(row, never);
    const folded = toRecipientKey(row.recipientKey.toLowerCase());
    expect(await shared.store.readNotification(folded, row.id, never)).toBeUndefined();
  });

  test("R103: a dropped table is an unknown notification and nothing to mark, and no read makes it anew", async () => {
    const { store, rawTable, listTables, ...rest } = createTestStore();
    const row = createNotification();
    await store.insertNotification(row, never);
    const found = await readBack({ store, rawTable, listTables, ...rest }, row);
    await rawTable(tableOf(row)).deleteTable();
    expect(await store.readNotification(row.recipientKey, row.id, never)).toBeUndefined();
    await store.markFetched(found, new Date(), never);
    await store.markPush(row.recipientKey, row.id, "failed", never);
    await store.takeBackNotification(row.recipientKey, row.id, never);
    expect(await listTables()).toEqual([]);
  });

  test.each([1, 2, 400])("R103: no table is made for a day that was over %i days ago", async (days) => {
    const { store, listTables } = createTestStore();
    const expiresAt = new Date(Date.now() - days * DAY_MS);
    const row = createNotification({ expiresAt, id: createNotificationId(expiresAt, expiresAt) });
    await expect(store.insertNotification(row, never)).rejects.toThrow("a day that is over");
    expect(await listTables()).toEqual([]);
  });

  test("an id that stands there already is a fault and overwrites nothing", async () => {
    const row = createNotification();
    await shared.store.insertNotification(row, never);
    const forged = { ...row, sealed: randomBytes(50) };
    await expect(shared.store.insertNotification(forged, never)).rejects.toThrow("drawn twice");
    expect(Buffer.from((await readBack(shared, row)).value.sealed).equals(row.sealed)).toBe(true);
  });

  test("taking back removes the row, twice is harmless", async () => {
    const row = createNotification();
    await shared.store.insertNotification(row, never);
    await shared.store.takeBackNotification(row.recipientKey, row.id, never);
    expect(await shared.store.readNotification(row.recipientKey, row.id, never)).toBeUndefined();
    await shared.store.takeBackNotification(row.recipientKey, row.id, never);
  });
});

describe("marks", () => {
  let shared: TestStore;
  beforeAll(() => {
    shared = createTestStore();
  });

  test("the first fetch is recorded once, whatever is tried later", async () => {
    const row = createNotification();
    await shared.store.insertNotification(row, never);
    const unread = await readBack(shared, row);
    const first = new Date("2026-05-01T12:00:00.123Z");
    await shared.store.markFetched(unread, first, never);
    await shared.store.markFetched(unread, new Date("2026-05-01T12:00:01Z"), never); // an old version
    await shared.store.markFetched(await readBack(shared, row), new Date("2026-05-01T12:00:02Z"), never);
    expect((await readBack(shared, row)).value.fetchedAt).toEqual(first);
  });

  test("of many first fetches at once one is recorded, and the payload stays", async () => {
    const row = createNotification({ sealed: randomBytes(100 * KIB) });
    await shared.store.insertNotification(row, never);
    const unread = await readBack(shared, row);
    const times = Array.from({ length: 20 }, (_, i) => new Date(Date.UTC(2026, 4, 1, 12, 0, i)));
    await Promise.all(times.map((at) => shared.store.markFetched(unread, at, never)));
    const { value } = await readBack(shared, row);
    expect(times).toContainEqual(value.fetchedAt);
    expect(Buffer.from(value.sealed).equals(row.sealed)).toBe(true);
  });

  test("a push mark and a first fetch at once both stand", async () => {
    const rows = Array.from({ length: 10 }, () => createNotification());
    await Promise.all(
      rows.map(async (row, i) => {
        await shared.store.insertNotification(row, never);
        const unread = await readBack(shared, row);
        const at = new Date("2026-05-01T12:00:00.000Z");
        const push = i % 2 === 0 ? "failed" : "no-devices";
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
    await store.insertNotification(row, never);
    await store.insertNotification(sound, never);
    await rawTable(tableOf(row)).updateEntity(
      { partitionKey: row.recipientKey, rowKey: row.id, ...damage },
      "Merge",
    );
    await expect(store.readNotification(row.recipientKey, row.id, never)).rejects.toThrow();
    expect(await store.readNotification(sound.recipientKey, sound.id, never)).toBeDefined();
  });

  test("installations and keys", async () => {
    const { store, rawTable } = createTestStore();
    const row = createInstallation();
    await store.writeInstallation(row, undefined, never);
    const keys = { partitionKey: row.recipientKey, rowKey: row.installationId };
    await rawTable("installations").updateEntity({ ...keys, platform: "gopher" }, "Merge");
    // It has no value, and can be replaced all the same; the others of its user are listed.
    const other = createInstallation({
      recipientKey: row.recipientKey,
      installationId: InstallationId.parse("b"),
    });
    await store.writeInstallation(other, undefined, never);
    const damaged = await store.readInstallation(row, never);
    expect(damaged).toEqual({ etag: expect.any(String), value: undefined });
    const listed = await store.listInstallations(row.recipientKey, never);
    expect(listed.map(({ value }) => value?.installationId)).toEqual(["b", undefined]);
    expect(await store.writeInstallation(row, damaged?.etag, never)).toBe("written");
    expect((await store.readInstallation(row, never))?.value?.platform).toBe(row.platform);
    await store.insertKey("root", "v1", { kekId: "k", wrapped: randomBytes(40) }, never);
    await rawTable("keys").updateEntity({ partitionKey: "root", rowKey: "v1", wrapped: "text" }, "Merge");
    await expect(store.readKey("root", "v1", never)).rejects.toThrow("bytes");
  });
});

describe("installations", () => {
  test.each(PLATFORMS)("of %s come back as they were, singly and listed", async (platform) => {
    const { store } = createTestStore();
    const row = createInstallation({ platform });
    expect(await store.writeInstallation(row, undefined, never)).toBe("written");
    const found = await store.readInstallation(row, never);
    expect({ ...found?.value, sealedPushChannel: row.sealedPushChannel }).toEqual(row);
    expect(Buffer.from(found?.value?.sealedPushChannel ?? []).equals(row.sealedPushChannel)).toBe(true);
    expect(await store.listInstallations(row.recipientKey, never)).toEqual([found]);
  });

  test.each(["not json", "{}", "[1]"])("whose journal is %s have no value", async (leaving) => {
    const { store, rawTable } = createTestStore();
    const row = createInstallation();
    await store.writeInstallation(row, undefined, never);
    const keys = { partitionKey: row.recipientKey, rowKey: row.installationId };
    await rawTable("installations").updateEntity({ ...keys, leaving }, "Merge");
    expect((await store.readInstallation(row, never))?.value).toBeUndefined();
  });

  test("R42: one installation id of two users is two rows", async () => {
    const { store } = createTestStore();
    const [a, b] = [createInstallation(), createInstallation()];
    await store.writeInstallation(a, undefined, never);
    expect(await store.writeInstallation(b, undefined, never)).toBe("written");
    const ofB = await store.readInstallation(b, never);
    expect(await store.deleteInstallation(b, ofB?.etag ?? "", never)).toBe("written");
    expect(await store.readInstallation(b, never)).toBeUndefined();
    expect((await store.readInstallation(a, never))?.value?.channelKey).toBe(a.channelKey);
  });

  test("are inserted once, replaced and deleted only as they were read", async () => {
    const { store } = createTestStore();
    const row = createInstallation();
    await store.writeInstallation(row, undefined, never);
    expect(await store.writeInstallation(row, undefined, never)).toBe("changed");
    const etag = (await store.readInstallation(row, never))?.etag ?? "";
    const moved = { ...row, channelKey: createChannelKey() };
    expect(await store.writeInstallation(moved, etag, never)).toBe("written");
    expect(await store.writeInstallation(row, etag, never)).toBe("changed");
    expect(await store.deleteInstallation(row, etag, never)).toBe("changed");
    expect((await store.readInstallation(row, never))?.value?.channelKey).toBe(moved.channelKey);
  });

  test("ids with full stops, underlines and hyphens alone are ids like others", async () => {
    const { store } = createTestStore();
    const recipientKey = createRecipientKey();
    const ids = [".", "..", "...", "-", "_", "a.b", "A.b"].map((id) => InstallationId.parse(id));
    for (const installationId of ids)
      expect(
        await store.writeInstallation(createInstallation({ recipientKey, installationId }), undefined, never),
      ).toBe("written");
    for (const installationId of ids) {
      const found = await store.readInstallation({ recipientKey, installationId }, never);
      expect(found?.value?.installationId).toBe(installationId);
    }
    expect(await store.listInstallations(recipientKey, never)).toHaveLength(ids.length);
  });
});

describe("channels", () => {
  test("name their holder, then nobody, then are gone; each change only of the version read", async () => {
    const { store } = createTestStore();
    const channelKey = createChannelKey();
    const { recipientKey, installationId } = createInstallation();
    const holder = { recipientKey, installationId };
    const former = createInstallation();
    const row = { ...heldBy(holder), displaced: [heldBy(former).holder ?? holder, holder], isSettled: false };
    expect(await store.readChannel(channelKey, never)).toBeUndefined();
    expect(await store.writeChannel(channelKey, row, undefined, never)).toBe("written");
    expect(await store.writeChannel(channelKey, row, undefined, never)).toBe("changed");
    const held = await store.readChannel(channelKey, never);
    expect(held?.value).toEqual(row);
    expect(await store.writeChannel(channelKey, HELD_BY_NOBODY, held?.etag, never)).toBe("written");
    const free = await store.readChannel(channelKey, never);
    expect(free?.value).toEqual(HELD_BY_NOBODY);
    expect(await store.deleteChannel(channelKey, held?.etag ?? "", never)).toBe("changed");
    expect(await store.deleteChannel(channelKey, free?.etag ?? "", never)).toBe("written");
    expect(await store.readChannel(channelKey, never)).toBeUndefined();
  });

  test("that cannot be read name nobody, and can be claimed all the same", async () => {
    const { store, rawTable } = createTestStore();
    const installation = createInstallation();
    const channelKey = createChannelKey();
    await store.writeChannel(channelKey, heldBy(installation), undefined, never);
    const keys = { partitionKey: channelKey.slice(0, 2), rowKey: channelKey };
    for (const damage of [{ displaced: "no list" }, { isSettled: "yes" }, { v: 2 }]) {
      await rawTable("channels").updateEntity({ ...keys, ...damage }, "Merge");
      const read = await store.readChannel(channelKey, never);
      expect(read?.value).toEqual(HELD_BY_NOBODY);
      expect(await store.writeChannel(channelKey, heldBy(installation), read?.etag, never)).toBe("written");
      expect((await store.readChannel(channelKey, never))?.value).toEqual(heldBy(installation));
    }
  });

  test("of 20 who claim one at once, one has it", async () => {
    const { store, prefix } = createTestStore();
    const channelKey = createChannelKey();
    const holders = Array.from({ length: 20 }, () => {
      const { recipientKey, installationId } = createInstallation();
      return { recipientKey, installationId };
    });
    const outcomes = await Promise.all(
      holders.map((holder) =>
        createTestStore({ prefix }).store.writeChannel(channelKey, heldBy(holder), undefined, never),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === "written")).toHaveLength(1);
    const winner = holders[outcomes.indexOf("written")];
    expect((await store.readChannel(channelKey, never))?.value.holder).toEqual(winner);
  });
});

describe("keys", () => {
  test("of many who insert one at once, all are told the same", async () => {
    const { prefix, store } = createTestStore();
    const offered = Array.from({ length: 10 }, (_, i) => ({ kekId: `k${i}`, wrapped: randomBytes(40) }));
    const told = await Promise.all(
      offered.map((key) => createTestStore({ prefix }).store.insertKey("day", "20260501", key, never)),
    );
    const stored = await store.readKey("day", "20260501", never);
    expect(offered.map((key) => key.kekId)).toContain(stored?.kekId);
    for (const key of told) {
      expect(key.kekId).toBe(stored?.kekId);
      expect(Buffer.from(key.wrapped).equals(stored?.wrapped ?? Buffer.alloc(0))).toBe(true);
    }
  });

  test("of one name but another kind are two", async () => {
    const { store } = createTestStore();
    await store.insertKey("root", "v1", { kekId: "k", wrapped: randomBytes(40) }, never);
    expect(await store.readKey("day", "v1", never)).toBeUndefined();
    expect(await store.readKey("root", "v2", never)).toBeUndefined();
  });
});

/** Loses the answer of the first try of each write. */
async function createForgetfulStore(): Promise<{ readonly direct: TestStore; readonly lossy: TestStore }> {
  proxy = await createStoreProxy();
  const seen = new Set<string>();
  proxy.decide = ({ method, path, headers }: ProxiedRequest) => {
    const id = `${method} ${path} ${String(headers["x-ms-client-request-id"])}`;
    if (method === "GET" || path.includes("/Tables") || seen.has(id)) return undefined;
    seen.add(id);
    return { kind: "loseAnswer" };
  };
  const direct = createTestStore();
  return { direct, lossy: createTestStore({ ...direct, connectionString: proxy.connectionString }) };
}

describe("R93: with every first answer of a write lost, each operation does what it says", () => {
  test("notifications", async () => {
    const { direct, lossy } = await createForgetfulStore();
    const row = createNotification();
    await lossy.store.insertNotification(row, never);
    await lossy.store.markPush(row.recipientKey, row.id, "failed", never);
    const at = new Date("2026-05-01T12:00:00.000Z");
    await lossy.store.markFetched(await readBack(direct, row), at, never);
    expect((await readBack(direct, row)).value).toMatchObject({ push: "failed", fetchedAt: at });
    await lossy.store.takeBackNotification(row.recipientKey, row.id, never);
    expect(await direct.store.readNotification(row.recipientKey, row.id, never)).toBeUndefined();
  });

  test("installations and channels", async () => {
    const { direct, lossy } = await createForgetfulStore();
    const row = createInstallation();
    const channel = row.channelKey;
    expect(await lossy.store.writeInstallation(row, undefined, never)).toBe("written");
    expect(await lossy.store.writeChannel(channel, heldBy(row), undefined, never)).toBe("written");
    const installed = await direct.store.readInstallation(row, never);
    const held = await direct.store.readChannel(channel, never);
    expect(await lossy.store.writeInstallation(row, installed?.etag, never)).toBe("written");
    expect(await lossy.store.writeChannel(channel, HELD_BY_NOBODY, held?.etag, never)).toBe("written");
    const again = await direct.store.readInstallation(row, never);
    const free = await direct.store.readChannel(channel, never);
    expect(await lossy.store.deleteInstallation(row, again?.etag ?? "", never)).toBe("written");
    expect(await lossy.store.deleteChannel(channel, free?.etag ?? "", never)).toBe("written");
    expect(await direct.store.listInstallations(row.recipientKey, never)).toEqual([]);
  });

  test("keys", async () => {
    const { direct, lossy } = await createForgetfulStore();
    const key = { kekId: "k", wrapped: randomBytes(40) };
    expect(await lossy.store.insertKey("day", "20260501", key, never)).toEqual(key);
    expect((await direct.store.readKey("day", "20260501", never))?.kekId).toBe("k");
  });
});

test("R89: no key of a row holds a character that needs escaping", async () => {
  const { store, rawTable, listTables } = createTestStore();
  const row = createNotification();
  const installation = createInstallation();
  await store.insertNotification(row, never);
  await store.writeInstallation(installation, undefined, never);
  await store.writeChannel(installation.channelKey, heldBy(installation), undefined, never);
  await store.insertKey("root", "v1", { kekId: "k", wrapped: randomBytes(40) }, never);
  const keys: string[] = [];
  for (const table of await listTables())
    for await (const { partitionKey, rowKey } of rawTable(table).listEntities())
      keys.push(partitionKey ?? "", rowKey ?? "");
  expect(keys).toHaveLength(8);
  for (const key of keys) expect(key).toMatch(/^[A-Za-z0-9._-]{1,512}$/);
});

test("a ping of an empty account makes nothing, and fails where nothing answers", async () => {
  const { store, listTables, prefix } = createTestStore();
  await store.ping(never);
  expect(await listTables()).toEqual([]);
  proxy = await createStoreProxy();
  const { connectionString } = proxy;
  await proxy.close();
  await expect(createTestStore({ prefix, connectionString }).store.ping(never)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
  });
});

test("an id names the table of its own expiry day", async () => {
  const { store, listTables } = createTestStore();
  const expiresAt = new Date(toDay(new Date()) * DAY_MS + 2 * DAY_MS); // midnight begins the day
  const id: NotificationId = createNotificationId(new Date(), expiresAt);
  await store.insertNotification(createNotification({ id, expiresAt }), never);
  expect(await listTables()).toEqual([
    `notifications${expiresAt.toISOString().slice(0, 10).replaceAll("-", "")}`,
  ]);
});
