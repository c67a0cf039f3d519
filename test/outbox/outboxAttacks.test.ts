// P3, P4 and P7 where processes sleep past their leases, devices change hands while the hub is away, one call hangs, and
// somebody writes to the storage account.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Api, createProxiedApi } from "../helpers/api.ts";
import { channelsOf, idOf, outboxRows, rawRows, rawTable, redeliver as runPass } from "../helpers/pushes.ts";
import { storeError, type StoreProxy } from "../helpers/store.ts";

let proxy: StoreProxy;
let api: Api;
beforeEach(async () => {
  ({ proxy, api } = await createProxiedApi());
});
afterEach(async () => {
  await api.close();
});

type PlatformName = "fcmv1" | "adm";
const register = (user: string, pushChannel: string, platform: PlatformName = "fcmv1") =>
  api.as(user, "PUT", `/api/installations/${platform}`, { platform, pushChannel });
const redeliver = () => runPass(api);
const get = (user: string, id: string) => api.as(user, "GET", `/api/notifications/${id}`);
const pushedTo = (id: string) => channelsOf(api, id);
const table = (name: string) => rawTable(api, name);
const key = { "idempotency-key": "k" };

/** A device that the hub has long shown to tags. */
async function withDevice(user: string, platform?: PlatformName): Promise<void> {
  await register(user, `${user}-${platform ?? ""}`, platform);
  api.advance(121);
}

/** The outbox row of a send that the hub did not take, to be copied. */
async function pendingRow(user: string) {
  api.hub.fail({ on: "send", answer: { status: 500 } });
  const sent = await api.send({ to: [user], payload: 1 });
  const found = (await outboxRows(api)).find(({ key: of }) => of === idOf(sent));
  if (found === undefined) throw new Error("the outbox has no such row");
  const { etag: _, timestamp: __, key: ___, ...row } = found;
  return { id: idOf(sent), row };
}

/** A moment that a test waits for, and one that it lets come. */
function createHold() {
  const [held, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  return {
    hold: () => {
      held.resolve();
      return released.promise;
    },
    isHeld: held.promise,
    release: () => released.resolve(),
  };
}

describe("P3: a process that slept past its lease", () => {
  test("and wakes over what was taken back promises nothing, and the retry pushes", async () => {
    await withDevice("ann");
    const { hold, isHeld, release } = createHold();
    let writes = 0;
    proxy.decide = async ({ method, path }) => {
      if (method === "POST" && path.includes("notifications20") && writes++ === 0) await hold();
      return undefined;
    };
    const first = api.send({ to: ["ann"], payload: 1 }, key);
    await isHeld;
    api.advance(16);
    await redeliver(); // takes it back
    release();
    expect((await first).status).toBe(503);
    const second = await api.send({ to: ["ann"], payload: 1 }, key);
    expect(second.status, second.text).toBe(201);
    expect(pushedTo(idOf(second))).toEqual(["ann-"]);
    expect((await get("ann", idOf(second))).status).toBe(200);
  });

  test("in redelivery takes nothing back that another has promised meanwhile", async () => {
    await withDevice("ann");
    await api.send({ to: ["ann", "bob"], payload: 0 }); // makes the tables
    let writes = 0;
    proxy.decide = ({ method, path }) =>
      method === "POST" && path.includes("notifications20") && ++writes > 1
        ? storeError(403, "No")
        : undefined;
    expect((await api.send({ to: ["ann", "bob"], payload: 1 }, key)).status).toBe(503);
    api.advance(16);
    const { hold, isHeld, release } = createHold();
    let reads = 0;
    proxy.decide = ({ method, path }) =>
      method === "GET" && path.includes("notifications20") && ++reads === 2
        ? { kind: "holdAnswer", until: hold }
        : undefined;
    const pass = redeliver();
    await isHeld;
    proxy.decide = () => undefined;
    api.advance(31);
    const second = await api.send({ to: ["ann", "bob"], payload: 1 }, key);
    expect(second.status, second.text).toBe(201);
    release();
    await pass;
    for (const user of ["ann", "bob"]) expect((await get(user, idOf(second))).status).toBe(200);
  });
});

describe("a hub that is away", () => {
  test("P7: while a channel changes hands: what its former owner is owed directly goes to nobody", async () => {
    await register("ann", "C");
    api.hub.fail({ on: "send", answer: "reset" });
    const sent = await api.send({ to: ["ann"], payload: 1 });
    api.hub.fail({ on: "installation", times: 100, answer: { status: 503 } });
    expect([sent.status, (await register("bob", "C")).status]).toEqual([202, 202]);
    for (let pass = 0; pass < 3; pass++) {
      api.advance(130);
      await redeliver();
    }
    api.hub.clearFaults();
    for (let pass = 0; pass < 3; pass++) {
      api.advance(400);
      await redeliver();
    }
    expect(pushedTo(idOf(sent))).toEqual([]);
  });

  test("P3, R107: for longer than a device is new: the device is pushed to all the same", async () => {
    api.hub.fail({ on: "installation", times: 100, answer: { status: 503 } });
    expect((await register("ann", "C")).status).toBe(202);
    api.advance(121);
    const sent = await api.send({ to: ["ann"], payload: 1 });
    api.hub.clearFaults();
    for (let pass = 0; pass < 3; pass++) {
      api.advance(60);
      await redeliver();
    }
    expect(pushedTo(idOf(sent))).toEqual(["C"]);
  });

  test("R96: hangs: registering is a 202 and removing a 204, in time", async () => {
    await register("ann", "ann");
    api.hub.fail({ on: "installation", times: 100, answer: "hang" });
    const [registered, removed] = await Promise.all([
      register("bob", "bob"),
      api.as("ann", "DELETE", "/api/installations/fcmv1"),
    ]);
    expect([registered.status, removed.status]).toEqual([202, 204]);
  });

  test("on one platform: what another has taken is not pushed again", async () => {
    await register("ann", "ann-f", "fcmv1");
    await register("ann", "ann-a", "adm");
    api.advance(121);
    api.hub.fail({ on: "send", times: 2, answer: { status: 500 } });
    const sent = await api.send({ to: ["ann"], payload: 1 });
    // Whichever of the two comes second hangs, in this pass.
    api.hub.fail({ on: "send", answer: { delayMs: 0 } });
    api.hub.fail({ on: "send", answer: "hang" });
    api.advance(60);
    await redeliver();
    api.hub.clearFaults();
    api.advance(60);
    await redeliver();
    expect(pushedTo(idOf(sent)).toSorted((a, b) => a.localeCompare(b))).toEqual(["ann-a", "ann-f"]);
  });
});

test("of what was not promised to anyone nothing is pushed, also where one of its recipients is erased", async () => {
  for (const user of ["ann", "bob"]) await withDevice(user);
  await api.send({ to: ["ann", "bob"], payload: 0 }); // makes the tables
  let id = "";
  proxy.decide = ({ method, path, body }) => {
    if (method !== "POST" || !path.includes("notifications20")) return undefined;
    if (id !== "") return storeError(403, "No");
    id = String((JSON.parse(body) as { readonly RowKey?: unknown }).RowKey);
    return undefined;
  };
  expect((await api.send({ to: ["ann", "bob"], payload: 1 }, key)).status).toBe(503);
  proxy.decide = () => undefined;
  api.advance(1);
  await api.post("/api/recipients/erase", { to: ["bob"] });
  for (let pass = 0; pass < 2; pass++) {
    await redeliver();
    api.advance(60);
  }
  expect(pushedTo(id)).toEqual([]);
  for (const user of ["ann", "bob"]) expect((await get(user, id)).status).toBe(404);
});

describe("somebody who writes to the storage account", () => {
  test("with a device row that makes no sense does not have others pushed to again and again", async () => {
    for (const user of ["eve", "ann"]) await withDevice(user);
    const [row, other] = await Promise.all(
      ["installations", "channels"].map(
        async (name) => (await Array.fromAsync(table(name).listEntities()))[0],
      ),
    );
    expect([row, other]).not.toContain(undefined);
    const { etag: _, timestamp: __, ...rest } = row ?? {};
    await table("installations").updateEntity(
      { ...rest, partitionKey: String(row?.partitionKey), rowKey: String(row?.rowKey), platform: "mpns" },
      "Replace",
    );
    const sent = await api.send({ to: ["eve", "ann"], payload: 1 });
    for (let pass = 0; pass < 2; pass++) {
      api.advance(60);
      await redeliver();
    }
    expect(pushedTo(idOf(sent)).length).toBe(1);
  });

  test("with rows that lie elsewhere keeps nothing from being pushed", async () => {
    await withDevice("ann");
    const { id, row } = await pendingRow("ann");
    const early = String(Date.now() - 3_600_000).padStart(15, "0");
    for (let i = 0; i < 256; i++) {
      const partitionKey = String(i % 8);
      await table("outbox").createEntity({ ...row, partitionKey: "!", rowKey: `row-${early}-${i}` });
      await table("outbox").createEntity({ partitionKey, rowKey: `due-hub-${early}-task-${i}` });
    }
    await redeliver();
    expect(pushedTo(id)).toEqual(["ann-"]);
    // What no row knows is removed when it is looked at.
    const entries = (await rawRows(api, "outbox")).filter(({ rowKey }) => rowKey.startsWith("due-"));
    expect(entries).toEqual([]);
  });

  test("with a pause of a thousand years delays pushes by an hour", async () => {
    await withDevice("ann");
    const { id } = await pendingRow("ann");
    const until = new Date("3000-01-01");
    const pause = { partitionKey: "pause", rowKey: Buffer.from("hub").toString("base64url") };
    await table("pauses").createTable();
    await table("pauses").createEntity({ ...pause, name: "hub", until, v: 1 });
    await redeliver();
    expect(pushedTo(id)).toEqual([]);
    await table("pauses").deleteEntity(pause.partitionKey, pause.rowKey);
    api.advance(3_700);
    await redeliver();
    expect(pushedTo(id)).toEqual(["ann-"]);
  });

  test("P1: has no text of theirs pushed in the place of an ID", async () => {
    await withDevice("ann");
    const { id, row } = await pendingRow("ann");
    const text = `${id.slice(0, 4)} call 555-1234`;
    const partitionKey = String(text.charCodeAt(text.length - 1) % 8);
    const early = String(Date.now() - 3_600_000).padStart(15, "0");
    for (const name of [`row-${text.slice("task-".length)}`, `row-${early}-${text}`])
      await table("outbox").createEntity({ ...row, partitionKey, rowKey: name });
    await table("outbox").createEntity({ partitionKey, rowKey: `due-hub-${early}-${text}` });
    await redeliver();
    expect(pushedTo(id)).toEqual(["ann-"]);
    expect(api.hub.requests.some(({ body }) => body.includes("555-1234"))).toBe(false);
  });
});

test("a pass that can write no result says so once of each row", async () => {
  await withDevice("ann");
  const ids: string[] = [];
  const shardOf = (id: string) => id.charCodeAt(id.length - 1) % 8;
  // Two of one shard, which are leased and written together.
  while (new Set(ids.map(shardOf)).size === ids.length) ids.push((await pendingRow("ann")).id);
  const last = ids.at(-1) ?? "";
  const unreadable = ids.find((id) => shardOf(id) === shardOf(last)) ?? "";
  let batches = 0;
  proxy.decide = ({ path, body }) => {
    if (path.includes("notifications20") && path.includes(unreadable)) return storeError(403, "No");
    const isOfPair = path.includes("$batch") && body.includes(last);
    return isOfPair && batches++ > 0 ? storeError(403, "No") : undefined; // the first one leases
  };
  api.advance(2);
  await redeliver();
  const left = (id: string) =>
    api.lines.filter((line) => line.includes('"row_left"') && line.includes(id)).length;
  expect([left(unreadable), left(last)]).toEqual([1, 1]);
});
