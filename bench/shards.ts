// Question: how evenly do recipients and keys spread over partitions, what breaks first as sends grow, and what does a pass
// read as the outbox grows?
// A simulation: the product's use cases over tables in memory that count entities by partition, with random users and keys,
// and a hub that accepts everything. The limits are those that Azure documents for Table Storage (Azure Storage:
// "Scalability and performance targets for Table storage"). docs/scale.md draws the conclusions.
// Run: npm run bench -- shards
import { randomUUID } from "node:crypto";
import { createLog } from "../shared/base/log.ts";
import { Secret } from "../shared/base/secret.ts";
import { InstallationId } from "../shared/domain/installation.ts";
import { UserId } from "../shared/domain/notification.ts";
import type { Sender } from "../shared/push/sender.ts";
import type { Service } from "../shared/service.ts";
import type { Store } from "../shared/store/store.ts";
import { createTableStore } from "../shared/store/tableStore.ts";
import { type CountedTables, createMemoryTables } from "./helpers/memoryTables.ts";
import { seedOutbox } from "./helpers/outboxRows.ts";
import { printTable } from "./helpers/report.ts";
import { createBenchService, createMovedClock } from "./helpers/service.ts";

const USERS = 5_000;
const SENDS = 20_000;
const OUTBOX_SIZES = [10_000, 100_000];
const ACCOUNT_LIMIT = 20_000; // entities a second
const PARTITION_LIMIT = 2_000;

const log = createLog(() => undefined);
const never = new AbortController().signal;
const context = { log, signal: never };

interface World {
  readonly tables: CountedTables;
  readonly store: Store;
  readonly service: Service;
}

function createWorld(): World {
  const tables = createMemoryTables();
  const store = createTableStore(tables);
  const hub: Sender = {
    name: "hub",
    platforms: ["fcmv1"],
    isServing: () => true,
    push: () => Promise.resolve({ kind: "accepted" }),
    groups: {
      maxRecipients: 20,
      visibleAfterMs: 0,
      maxDirectPushes: 5,
      push: () => Promise.resolve({ kind: "accepted" }),
    },
    directory: {
      put: () => Promise.resolve({ kind: "accepted" }),
      remove: () => Promise.resolve({ kind: "accepted" }),
    },
  };
  return { tables, store, service: createBenchService(store, hub, createMovedClock(log)) };
}

/** Entities of each partition in one run. */
type Counts = ReadonlyMap<string, number>;

async function count({ tables }: World, work: () => Promise<unknown>): Promise<Counts> {
  tables.counts.clear();
  await work();
  return new Map(tables.counts);
}

async function spread(): Promise<void> {
  const world = createWorld();
  const { service } = world;
  const users = Array.from({ length: USERS }, () => UserId.parse(randomUUID()));
  const phone = InstallationId.parse("phone");
  const registrations = await count(world, async () => {
    for (const user of users)
      await service.register(user, phone, { platform: "fcmv1", pushChannel: user }, context);
  });
  const sender = new Secret("key of a sender");
  const send = async (user: UserId, key?: string) => {
    const sent = await service.send(
      {
        request: { to: [user], payload: 0, urgency: "normal" },
        payload: new Secret('"text"'),
        ...(key === undefined ? {} : { idempotency: { sender, key } }),
      },
      context,
    );
    if (!sent.ok) throw new Error(sent.error.reason);
    return sent.value.id;
  };
  const pick = (i: number) => users[i % USERS] ?? UserId.parse("nobody");
  const ids: Awaited<ReturnType<typeof send>>[] = [];
  await send(pick(0)); // makes the day's key
  const sends = await count(world, async () => {
    for (let i = 0; i < SENDS; i++) ids.push(await send(pick(i)));
  });
  const keyed = await count(world, async () => {
    for (let i = 0; i < SENDS; i++) await send(pick(i), randomUUID());
  });
  const gets = await count(world, async () => {
    for (const [i, id] of ids.entries()) await service.get(id, pick(i), context);
  });
  const runs = [
    { name: "register", counts: registrations, operations: USERS },
    { name: "send", counts: sends, operations: SENDS },
    { name: "send with a key", counts: keyed, operations: SENDS },
    { name: "get, first", counts: gets, operations: SENDS },
  ];
  printTable(
    ["operation, table", "partitions", "entities of one operation", "largest partition to the mean"],
    runs.flatMap(({ name, counts, operations }) => listTables(counts, name, operations)),
  );
  console.log("");
  printLimits(sends, gets);
}

/** One row of the table for each table that an operation touches. */
function listTables(counts: Counts, operation: string, operations: number): string[][] {
  const tables = Map.groupBy(counts, ([name]) => (name.split(" ")[0] ?? "").replace(/\d+$/, ""));
  return [...tables].map(([table, partitions]) => {
    const values = partitions.map(([, entities]) => entities);
    const sum = toSum(values);
    return [
      `${operation}, ${table}`,
      String(values.length),
      (sum / operations).toFixed(2),
      ((Math.max(...values) * values.length) / sum).toFixed(2),
    ];
  });
}

/** How many notifications a second, sent and fetched once, reach each limit. */
function printLimits(sends: Counts, gets: Counts): void {
  const all = [...sends, ...gets];
  const perNotification = toSum(all.map(([, entities]) => entities)) / SENDS;
  const outbox = [...sends].filter(([name]) => name.startsWith("outbox ")).map(([, entities]) => entities);
  const hottest = Math.max(...outbox) / SENDS;
  // One recipient has one partition in each table. The fuller one breaks first.
  const ofRecipients = Map.groupBy(all, ([name]) => name.split(" ")[0]);
  ofRecipients.delete("outbox");
  const toOne = Math.max(
    ...[...ofRecipients.values()].map((counted) => toSum(counted.map(([, entities]) => entities)) / SENDS),
  );
  printTable(
    ["limit", "entities of a notification there", "notifications a second"],
    [
      [
        "the account, 20,000 entities a second",
        perNotification.toFixed(2),
        toRate(ACCOUNT_LIMIT, perNotification),
      ],
      ["the fullest shard of the outbox, 2,000", hottest.toFixed(2), toRate(PARTITION_LIMIT, hottest)],
      ["all of them to one recipient, 2,000", toOne.toFixed(2), toRate(PARTITION_LIMIT, toOne)],
    ],
  );
  console.log("");
}

function toRate(limit: number, entities: number): string {
  return Math.floor(limit / entities).toLocaleString("en-US");
}

function toSum(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Entities of a pass beside a backlog of the hub, which is paused, and of one that drains it. */
async function compareBacklogs(): Promise<void> {
  const rows: string[][] = [];
  for (const size of OUTBOX_SIZES) {
    const paused = createWorld();
    await seedOutbox(paused.store, size, 0);
    await paused.store.pause("hub", new Date(Date.now() + 600_000), never);
    const idle = await pass(paused);
    const running = createWorld();
    await seedOutbox(running.store, size, size);
    const { entities, done } = await pass(running);
    rows.push([
      size.toLocaleString("en-US"),
      idle.entities.toLocaleString("en-US"),
      done.toLocaleString("en-US"),
      (entities / Math.max(1, done)).toFixed(2),
    ]);
  }
  printTable(
    ["rows in the outbox", "entities of a pass, hub paused", "rows that one pass drains", "entities of each"],
    rows,
  );
}

/** One pass of redeliverPushes: its entities, and how many rows it finished. */
async function pass(world: World): Promise<{ readonly entities: number; readonly done: number }> {
  let done = 0;
  const counting = createLog((_level, line) => {
    const { event, done: finished } = JSON.parse(line) as { readonly event: string; readonly done?: number };
    if (event === "pushes_redelivered") done = finished ?? 0;
  });
  const counts = await count(world, () => world.service.redeliver(counting, never, never));
  return { entities: toSum([...counts.values()]), done };
}

await spread();
await compareBacklogs();
