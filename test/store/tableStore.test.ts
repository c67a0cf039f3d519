// Our other rows in Azurite (notificationRows.test.ts has the payloads'): what is written comes back, and what was
// damaged or moved is never served.
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { ChannelKey } from "../../shared/crypto/keyring.ts";
import { InstallationId, PLATFORMS } from "../../shared/domain/notification.ts";
import type { ChannelHolder, ChannelRow, InstallationRow, OutboxKey } from "../../shared/store/store.ts";
import { createForgetfulStore, createNotification, createRecipientKey } from "../helpers/rows.ts";
import { createStoreProxy, createTestStore } from "../helpers/store.ts";

const never = new AbortController().signal;

// Only the keyring makes these; a test may.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const createChannelKey = () => randomBytes(32).toString("hex") as ChannelKey;

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

describe("R98: a damaged row is not served", () => {
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
    const holder = { recipientKey: row.recipientKey, installationId: row.installationId };
    expect(await store.listInstallations(row.recipientKey, never)).toEqual([{ ...found, holder }]);
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

describe("R93: with every first answer of a write lost, each operation does what it says", () => {
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
  await store.insertNotification(row, "again", never);
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

test("what is open is counted whatever lies about: a thousand dead rows, a pause, one that cannot be read", async () => {
  const { store, rawTable } = createTestStore();
  const now = new Date("2026-05-01T12:00:00Z");
  const before = new Date("2026-05-01T11:00:00Z");
  expect(await store.countOutbox(never)).toEqual({ open: 0 });
  await store.pause("hub", now, never);
  expect(await store.countOutbox(never)).toEqual({ open: 0 });
  // Before all others in the order of keys.
  for (let start = 0; start < 1000; start += 100)
    await rawTable("outbox").submitTransaction(
      Array.from({ length: 100 }, (_, i) => [
        "create",
        { partitionKey: "0", rowKey: `task-${start + i}`, createdAt: before, dropAfter: now },
      ]),
    );
  const work = { kind: "erase", recipientKeys: [createRecipientKey()], before } as const;
  // Only the code makes these; a test may.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const keys = ["task-e", "task-f"] as unknown as readonly OutboxKey[];
  for (const [i, key] of keys.entries()) {
    const createdAt = new Date(now.getTime() + i * 1000);
    await store.putOutbox(key, { createdAt, attempts: 0, work, dueAt: now }, undefined, never);
  }
  await rawTable("outbox").createEntity({ partitionKey: "9", rowKey: "task-9", dueAt: now });
  expect(await store.countOutbox(never)).toEqual({ open: 3, oldestAt: now });
});

test("a ping of an empty account makes nothing, and fails where nothing answers", async () => {
  const { store, listTables, prefix } = createTestStore();
  await store.ping(never);
  expect(await listTables()).toEqual([]);
  const { connectionString, close } = await createStoreProxy();
  await close();
  await expect(createTestStore({ prefix, connectionString }).store.ping(never)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
  });
});
