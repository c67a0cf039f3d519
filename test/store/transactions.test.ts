// Entity group transactions in Azurite, directly and through a proxy that loses answers.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TableOperation } from "../../shared/store/table.ts";
import { createStoreProxy, createTestStore, type StoreProxy, type TestStore } from "../helpers/store.ts";

const never = new AbortController().signal;

let proxy: StoreProxy;
let direct: TestStore;
let lossy: TestStore;
beforeEach(async () => {
  proxy = await createStoreProxy();
  direct = createTestStore();
  lossy = createTestStore({ prefix: direct.prefix, connectionString: proxy.connectionString });
});
afterEach(() => proxy.close());

const transact = (...operations: readonly TableOperation[]) =>
  lossy.tables.transact("rows", "p", operations, never);
const read = (rowKey: string) => direct.tables.read({ table: "rows", partitionKey: "p", rowKey }, never);
const keys = async () =>
  (await direct.tables.list({ table: "rows", partitionKey: "p" }, 1000, never)).map(({ rowKey }) => rowKey);

async function insert(rowKey: string, n = 1): Promise<string> {
  const etag = await direct.tables.write(
    { table: "rows", partitionKey: "p", rowKey },
    { n },
    undefined,
    never,
  );
  if (etag === undefined) throw new Error("the row exists");
  return etag;
}

describe("a transaction", () => {
  test("creates the missing table, and answers the ETag of each row written", async () => {
    const etags = await transact(
      { kind: "insert", rowKey: "a", values: { n: 1, at: new Date(0), bytes: new Uint8Array([1, 2]) } },
      { kind: "put", rowKey: "b", values: { text: "'quoted' ü\r\nETag: x" } },
    );
    const [a, b] = [await read("a"), await read("b")];
    expect(etags).toEqual([a?.etag, b?.etag]);
    expect(a?.values).toMatchObject({ n: 1, at: new Date(0), bytes: Buffer.from([1, 2]), v: 1 });
    expect(b?.values["text"]).toBe("'quoted' ü\r\nETag: x");
  });

  test("changes all or nothing: one stale version, missing or existing row undoes the rest", async () => {
    const etag = await insert("a");
    await insert("b");
    const put: TableOperation = { kind: "put", rowKey: "c", values: {} };
    const stale = "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\"";
    expect(
      await transact(put, { kind: "replace", rowKey: "a", values: { n: 2 }, etag: stale }),
    ).toBeUndefined();
    expect(await transact(put, { kind: "delete", rowKey: "a", etag: stale })).toBeUndefined();
    expect(await transact(put, { kind: "delete", rowKey: "x" })).toBeUndefined();
    expect(await transact(put, { kind: "insert", rowKey: "a", values: {} })).toBeUndefined();
    expect(await keys()).toEqual(["a", "b"]);
    expect(
      await transact(put, { kind: "delete", rowKey: "b" }, { kind: "delete", rowKey: "a", etag }),
    ).toHaveLength(3);
    expect(await keys()).toEqual(["c"]);
  });

  test("takes 100 operations, and refuses more before anything is sent", async () => {
    const put = (i: number): TableOperation => ({ kind: "put", rowKey: `r${i}`, values: { i } });
    expect(await transact(...Array.from({ length: 100 }, (_, i) => put(i)))).toHaveLength(100);
    const before = proxy.requests.length;
    await expect(transact(...Array.from({ length: 101 }, (_, i) => put(i)))).rejects.toThrow("at most 100");
    expect(proxy.requests.length).toBe(before);
  });

  test.each([
    ["inserts", (): readonly TableOperation[] => [{ kind: "insert", rowKey: "n", values: {} }]],
    ["replaces", (etag: string) => [{ kind: "replace" as const, rowKey: "a", values: { n: 2 }, etag }]],
    ["deletes", (etag: string) => [{ kind: "delete" as const, rowKey: "a", etag }]],
  ])("R93: that %s and whose answer is lost is recognised as written", async (_what, operationsOf) => {
    const operations = operationsOf(await insert("a"));
    let isFirst = true;
    proxy.decide = ({ path }) => {
      if (!isFirst || !path.includes("$batch")) return undefined;
      isFirst = false;
      return { kind: "loseAnswer" };
    };
    expect(await transact(...operations)).toHaveLength(1);
    expect(proxy.requests.filter(({ path }) => path.includes("$batch"))).toHaveLength(2);
  });

  test("R94: of 20 that change one version at once, one does", async () => {
    const etag = await insert("a");
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        transact(
          { kind: "replace", rowKey: "a", values: { i }, etag },
          { kind: "put", rowKey: `by-${i}`, values: {} },
        ),
      ),
    );
    expect(answers.filter((etags) => etags !== undefined)).toHaveLength(1);
    expect(await keys()).toHaveLength(2);
  });
});
