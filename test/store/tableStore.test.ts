// Our other rows in Azurite (notificationRows.test.ts has the payloads'): what is written comes back, and what was
// damaged or moved is never served.
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { ChannelKey } from "../../shared/crypto/keyring.ts";
import { InstallationId, PLATFORMS } from "../../shared/domain/installation.ts";
import type { ChannelHolder, ChannelRow, InstallationRow } from "../../shared/store/storedDevices.ts";
import type { Store } from "../../shared/store/store.ts";
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
    sender: "hub",
    generation: 3,
    subscribedUnder: "thumbprint",
    createdAt: new Date("2026-05-01T12:00:00.001Z"),
    renewedAt: new Date("2026-05-02T12:00:00.999Z"),
    reconciledAt: new Date("2026-05-02T12:00:01.999Z"),
    ...row,
  };
}

const changedAt = new Date("2026-05-01T12:00:00.001Z");

/** A channel's row that names this holder. */
const heldBy = ({ recipientKey, installationId }: ChannelHolder): ChannelRow => ({
  holder: { recipientKey, installationId },
  generation: 1,
  changedAt,
});
const HELD_BY_NOBODY: ChannelRow = { generation: 1, changedAt };
const UNREADABLE: ChannelRow = { generation: 0, changedAt: new Date(0) };

/** Whether it was written. */
async function put(store: Store, row: InstallationRow, etag?: string): Promise<boolean> {
  const change = { kind: "putInstallation", row, ...(etag === undefined ? {} : { etag }) } as const;
  return (await store.changeDevices(row.recipientKey, [change], never)) !== undefined;
}

async function remove(store: Store, row: InstallationRow, etag: string): Promise<boolean> {
  const { installationId } = row;
  const change = { kind: "deleteInstallation", installationId, etag } as const;
  return (await store.changeDevices(row.recipientKey, [change], never)) !== undefined;
}

const list = async (store: Store, { recipientKey }: Pick<InstallationRow, "recipientKey">) =>
  (await store.listDeviceRows(recipientKey, never)).installations;

describe("R98: a damaged row is not served", () => {
  test("installations and keys", async () => {
    const { store, rawTable } = createTestStore();
    const row = createInstallation();
    await put(store, row);
    const keys = { partitionKey: row.recipientKey, rowKey: row.installationId };
    await rawTable("installations").updateEntity({ ...keys, platform: "gopher" }, "Merge");
    // It has no value, and can be replaced all the same; the others of its user are listed.
    const other = createInstallation({
      recipientKey: row.recipientKey,
      installationId: InstallationId.parse("b"),
    });
    await put(store, other);
    const damaged = await store.readInstallation(row, never);
    expect(damaged).toEqual({ etag: expect.any(String), value: undefined });
    const listed = await list(store, row);
    expect(listed.map(({ value }) => value?.installationId)).toEqual(["b", undefined]);
    expect(await put(store, row, damaged?.etag)).toBe(true);
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
    expect(await put(store, row)).toBe(true);
    const found = await store.readInstallation(row, never);
    expect({ ...found?.value, sealedPushChannel: row.sealedPushChannel }).toEqual(row);
    expect(Buffer.from(found?.value?.sealedPushChannel ?? []).equals(row.sealedPushChannel)).toBe(true);
    const { installationId } = row;
    expect(await list(store, row)).toEqual([{ ...found, installationId }]);
  });

  test.each([{ generation: -1 }, { generation: 1.5 }, { renewedAt: "x" }, { sender: "pigeon" }])(
    "that say %j have no value",
    async (damage) => {
      const { store, rawTable } = createTestStore();
      const row = createInstallation();
      await put(store, row);
      const keys = { partitionKey: row.recipientKey, rowKey: row.installationId };
      await rawTable("installations").updateEntity({ ...keys, ...damage }, "Merge");
      expect((await store.readInstallation(row, never))?.value).toBeUndefined();
    },
  );

  test("R42: one installation id of two users is two rows", async () => {
    const { store } = createTestStore();
    const [a, b] = [createInstallation(), createInstallation()];
    await put(store, a);
    expect(await put(store, b)).toBe(true);
    const ofB = await store.readInstallation(b, never);
    expect(await remove(store, b, ofB?.etag ?? "")).toBe(true);
    expect(await store.readInstallation(b, never)).toBeUndefined();
    expect((await store.readInstallation(a, never))?.value?.channelKey).toBe(a.channelKey);
  });

  test("are inserted once, replaced and deleted only as they were read", async () => {
    const { store } = createTestStore();
    const row = createInstallation();
    await put(store, row);
    expect(await put(store, row)).toBe(false);
    const etag = (await store.readInstallation(row, never))?.etag ?? "";
    const moved = { ...row, channelKey: createChannelKey() };
    expect(await put(store, moved, etag)).toBe(true);
    expect(await put(store, row, etag)).toBe(false);
    expect(await remove(store, row, etag)).toBe(false);
    expect((await store.readInstallation(row, never))?.value?.channelKey).toBe(moved.channelKey);
  });

  test("ids with full stops, underlines and hyphens alone are ids like others", async () => {
    const { store } = createTestStore();
    const recipientKey = createRecipientKey();
    const ids = [".", "..", "...", "-", "_", "a.b", "A.b"].map((id) => InstallationId.parse(id));
    for (const installationId of ids)
      expect(await put(store, createInstallation({ recipientKey, installationId }))).toBe(true);
    for (const installationId of ids) {
      const found = await store.readInstallation({ recipientKey, installationId }, never);
      expect(found?.value?.installationId).toBe(installationId);
    }
    expect(await list(store, { recipientKey })).toHaveLength(ids.length);
  });
});

describe("channels", () => {
  test("name their holder, then nobody, then are gone; each change only of the version read", async () => {
    const { store } = createTestStore();
    const channelKey = createChannelKey();
    const { recipientKey, installationId } = createInstallation();
    const holder = { recipientKey, installationId };
    const former = createInstallation();
    const previous = heldBy(former).holder ?? holder;
    const row: ChannelRow = { ...heldBy(holder), generation: 7, previous };
    expect(await store.readChannel(channelKey, never)).toBeUndefined();
    expect(await store.writeChannel(channelKey, row, undefined, never)).toBeDefined();
    expect(await store.writeChannel(channelKey, row, undefined, never)).toBeUndefined();
    const held = await store.readChannel(channelKey, never);
    expect(held?.value).toEqual(row);
    expect(await store.writeChannel(channelKey, HELD_BY_NOBODY, held?.etag, never)).toBeDefined();
    const free = await store.readChannel(channelKey, never);
    expect(free?.value).toEqual(HELD_BY_NOBODY);
    expect(await store.deleteChannel(channelKey, held?.etag ?? "", never)).toBe(false);
    expect(await store.deleteChannel(channelKey, free?.etag ?? "", never)).toBe(true);
    expect(await store.readChannel(channelKey, never)).toBeUndefined();
  });

  test("that cannot be read name nobody, and can be claimed all the same", async () => {
    const { store, rawTable } = createTestStore();
    const installation = createInstallation();
    const channelKey = createChannelKey();
    await store.writeChannel(channelKey, heldBy(installation), undefined, never);
    const keys = { partitionKey: channelKey.slice(0, 2), rowKey: channelKey };
    for (const damage of [{ generation: "one" }, { changedAt: "now" }, { v: 2 }]) {
      await rawTable("channels").updateEntity({ ...keys, ...damage }, "Merge");
      const read = await store.readChannel(channelKey, never);
      expect(read?.value).toEqual(UNREADABLE);
      expect(await store.writeChannel(channelKey, heldBy(installation), read?.etag, never)).toBeDefined();
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
    expect(outcomes.filter((etag) => etag !== undefined)).toHaveLength(1);
    const winner = holders[outcomes.findIndex((etag) => etag !== undefined)];
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
    expect(await put(lossy.store, row)).toBe(true);
    expect(await lossy.store.writeChannel(channel, heldBy(row), undefined, never)).toBeDefined();
    const installed = await direct.store.readInstallation(row, never);
    const held = await direct.store.readChannel(channel, never);
    expect(await put(lossy.store, row, installed?.etag)).toBe(true);
    expect(await lossy.store.writeChannel(channel, HELD_BY_NOBODY, held?.etag, never)).toBeDefined();
    const again = await direct.store.readInstallation(row, never);
    const free = await direct.store.readChannel(channel, never);
    expect(await remove(lossy.store, row, again?.etag ?? "")).toBe(true);
    expect(await lossy.store.deleteChannel(channel, free?.etag ?? "", never)).toBe(true);
    expect(await list(direct.store, row)).toEqual([]);
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
  await put(store, installation);
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
  const { connectionString, close } = await createStoreProxy();
  await close();
  await expect(createTestStore({ prefix, connectionString }).store.ping(never)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
  });
});
