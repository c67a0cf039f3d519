// The outbox in storage: rows and schedule entries that change together, ranges of what is due, and what lies about.
import { describe, expect, test } from "vitest";
import { createNotificationId, type NotificationId } from "../../shared/domain/id.ts";
import type { OutboxRow, QueueName, SendWork, TaskId } from "../../shared/store/outboxWork.ts";
import { SHARDS } from "../../shared/store/outboxRows.ts";
import type { Store } from "../../shared/store/store.ts";
import { createRecipientKey } from "../helpers/rows.ts";
import { createTestStore } from "../helpers/store.ts";

const never = new AbortController().signal;
const noon = new Date("2026-05-01T12:00:00Z");
const after = (seconds: number) => new Date(noon.getTime() + seconds * 1000);
const idAt = (createdAt: Date): NotificationId =>
  createNotificationId(createdAt, new Date(createdAt.getTime() + 3_600_000));

function rowOf(due: OutboxRow["due"], work: Partial<SendWork> = {}): OutboxRow<SendWork> {
  return {
    createdAt: noon,
    attempts: 0,
    due,
    work: {
      kind: "send",
      expiresAt: after(3600),
      urgency: "normal",
      display: "alert",
      isWritten: true,
      pending: [{ recipientKey: createRecipientKey(), isAccepted: false, hasFailed: false }],
      failed: [],
      ...work,
    },
  };
}

async function listKeys(store: Store, queue: QueueName, until: Date): Promise<readonly string[]> {
  const shards = Array.from({ length: SHARDS }, (_, shard) =>
    store.listDue({ queue, shard, until }, 100, never),
  );
  return (await Promise.all(shards)).flat().map(({ key }) => key);
}

describe("a row and its schedule entries", () => {
  test("are written, moved and deleted together, and the row comes back as it was", async () => {
    const { store, rawTable } = createTestStore();
    const key = idAt(noon);
    const row = rowOf({ hub: after(10), webPush: after(20), expire: after(3600) });
    const etag = await store.writeOutbox({ key, after: row }, never);
    expect((await store.readOutbox(key, never))?.value).toEqual(row);
    expect(await listKeys(store, "hub", after(9))).toEqual([]);
    expect(await listKeys(store, "hub", after(11))).toEqual([key]);
    expect(await listKeys(store, "webPush", after(21))).toEqual([key]);
    const moved = { ...row, attempts: 1, due: { hub: after(60), expire: after(3600) } };
    const before = { etag: etag ?? "", value: row };
    const next = await store.writeOutbox({ key, before, after: moved }, never);
    expect(await listKeys(store, "hub", after(59))).toEqual([]);
    expect(await listKeys(store, "webPush", after(9999))).toEqual([]);
    expect(await store.writeOutbox({ key, before }, never)).toBeUndefined();
    await store.writeOutbox({ key, before: { etag: next ?? "", value: moved } }, never);
    expect(await Array.fromAsync(rawTable("outbox").listEntities())).toEqual([]);
  });

  test("are spread evenly over the shards, of notifications and of tasks", async () => {
    const { store, rawTable } = createTestStore();
    const [id, task] = [idAt(noon).slice(0, -1), "task-001780000000000-0f8fad5b-d9cb-469f-a165-70867728950"];
    const keys = [
      ...Array.from("0123456789ABCDEFGHJKMNPQRSTVWXYZ", (digit) => `${id}${digit}` as NotificationId),
      ...Array.from("0123456789abcdef", (digit) => `${task}${digit}` as TaskId),
    ];
    await store.writeOutboxBatch(
      keys.map((key) => ({ key, after: rowOf({ unsent: after(15) }) })),
      never,
    );
    const rows = await Array.fromAsync(rawTable("outbox").listEntities());
    const names = rows.map(({ rowKey = "", partitionKey = "" }) => ({ rowKey, partitionKey }));
    const sizes = (start: string) =>
      Object.values(
        Object.groupBy(
          names.filter(({ rowKey }) => rowKey.startsWith(start)),
          ({ partitionKey }) => partitionKey,
        ),
      ).map((shard) => shard?.length);
    expect(sizes("due-")).toEqual(Array.from({ length: SHARDS }, () => 6)); // 32 and 16 digits over 8 shards
  });

  test("of one row are inserted once, however many insert it", async () => {
    const { store, rawTable } = createTestStore();
    const key = idAt(noon);
    const row = rowOf({ unsent: after(15) });
    const etags = await Promise.all(
      Array.from({ length: 10 }, () => store.writeOutbox({ key, after: row }, never)),
    );
    expect(etags.filter((etag) => etag !== undefined)).toHaveLength(1);
    expect(await Array.fromAsync(rawTable("outbox").listEntities())).toHaveLength(2);
  });

  test("change all the same where somebody has deleted an entry", async () => {
    const { store, rawTable } = createTestStore();
    const key = idAt(noon);
    const row = rowOf({ hub: after(10), expire: after(3600) });
    const etag = (await store.writeOutbox({ key, after: row }, never)) ?? "";
    for await (const { partitionKey = "", rowKey = "" } of rawTable("outbox").listEntities())
      if (rowKey.startsWith("due-hub")) await rawTable("outbox").deleteEntity(partitionKey, rowKey);
    expect(await store.writeOutbox({ key, before: { etag, value: row } }, never)).toBe("");
    expect(await store.readOutbox(key, never)).toBeUndefined();
  });

  test("of many are written in few calls, and one that has changed keeps no other from it", async () => {
    const { store } = createTestStore();
    const keys = Array.from({ length: 100 }, (_, i) => idAt(after(i)));
    const row = rowOf({ hub: after(10), expire: after(3600) });
    const etags = await store.writeOutboxBatch(
      keys.map((key) => ({ key, after: row })),
      never,
    );
    expect(etags.every((etag) => etag !== undefined && etag !== "")).toBe(true);
    const changes = keys.map((key, i) => ({
      key,
      before: { etag: i === 7 ? 'W/"stale"' : (etags[i] ?? ""), value: row },
    }));
    const results = await store.writeOutboxBatch(changes, never);
    expect(results.map((result) => result === undefined)).toEqual(keys.map((_, i) => i === 7));
    expect(await listKeys(store, "hub", after(11))).toEqual([keys[7]]);
  });
});

test("what is due is read in the order of due times, past what was read before", async () => {
  const { store } = createTestStore();
  const keys = Array.from({ length: 40 }, (_, i) => idAt(after(-i)));
  await store.writeOutboxBatch(
    keys.map((key, i) => ({ key, after: rowOf({ hub: after(i) }) })),
    never,
  );
  for (let shard = 0; shard < SHARDS; shard++) {
    const range = { queue: "hub", shard, until: after(100) } as const;
    const all = await store.listDue(range, 100, never);
    const times = all.map(({ dueAt }) => dueAt.getTime());
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    const [first] = await store.listDue(range, 1, never);
    if (first !== undefined)
      expect(await store.listDue({ ...range, after: first }, 100, never)).toEqual(all.slice(1));
  }
});

test("what is open is counted and dated whatever lies about: dead letters, a pause, a row that cannot be read", async () => {
  const { store, rawTable } = createTestStore();
  expect(await store.countOutbox(never)).toEqual({ open: 0 });
  await store.pause("hub", noon, never);
  const { work: refused } = rowOf({});
  const letter = { reason: "refused", createdAt: noon, attempts: 1, work: refused } as const;
  await store.putDeadLetter(idAt(noon), letter, noon, never);
  expect(await store.countOutbox(never)).toEqual({ open: 0 });
  const task = `task-${String(after(-60).getTime()).padStart(15, "0")}-x` as TaskId;
  const work = { kind: "erase", recipientKeys: [], before: noon, isSecondPass: false } as const;
  await store.writeOutbox({ key: task, after: { ...rowOf({ erase: noon }), work } }, never);
  await store.writeOutbox({ key: idAt(noon), after: rowOf({ hub: noon }) }, never);
  await rawTable("outbox").createEntity({ partitionKey: "1", rowKey: "row-000000000000000-x" });
  await rawTable("outbox").createEntity({ partitionKey: "1", rowKey: "row-notatime" });
  const counted = await store.countOutbox(never);
  expect(counted.open).toBe(4);
  expect(counted.oldestAt).toEqual(new Date(0));
});

test("a dead letter is found by its notification's ID, and replaced by a later one", async () => {
  const { store } = createTestStore();
  const id = idAt(noon);
  const failed = [createRecipientKey()];
  const { work, createdAt } = rowOf({}, { pending: [], failed });
  await store.putDeadLetter(id, { reason: "refused", createdAt, attempts: 1, work }, noon, never);
  await store.putDeadLetter(id, { reason: "expired", createdAt, attempts: 2, work }, noon, never);
  expect((await store.readDeadLetter(id, never))?.value).toEqual({
    reason: "expired",
    createdAt,
    attempts: 2,
    work,
  });
  expect(await store.readDeadLetter(idAt(after(1)), never)).toBeUndefined();
  expect(await store.listDeadLetterWeeks(never)).toHaveLength(1);
});
