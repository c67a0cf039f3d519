// Single rows in Azurite, directly and through a proxy that fails as networks and stores do.
import { inspect } from "node:util";
import { afterEach, describe, expect, inject, onTestFinished, test, vi } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import { Secret } from "../../shared/base/secret.ts";
import { StoreUnavailableError } from "../../shared/store/store.ts";
import { createTables, type RowKey, type Tables } from "../../shared/store/table.ts";
import type { Fault, ProxiedRequest } from "../helpers/faultProxy.ts";
import {
  createStoreProxy,
  createTestStore,
  silentLog,
  storeError,
  type StoreProxy,
} from "../helpers/store.ts";

const never = new AbortController().signal;
const keyOf = (rowKey: string, table = "rows"): RowKey => ({ table, partitionKey: "p", rowKey });

let proxies: StoreProxy[] = [];
afterEach(async () => {
  await Promise.all(proxies.map((proxy) => proxy.close()));
  proxies = [];
});

/** A store behind a proxy, and the same one directly. */
async function createLossyStore() {
  const proxy = await createStoreProxy();
  proxies.push(proxy);
  const direct = createTestStore();
  const lossy = createTestStore({ prefix: direct.prefix, connectionString: proxy.connectionString });
  return { proxy, direct, lossy };
}

/** A fault of the first matching request alone. */
function once(method: string, fault: Fault) {
  let isOver = false;
  return (request: ProxiedRequest) => {
    if (isOver || request.method !== method || request.path.includes("/Tables")) return undefined;
    isOver = true;
    return fault;
  };
}

async function read(tables: Tables, key: RowKey) {
  const row = await tables.read(key, never);
  if (row === undefined) throw new Error("the row is missing");
  return row;
}

function errorOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => expect.unreachable("it should have failed"),
    (error: unknown) => {
      if (error instanceof Error) return error;
      throw new Error("what was thrown is no error");
    },
  );
}

describe("rows", () => {
  test("come back with every kind of value, bytes and milliseconds kept", async () => {
    const { tables } = createTestStore();
    const values = {
      text: "line\nU+2028 \u2028 'quoted' \"x\" \u{1f600} <&>",
      emptyText: "",
      whole: 2_147_483_647,
      yes: true,
      no: false,
      at: new Date("2026-02-28T23:59:59.007Z"),
      atOnTheSecond: new Date("2026-03-01T00:00:00.000Z"),
      early: new Date("1970-01-01T00:00:00.001Z"),
      bytes: new Uint8Array([0, 1, 254, 255]),
      noBytes: new Uint8Array(0),
    };
    expect(await tables.write(keyOf("a"), values, undefined, never)).toBeDefined();
    const row = await read(tables, keyOf("a"));
    expect(row).toMatchObject({ partitionKey: "p", rowKey: "a" });
    expect(row.etag).not.toBe("");
    for (const [name, value] of Object.entries(values)) {
      const found = row.values[name];
      expect(found instanceof Uint8Array ? [...found] : found).toEqual(
        value instanceof Uint8Array ? [...value] : value,
      );
    }
    expect(row.values["v"]).toBe(1);
  });

  test("that are not there, or whose table is not, are undefined or an empty list, and make no table", async () => {
    const { tables, listTables } = createTestStore();
    expect(await tables.read(keyOf("a"), never)).toBeUndefined();
    expect(await tables.list({ table: "rows", partitionKey: "p" }, Infinity, never)).toEqual([]);
    expect(await tables.remove(keyOf("a"), 'W/"x"', never)).toBe(true);
    expect(await tables.write(keyOf("a"), { n: 1 }, 'W/"x"', never)).toBeUndefined();
    expect(await tables.merge(keyOf("a"), { n: 1 }, 'W/"x"', never)).toBeUndefined();
    expect(await listTables()).toEqual([]);
  });

  test("R99: ten instances make one missing table at once, and each insert is written", async () => {
    const { prefix, listTables, tables } = createTestStore();
    const instances = Array.from({ length: 10 }, () => createTestStore({ prefix }));
    const outcomes = await Promise.all(
      instances.map((instance, i) => instance.tables.write(keyOf(`r${i}`), { i }, undefined, never)),
    );
    expect(outcomes).toEqual(Array.from({ length: 10 }, () => expect.any(String)));
    expect(await listTables()).toEqual(["rows"]);
    expect(await tables.list({ table: "rows", partitionKey: "p" }, Infinity, never)).toHaveLength(10);
  });

  test("of many who insert one row at once, one writes it", async () => {
    const { prefix, tables } = createTestStore();
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        createTestStore({ prefix }).tables.write(keyOf("a"), { i }, undefined, never),
      ),
    );
    expect(outcomes.filter((etag) => etag !== undefined)).toHaveLength(1);
    expect((await read(tables, keyOf("a"))).values["i"]).toBe(
      outcomes.findIndex((etag) => etag !== undefined),
    );
  });

  test("R94: of 20 who change one version, one does; read and tried again, no change is lost", async () => {
    const { prefix, tables } = createTestStore();
    await tables.write(keyOf("a"), { count: 0 }, undefined, never);
    const { etag } = await read(tables, keyOf("a"));
    const first = await Promise.all(
      Array.from({ length: 20 }, (_, i) => tables.write(keyOf("a"), { count: 0, i }, etag, never)),
    );
    expect(first.filter((written) => written !== undefined)).toHaveLength(1);

    const increment = async (mine: Tables): Promise<void> => {
      for (;;) {
        const row = await read(mine, keyOf("a"));
        const count = Number(row.values["count"]) + 1;
        if ((await mine.merge(keyOf("a"), { count }, row.etag, never)) !== undefined) return;
      }
    };
    await Promise.all(Array.from({ length: 8 }, () => increment(createTestStore({ prefix }).tables)));
    expect((await read(tables, keyOf("a"))).values["count"]).toBe(8);
  });

  test("a version that is no longer the row's changes nothing: not by replace, merge or remove", async () => {
    const { tables } = createTestStore();
    await tables.write(keyOf("a"), { n: 1 }, undefined, never);
    const old = await read(tables, keyOf("a"));
    expect(await tables.write(keyOf("a"), { n: 2 }, old.etag, never)).toBeDefined();
    expect(await tables.write(keyOf("a"), { n: 3 }, old.etag, never)).toBeUndefined();
    expect(await tables.merge(keyOf("a"), { n: 3 }, old.etag, never)).toBeUndefined();
    expect(await tables.remove(keyOf("a"), old.etag, never)).toBe(false);
    const row = await read(tables, keyOf("a"));
    expect(row.values["n"]).toBe(2);
    expect(await tables.remove(keyOf("a"), row.etag, never)).toBe(true);
    expect(await tables.read(keyOf("a"), never)).toBeUndefined();
  });

  test("replace drops what it does not name, merge keeps it", async () => {
    const { tables } = createTestStore();
    await tables.write(keyOf("a"), { kept: 1, changed: 1 }, undefined, never);
    await tables.merge(keyOf("a"), { changed: 2 }, (await read(tables, keyOf("a"))).etag, never);
    expect((await read(tables, keyOf("a"))).values).toMatchObject({ kept: 1, changed: 2 });
    await tables.write(keyOf("a"), { changed: 3 }, (await read(tables, keyOf("a"))).etag, never);
    const { values } = await read(tables, keyOf("a"));
    expect(values["changed"]).toBe(3);
    expect(values).not.toHaveProperty("kept");
  });

  test("are listed past the store's page of 1,000, in order, and one partition alone", async () => {
    const { tables, rawTable } = createTestStore();
    const client = rawTable("rows");
    await client.createTable();
    const names = Array.from({ length: 2_350 }, (_, i) => String(i).padStart(5, "0"));
    for (let i = 0; i < names.length; i += 100)
      await client.submitTransaction(
        names.slice(i, i + 100).map((rowKey) => ["create", { partitionKey: "p", rowKey, n: 1 }]),
      );
    await client.createEntity({ partitionKey: "p2", rowKey: "x" });
    await client.createEntity({ partitionKey: "P", rowKey: "x" });
    const rows = await tables.list({ table: "rows", partitionKey: "p" }, Infinity, never);
    expect(rows.map((row) => row.rowKey)).toEqual(names);
    expect(new Set(rows.map((row) => row.etag)).size).toBeGreaterThan(0);
    expect(rows.every((row) => row.partitionKey === "p" && row.etag !== "")).toBe(true);
  });

  test.each(["x' or PartitionKey ne '", "' or '1' eq '1", "p''", "%27 or true", "p' "])(
    "R91: a partition named %j is a name and no filter",
    async (partitionKey) => {
      const { tables } = createTestStore();
      await tables.write(keyOf("a"), { n: 1 }, undefined, never);
      expect(await tables.list({ table: "rows", partitionKey: partitionKey }, Infinity, never)).toEqual([]);
      expect(await tables.read({ table: "rows", partitionKey, rowKey: "a" }, never)).toBeUndefined();
    },
  );
});

describe("R93: an answer that was lost is no conflict", () => {
  test.each(["loseAnswer", "reset"] as const)("insert, when the network does: %s", async (kind) => {
    const { proxy, lossy, direct } = await createLossyStore();
    await direct.tables.write(keyOf("first"), {}, undefined, never);
    proxy.decide = once("POST", { kind });
    expect(await lossy.tables.write(keyOf("a"), { n: 1 }, undefined, never)).toBeDefined();
    expect((await read(direct.tables, keyOf("a"))).values["n"]).toBe(1);
    expect(proxy.requests.filter((request) => request.method === "POST")).toHaveLength(2);
  });

  test("insert into a missing table, when both the table's and the row's answer are lost", async () => {
    const { proxy, lossy, direct } = await createLossyStore();
    const lost = new Set<string>();
    proxy.decide = ({ method, path }) => {
      const isRow = !path.includes("/Tables");
      // The row's first try is the one that finds no table.
      if (method !== "POST" || (isRow && !lost.has("/Tables"))) return undefined;
      const what = isRow ? "row" : "/Tables";
      if (lost.has(what)) return undefined;
      lost.add(what);
      return { kind: "loseAnswer" };
    };
    expect(await lossy.tables.write(keyOf("a"), { n: 1 }, undefined, never)).toBeDefined();
    expect([...lost]).toEqual(["/Tables", "row"]);
    expect(await direct.tables.list({ table: "rows", partitionKey: "p" }, Infinity, never)).toHaveLength(1);
  });

  test.each([
    ["write", "PUT"],
    ["merge", "PATCH"],
  ] as const)("%s", async (operation, method) => {
    const { proxy, lossy, direct } = await createLossyStore();
    await direct.tables.write(keyOf("a"), { n: 1 }, undefined, never);
    const { etag } = await read(direct.tables, keyOf("a"));
    proxy.decide = once(method, { kind: "loseAnswer" });
    expect(await lossy.tables[operation](keyOf("a"), { n: 2 }, etag, never)).toBeDefined();
    const row = await read(direct.tables, keyOf("a"));
    expect(row.values["n"]).toBe(2);
    expect(row.etag).not.toBe(etag);
    expect(proxy.requests.filter((request) => request.method === method)).toHaveLength(2);
  });

  test("remove", async () => {
    const { proxy, lossy, direct } = await createLossyStore();
    await direct.tables.write(keyOf("a"), { n: 1 }, undefined, never);
    const { etag } = await read(direct.tables, keyOf("a"));
    proxy.decide = once("DELETE", { kind: "loseAnswer" });
    expect(await lossy.tables.remove(keyOf("a"), etag, never)).toBe(true);
    expect(await direct.tables.read(keyOf("a"), never)).toBeUndefined();
  });

  test("every answer lost: the store is unavailable, and what was written stands once", async () => {
    const { proxy, lossy, direct } = await createLossyStore();
    await direct.tables.write(keyOf("first"), {}, undefined, never);
    proxy.decide = () => ({ kind: "loseAnswer" });
    const error = await errorOf(lossy.tables.write(keyOf("a"), { n: 1 }, undefined, never));
    expect(error).toBeInstanceOf(StoreUnavailableError);
    expect(await direct.tables.list({ table: "rows", partitionKey: "p" }, Infinity, never)).toHaveLength(2);
  });
});

describe("a real conflict stays one, behind a lost answer too", () => {
  test("insert: another's row of the same values", async () => {
    const { proxy, lossy, direct } = await createLossyStore();
    await direct.tables.write(keyOf("a"), { n: 1 }, undefined, never);
    expect(await lossy.tables.write(keyOf("a"), { n: 1 }, undefined, never)).toBeUndefined();
    proxy.decide = once("POST", { kind: "loseAnswer" });
    expect(await lossy.tables.write(keyOf("a"), { n: 1 }, undefined, never)).toBeUndefined();
  });

  test("replace: another wrote between the lost request and its repetition", async () => {
    const { proxy, lossy, direct } = await createLossyStore();
    await direct.tables.write(keyOf("a"), { n: 1 }, undefined, never);
    const { etag } = await read(direct.tables, keyOf("a"));
    let isFirst = true;
    proxy.decide = async ({ method }) => {
      if (method !== "PUT" || !isFirst) return undefined;
      isFirst = false;
      await direct.tables.write(keyOf("a"), { n: 2 }, etag, never);
      return { kind: "reset" };
    };
    expect(await lossy.tables.write(keyOf("a"), { n: 2 }, etag, never)).toBeUndefined();
    expect((await read(direct.tables, keyOf("a"))).values["n"]).toBe(2);
  });

  test("remove: another changed the row between the lost request and its repetition", async () => {
    const { proxy, lossy, direct } = await createLossyStore();
    await direct.tables.write(keyOf("a"), { n: 1 }, undefined, never);
    const { etag } = await read(direct.tables, keyOf("a"));
    let isFirst = true;
    proxy.decide = async ({ method }) => {
      if (method !== "DELETE" || !isFirst) return undefined;
      isFirst = false;
      await direct.tables.merge(keyOf("a"), { n: 2 }, etag, never);
      return { kind: "reset" };
    };
    expect(await lossy.tables.remove(keyOf("a"), etag, never)).toBe(false);
    expect((await read(direct.tables, keyOf("a"))).values["n"]).toBe(2);
  });

  test("two writes of one instance carry different marks", async () => {
    const { tables } = createTestStore();
    await tables.write(keyOf("a"), {}, undefined, never);
    await tables.write(keyOf("b"), {}, undefined, never);
    const marks = [await read(tables, keyOf("a")), await read(tables, keyOf("b"))].map((r) => r.values["w"]);
    expect(marks[0]).toEqual(expect.any(String));
    expect(marks[0]).not.toBe(marks[1]);
  });
});

type Operation = readonly [name: string, run: (tables: Tables, signal: AbortSignal) => Promise<unknown>];
const operations: readonly Operation[] = [
  ["read", (tables, signal) => tables.read(keyOf("a"), signal)],
  ["list", (tables, signal) => tables.list({ table: "rows", partitionKey: "p" }, Infinity, signal)],
  ["insert", (tables, signal) => tables.write(keyOf("b"), { n: 1 }, undefined, signal)],
  ["replace", (tables, signal) => tables.write(keyOf("a"), { n: 1 }, 'W/"x"', signal)],
  ["merge", (tables, signal) => tables.merge(keyOf("a"), { n: 1 }, 'W/"x"', signal)],
  ["remove", (tables, signal) => tables.remove(keyOf("a"), 'W/"x"', signal)],
];

describe("a store that fails", () => {
  test("R95: each attempt is signed with its own date", async () => {
    const { proxy, lossy } = await createLossyStore();
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    const dates: string[] = [];
    const signatures = new Set<string | undefined>();
    proxy.decide = ({ headers }) => {
      dates.push(headers["x-ms-date"] ?? "");
      signatures.add(headers["authorization"]);
      vi.setSystemTime(Date.now() + 2000);
      return dates.length === 1 ? storeError(503, "ServerBusy") : undefined;
    };
    await lossy.tables.read(keyOf("a"), never);
    const [first = "", second = ""] = dates;
    expect([dates.length, signatures.size]).toEqual([2, 2]);
    expect(Date.parse(second) - Date.parse(first)).toBeGreaterThanOrEqual(2000);
  });

  // The waits between tries are real: these run at once, each with a store of its own.
  test("R95: 503 to everything ends as STORE_UNAVAILABLE after at most four tries", async () => {
    await Promise.all(
      operations.map(async ([name, run]) => {
        const { proxy, lossy } = await createLossyStore();
        proxy.decide = () => storeError(503, "ServerBusy");
        const error = await errorOf(run(lossy.tables, never));
        expect(error, name).toBeInstanceOf(StoreUnavailableError);
        expect(error, name).toMatchObject({ code: "STORE_UNAVAILABLE" });
        expect(proxy.requests.length, name).toBeGreaterThan(1);
        expect(proxy.requests.length, name).toBeLessThanOrEqual(4);
      }),
    );
  });

  test("R95: a transient status twice, then an answer, is no failure", async () => {
    await Promise.all(
      [408, 429, 500, 502, 503, 504].map(async (status) => {
        const { proxy, lossy } = await createLossyStore();
        const headers = status === 429 ? { "retry-after": "0" } : {};
        proxy.decide = () =>
          proxy.requests.length <= 2 ? storeError(status, "ServerBusy", headers) : undefined;
        expect(await lossy.tables.read(keyOf("a"), never), String(status)).toBeUndefined();
        expect(proxy.requests, String(status)).toHaveLength(3);
      }),
    );
  });

  test.each([400, 401, 403, 413])("R95: %i is not tried again", async (status) => {
    const { proxy, lossy } = await createLossyStore();
    proxy.decide = () => storeError(status, "Refused");
    for (const [name, run] of operations) {
      const before = proxy.requests.length;
      const error = await errorOf(run(lossy.tables, never));
      // What is our own fault is no outage; refused credentials may pass.
      expect(error instanceof StoreUnavailableError, name).toBe(status !== 400 && status !== 413);
      expect(proxy.requests.length - before, name).toBe(1);
    }
  });

  test("a table whose name is refused because it is being deleted is an outage, not a conflict", async () => {
    const { proxy, lossy } = await createLossyStore();
    proxy.decide = ({ method }) =>
      method === "GET" ? storeError(404, "TableNotFound") : storeError(409, "TableBeingDeleted");
    for (const [name, run] of operations.filter(
      ([operation]) => operation !== "read" && operation !== "list",
    ))
      expect(await errorOf(run(lossy.tables, never)), name).toBeInstanceOf(StoreUnavailableError);
    // The table was found missing before its name was refused.
    proxy.decide = ({ path }) =>
      path.includes("/Tables") ? storeError(409, "TableBeingDeleted") : storeError(404, "TableNotFound");
    expect(await errorOf(lossy.tables.write(keyOf("a"), {}, undefined, never))).toBeInstanceOf(
      StoreUnavailableError,
    );
  });

  test("a table that goes between being made and being written to is an outage, not a conflict", async () => {
    const { proxy, lossy } = await createLossyStore();
    proxy.decide = ({ path }) => (path.includes("/Tables") ? undefined : storeError(404, "TableNotFound"));
    expect(await errorOf(lossy.tables.write(keyOf("a"), {}, undefined, never))).toBeInstanceOf(
      StoreUnavailableError,
    );
  });

  test.each(operations)("R96: %s ends with its signal when the store never answers", async (_, run) => {
    const { proxy, lossy } = await createLossyStore();
    const deadline = new AbortController();
    const reason = new Error("the deadline");
    proxy.decide = () => {
      deadline.abort(reason);
      return { kind: "hang" };
    };
    expect(await errorOf(run(lossy.tables, deadline.signal))).toBe(reason);
    expect(proxy.requests).toHaveLength(1);
    expect(await errorOf(run(lossy.tables, deadline.signal))).toBe(reason);
    expect(proxy.requests).toHaveLength(1);
  });

  test("R96: a signal that is aborted between two tries ends them", async () => {
    const { proxy, lossy } = await createLossyStore();
    const deadline = new AbortController();
    const reason = new Error("the deadline");
    proxy.decide = () => {
      if (proxy.requests.length === 2) deadline.abort(reason);
      return { kind: "reset" };
    };
    expect(await errorOf(lossy.tables.read(keyOf("a"), deadline.signal))).toBe(reason);
    expect(proxy.requests).toHaveLength(2);
  });

  test("that is down makes everything fail with STORE_UNAVAILABLE, and no error tells a secret", async () => {
    const { proxy, lossy } = await createLossyStore();
    await proxy.close();
    const key = /AccountKey=([^;]+)/.exec(inject("storageConnectionString"))?.[1] ?? "";
    expect(key).not.toBe("");
    const errors = await Promise.all(operations.map(([, run]) => errorOf(run(lossy.tables, never))));
    for (const error of errors) {
      expect(error).toBeInstanceOf(StoreUnavailableError);
      expect(error.message).toBe("storage answered nothing");
      const text = inspect(error, { depth: 12, showHidden: true });
      expect(text).not.toContain(key);
      expect(text).not.toMatch(/SharedKey(?:Lite)? \w/); // the signature of a request
    }
  });
});

describe("the clock", () => {
  test("learns the store's time from every answer, refusals too", async () => {
    const { proxy, direct } = await createLossyStore();
    const ours = Date.parse("2026-05-01T12:00:00.000Z");
    const clock = createClock(silentLog, () => ours);
    const lossy = createTestStore({
      prefix: direct.prefix,
      connectionString: proxy.connectionString,
      clock,
    });
    proxy.answerHeaders = () => ({ date: "Fri, 01 May 2026 13:00:00 GMT" });
    expect(await lossy.tables.read(keyOf("a"), never)).toBeUndefined(); // a 404
    expect(clock.now()).toEqual(new Date("2026-05-01T13:00:00.000Z"));
    proxy.answerHeaders = () => ({ date: "nonsense" });
    await lossy.tables.read(keyOf("a"), never);
    expect(clock.now()).toEqual(new Date("2026-05-01T13:00:00.000Z"));
  });
});

describe("R154: what the SDK cannot work with stops the start", () => {
  test.each([
    { endpoint: "https://account.table.core.windows.net" }, // and no credential
    { connectionString: new Secret("DefaultEndpointsProtocol=https;AccountName=marker;AccountKey=") },
    { connectionString: new Secret("DefaultEndpointsProtocol=https;AccountName=marker;AccountKey=marker") },
    { connectionString: new Secret("AccountName=marker;AccountKey=marker") },
    { connectionString: new Secret("TableEndpoint=https://marker.example/marker") },
    { connectionString: new Secret("marker") },
    { connectionString: new Secret("") },
  ])("$connectionString $endpoint", (storage) => {
    const create = () =>
      createTables({
        storage: { tablePrefix: "", ...storage },
        clock: createClock(silentLog),
        allowLoopback: false,
      });
    expect(create).toThrow(Error);
    expect(create).not.toThrow("marker");
  });
});

test("without ALLOW_LOOPBACK plain http is never spoken, whatever the connection string says", async () => {
  const proxy = await createStoreProxy();
  proxies.push(proxy);
  const tables = createTables({
    storage: { tablePrefix: "t", connectionString: new Secret(proxy.connectionString) },
    clock: createClock(silentLog),
    allowLoopback: false,
  });
  await expect(tables.read(keyOf("a"), never)).rejects.toThrow();
  expect(proxy.requests).toEqual([]);
});

/** The clock stands at noon of the first of May. */
function createStoreAtNoon() {
  // Azurite lives in another time, from which this clock must not learn.
  const clock = createClock(silentLog, () => Date.parse("2026-05-01T12:00:00Z"));
  return createTestStore({ clock: { ...clock, observe: () => undefined } });
}

describe("R103: a table that is for one day", () => {
  const today = Math.floor(Date.parse("2026-05-01T12:00:00Z") / 86_400_000);

  test.each([
    [today, ["rows"]],
    [today + 1, ["rows"]],
    [today + 28, ["rows"]],
  ])("%i is made while its day is not over", async (day, names) => {
    const { tables, listTables } = createStoreAtNoon();
    expect(await tables.write({ ...keyOf("a"), day }, {}, undefined, never)).toBeDefined();
    expect(await listTables()).toEqual(names);
  });

  test.each([today - 1, today - 400, 0])("%i is not made once its day is over", async (day) => {
    const { tables, listTables } = createStoreAtNoon();
    await expect(tables.write({ ...keyOf("a"), day }, {}, undefined, never)).rejects.toThrow(
      "a day that is over",
    );
    expect(await listTables()).toEqual([]);
  });
});
