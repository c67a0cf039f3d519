// dropExpired on real storage: what it drops, what it leaves, and what it survives.
import { randomBytes } from "node:crypto";
import type { TransactionAction } from "@azure/data-tables";
import { describe, expect, test } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import { createLocalKeyWrapper } from "../../shared/crypto/kek.ts";
import { createKeyring } from "../../shared/crypto/keyring.ts";
import { createNotificationId, DAY_MS, toDay, toDayName } from "../../shared/domain/id.ts";
import { createLog } from "../../shared/base/log.ts";
import { createDropExpired } from "../../shared/retention/retention.ts";
import { Secret } from "../../shared/base/secret.ts";
import type { ProxiedRequest } from "../helpers/faultProxy.ts";
import { createNotification, tableOf } from "../helpers/rows.ts";
import { createStoreProxy, createTestStore, silentLog, storeError } from "../helpers/store.ts";

const never = new AbortController().signal;
const today = toDay(new Date());
const kek = randomBytes(32);

/** An instance of the service over its own prefix, or another's. */
function createInstance(options: Parameters<typeof createTestStore>[0] = {}) {
  const base = createTestStore(options);
  const { store, clock } = base;
  const wrapper = createLocalKeyWrapper([new Secret<Uint8Array>(kek)]);
  const keyring = createKeyring({ rows: store, wrapper, clock });
  const lines: string[] = [];
  const log = createLog((_level, line) => lines.push(line));
  const pass = createDropExpired({ store, keyring, clock });
  return { ...base, keyring, lines, dropExpired: (signal = never) => pass({ log, signal }) };
}

type Instance = ReturnType<typeof createInstance>;

/** Puts rows, and a key, for a day that may be over: by an instance whose clock stands on that day. */
async function fill(instance: Instance, day: number, rows = 1): Promise<void> {
  const then = { ...createClock(silentLog, () => day * DAY_MS), observe: () => undefined };
  const past = createInstance({ prefix: instance.prefix, clock: then });
  await past.keyring.makeDayKey(day, never);
  const createdAt = then.now();
  const expiresAt = new Date(createdAt.getTime() + 60_000);
  const first = createNotification({ createdAt, expiresAt });
  await past.store.insertNotification(first, "again", never);
  // The others are copies of it, a hundred to a transaction.
  const table = past.rawTable(tableOf(first));
  const copied = await table.getEntity(first.recipientKey, first.id);
  const copies = Array.from({ length: rows - 1 }, (): TransactionAction => {
    const rowKey = createNotificationId(createdAt, expiresAt);
    return ["create", { ...copied, partitionKey: first.recipientKey, rowKey }];
  });
  for (let i = 0; i < copies.length; i += 100) await table.submitTransaction(copies.slice(i, i + 100));
}

async function listDays(instance: Instance) {
  const { tables, keys } = await instance.store.listDays(never);
  const ascending = (days: ReadonlySet<number>) => [...days].toSorted((a, b) => a - b);
  return { tables: ascending(tables), keys: ascending(keys) };
}

const coming = Array.from({ length: 31 }, (_, i) => today + i);

test("R102: days that are over go with their keys; the coming 30 are prepared; nothing else is touched", async () => {
  const instance = createInstance();
  await fill(instance, today - 40, 3);
  await fill(instance, today - 1, 3);
  await fill(instance, today, 3);
  await instance.keyring.purposes(never);
  await instance.tables.write(
    { table: "installations", partitionKey: "p", rowKey: "r" },
    {},
    undefined,
    never,
  );
  await instance.dropExpired();
  expect(await listDays(instance)).toEqual({ tables: coming, keys: coming });
  const rows = await instance.tables.list({ table: "keys", partitionKey: "root" }, Infinity, never);
  expect(rows).toHaveLength(1);
  expect(
    await instance.tables.list({ table: "installations", partitionKey: "p" }, Infinity, never),
  ).toHaveLength(1);
  expect(
    (await Array.fromAsync(instance.rawTable(`notifications${toDayName(today)}`).listEntities())).length,
  ).toBe(3);
  expect(JSON.parse(instance.lines.at(-1) ?? "")).toMatchObject({
    event: "expired_dropped",
    dropped: 2,
    prepared: 60,
  });
});

test("what others keep in the same account stays, whatever it is called", async () => {
  const instance = createInstance();
  const names = [
    "notifications20200101x",
    "notifications2020010",
    "notificationsArchive",
    "notifications20201332",
  ];
  for (const name of names) await instance.tables.makeTable(name, undefined, never);
  const other = createInstance({ prefix: `${instance.prefix}x` });
  await fill(other, today - 5);
  await instance.dropExpired();
  expect(await instance.listTables()).toEqual(expect.arrayContaining(names));
  expect(await listDays(other)).toEqual({ tables: [today - 5], keys: [today - 5] });
});

test("a second pass finds nothing to do, and asks for seven things", async () => {
  const proxy = await createStoreProxy();
  try {
    const instance = createInstance({ connectionString: proxy.connectionString });
    await instance.dropExpired();
    const before = proxy.requests.length;
    await instance.dropExpired();
    // Six questions; preparing the next day of idempotency keys is one request, and no question first.
    expect(
      proxy.requests
        .slice(before)
        .map(({ method }) => method)
        .toSorted(),
    ).toEqual([...Array.from({ length: 6 }, () => "GET"), "POST"]);
  } finally {
    await proxy.close();
  }
});

test("the work goes by days: a day of 300 rows takes as many requests as one of 3", async () => {
  const counts: number[] = [];
  for (const rows of [3, 300]) {
    const proxy = await createStoreProxy();
    try {
      const prepared = createInstance();
      await prepared.dropExpired();
      await fill(prepared, today - 1, rows);
      const instance = createInstance({ prefix: prepared.prefix, connectionString: proxy.connectionString });
      await instance.dropExpired();
      expect((await listDays(prepared)).tables).toEqual(coming);
      counts.push(proxy.requests.length);
    } finally {
      await proxy.close();
    }
  }
  expect(counts[1]).toBe(counts[0]);
});

test("R103: two passes at once, and ten, do no harm", async () => {
  const first = createInstance();
  for (const day of [today - 3, today - 2, today - 1, today]) await fill(first, day);
  const all = Array.from({ length: 10 }, () => createInstance({ prefix: first.prefix }));
  await Promise.all(all.map((instance) => instance.dropExpired()));
  expect(await listDays(first)).toEqual({ tables: coming, keys: coming });
});

describe("on a store that fails", () => {
  const isDropOf = (day: number) => (request: ProxiedRequest) =>
    request.method === "DELETE" && request.path.includes(`Tables('`) && request.path.includes(toDayName(day));

  test("R104: a pass that is killed half way is completed by the next; the day's key went first", async () => {
    const proxy = await createStoreProxy();
    try {
      const instance = createInstance({ connectionString: proxy.connectionString });
      await fill(instance, today - 2);
      await fill(instance, today - 1);
      const killed = new AbortController();
      proxy.decide = (request) => {
        if (!isDropOf(today - 2)(request)) return undefined;
        killed.abort();
        return { kind: "hang" };
      };
      await expect(instance.dropExpired(killed.signal)).rejects.toThrow();
      const left = await listDays(createInstance({ prefix: instance.prefix }));
      expect(left.tables).toContain(today - 2);
      expect(left.keys).not.toContain(today - 2);
      proxy.decide = () => undefined;
      await instance.dropExpired();
      expect(await listDays(instance)).toEqual({ tables: coming, keys: coming });
    } finally {
      await proxy.close();
    }
  });

  test("R104: one day that cannot be dropped keeps no other from it, and the pass counts as failed", async () => {
    const proxy = await createStoreProxy();
    try {
      const instance = createInstance({ connectionString: proxy.connectionString });
      for (const day of [today - 3, today - 2, today - 1]) await fill(instance, day);
      proxy.decide = (request) =>
        isDropOf(today - 2)(request) ? storeError(403, "AuthorizationFailure") : undefined;
      await expect(instance.dropExpired()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
      expect(await listDays(instance)).toEqual({ tables: [today - 2, ...coming], keys: coming });
      expect(instance.lines.some((line) => line.includes("day_not_dropped"))).toBe(true);
    } finally {
      await proxy.close();
    }
  });

  test("R103: a table that is gone, or being deleted, is no failure, and is never made again", async () => {
    const proxy = await createStoreProxy();
    try {
      const instance = createInstance({ connectionString: proxy.connectionString });
      await fill(instance, today - 2);
      await fill(instance, today - 1);
      // Azure refuses a deleted table's name for some 40 s, and may list it that long.
      proxy.decide = async (request) => {
        if (isDropOf(today - 2)(request)) return storeError(409, "TableBeingDeleted");
        if (isDropOf(today - 1)(request)) {
          await instance.rawTable(`notifications${toDayName(today - 1)}`).deleteTable();
          return storeError(404, "ResourceNotFound");
        }
        return undefined;
      };
      await instance.dropExpired();
      const made = proxy.requests.filter(({ method, path }) => method === "POST" && path.includes("/Tables"));
      for (const { body } of made.slice(-31)) expect(body).not.toContain(toDayName(today - 1));
      expect((await listDays(instance)).keys).toEqual(coming);
    } finally {
      await proxy.close();
    }
  });

  test("a store that is away fails the pass, and nothing is dropped", async () => {
    const proxy = await createStoreProxy();
    const instance = createInstance({ connectionString: proxy.connectionString });
    await fill(instance, today - 1);
    await proxy.close();
    await expect(instance.dropExpired()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect((await listDays(createInstance({ prefix: instance.prefix }))).tables).toEqual([today - 1]);
  });
});

test.each([
  ["an hour behind", -3_600_000],
  ["an hour ahead", 3_600_000],
  ["a day behind", -DAY_MS],
  ["a day ahead", DAY_MS],
  ["a year ahead", 365 * DAY_MS],
])(
  "R106: a clock that is %s drops what is over by the store's time, and nothing that lives",
  async (_what, offMs) => {
    const right = createInstance();
    await fill(right, today - 1);
    await fill(right, today);
    await fill(right, today + 1);
    const wrong = createInstance({
      prefix: right.prefix,
      clock: createClock(silentLog, () => Date.now() + offMs),
    });
    await wrong.dropExpired();
    expect(await listDays(right)).toEqual({ tables: coming, keys: coming });
    for (const day of [today, today + 1])
      expect(
        await Array.fromAsync(right.rawTable(`notifications${toDayName(day)}`).listEntities()),
      ).toHaveLength(1);
  },
);

test("R106: one answer of the store with a wrong date costs no day that lives", async () => {
  const proxy = await createStoreProxy();
  try {
    const instance = createInstance({ connectionString: proxy.connectionString });
    await fill(instance, today - 1);
    await fill(instance, today + 3);
    const date = new Date(Date.now() + 40 * DAY_MS).toUTCString();
    let isWrong = true;
    proxy.answerHeaders = ({ path }) => {
      if (!isWrong || !path.includes("Tables?")) return undefined;
      isWrong = false;
      return { date };
    };
    await instance.dropExpired();
    expect(isWrong).toBe(false);
    expect(await listDays(instance)).toEqual({ tables: coming, keys: coming });
    const live = instance.rawTable(`notifications${toDayName(today + 3)}`).listEntities();
    expect(await Array.fromAsync(live)).toHaveLength(1);
  } finally {
    await proxy.close();
  }
});

test("R102: days of idempotency keys and weeks of dead letters go whole when they are over, and no others", async () => {
  const instance = createInstance();
  // 2026-11-23 was a Monday; weeks are named by theirs.
  const monday = today - ((today + 3) % 7);
  const days = [-9, -2, -1, 0].map((ago) => `idempotency${toDayName(today + ago)}`);
  const weeks = [-3, -2, -1, 0, 4].map((ago) => `deadletters${toDayName(monday + ago * 7)}`);
  for (const name of [...days, ...weeks]) await instance.tables.makeTable(name, undefined, never);
  await instance.dropExpired();
  const left = await instance.listTables();
  // A key is remembered for a day, and the coming day is prepared.
  expect(left.filter((name) => name.startsWith("idempotency"))).toEqual(
    [-1, 0, 1].map((ago) => `idempotency${toDayName(today + ago)}`),
  );
  // A dead letter is kept for a week after the week of its expiry.
  expect(left.filter((name) => name.startsWith("deadletters"))).toEqual(
    [-1, 0, 4].map((ago) => `deadletters${toDayName(monday + ago * 7)}`),
  );
});
