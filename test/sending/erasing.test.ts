// eraseRecipient: what stood for a user is gone, in the tables, in the hub and in the outbox, and nothing made later.
import { TableClient, TableServiceClient } from "@azure/data-tables";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { type Answered, type Api, createProxiedApi } from "../helpers/api.ts";
import { channelsOf, deadLetters, idOf, outboxRows, redeliver as runPass } from "../helpers/pushes.ts";
import { type StoreProxy, storeError } from "../helpers/store.ts";

let proxy: StoreProxy;
let api: Api;

beforeEach(async () => {
  ({ proxy, api } = await createProxiedApi());
});
afterEach(async () => {
  await api.close();
});

const get = (user: string, sent: Answered) => api.as(user, "GET", `/api/notifications/${idOf(sent)}`);
const register = (user: string) =>
  api.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
const redeliver = () => runPass(api);
async function erase(to: unknown): Promise<void> {
  const answer = await api.post("/api/recipients/erase", { to });
  expect([answer.status, answer.text]).toEqual([202, ""]);
}
async function receiptOf(sent: Answered, to: string): Promise<unknown> {
  const answer = await api.post("/api/receipts", { id: idOf(sent), to: [to] });
  return (answer.json()["receipts"] as readonly unknown[])[0];
}

/** Every row of every table of this deployment, as text, but for those of a recipient's bare tombstones. */
async function listRows(): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const storage = inject("storageConnectionString");
  const plain = { allowInsecureConnection: true };
  const rows: Record<string, unknown>[] = [];
  for await (const { name } of TableServiceClient.fromConnectionString(storage, plain).listTables())
    if (name?.startsWith(api.tablePrefix) === true)
      for await (const row of TableClient.fromConnectionString(storage, name, plain).listEntities())
        rows.push({ table: name.slice(api.tablePrefix.length), ...row });
  return rows;
}

/** A row of a device; others of its partition begin with a tilde. */
const isDevice = (row: Readonly<Record<string, unknown>>) =>
  row["table"] === "installations" && !String(row["rowKey"]).startsWith("~");

test("leaves bare tombstones, no device anywhere, and others alone", async () => {
  await register("ann");
  await register("bob");
  const both = await api.send({ to: ["ann", "bob"], payload: "both" });
  const fetched = await api.send({ to: ["ann"], payload: "fetched", ttl: 86_400 * 3 });
  await get("ann", fetched);
  expect((await listRows()).filter(isDevice)).toHaveLength(2);

  await erase(["ann"]);
  await redeliver();

  expect([(await get("ann", both)).status, (await get("ann", fetched)).status]).toEqual([404, 404]);
  expect((await get("bob", both)).json()["payload"]).toBe("both");
  expect(await receiptOf(both, "ann")).toEqual({ to: "ann", push: "unknown" });
  expect(await receiptOf(fetched, "ann")).toEqual({ to: "ann", push: "unknown" });
  expect(await receiptOf(both, "bob")).toMatchObject({ push: "accepted" });
  expect(api.hub.installations().map(({ pushChannel }) => pushChannel)).toEqual(["bob"]);
  // The record that her push channel is a former one goes once the hub has had time, and a released channel after a day.
  api.advance(86_401);
  await redeliver();
  await api.runTimer("dropExpired");
  const rows = await listRows();
  expect(rows.filter(isDevice)).toHaveLength(1);
  expect(rows.filter(({ table }) => table === "channels")).toHaveLength(1);
  expect(rows.filter(({ table }) => table === "outbox")).toEqual([]);
  const tombstones = rows.filter(({ gone }) => gone === "erased");
  expect(tombstones).toHaveLength(2);
  for (const row of tombstones)
    expect(Object.keys(row).toSorted()).toEqual(
      ["table", "etag", "partitionKey", "rowKey", "timestamp", "v", "w", "gone"].toSorted(),
    );
});

test("does not touch what is made after it was asked, and may be asked again", async () => {
  await register("ann");
  const early = await api.send({ to: ["ann"], payload: "early" });
  api.advance(1);
  await erase(["ann"]);
  api.advance(1);
  await register("ann"); // unchanged, but written after the erasure was asked for
  const late = await api.send({ to: ["ann"], payload: "late" });
  await redeliver();
  expect([(await get("ann", early)).status, (await get("ann", late)).status]).toEqual([404, 200]);
  expect(api.hub.installations()).toHaveLength(1);
  expect(await receiptOf(late, "ann")).toMatchObject({ push: "accepted" });
  await erase(["ann", "ann", "nobody"]);
  await redeliver();
  expect((await get("ann", late)).status).toBe(404);
  expect(api.hub.installations()).toEqual([]);
});

test("takes the user out of what the outbox still holds: no push, no name, and the others get theirs", async () => {
  await register("ann");
  await register("bob");
  api.advance(121);
  // The hub pauses, so that the erasure comes first however long this test has taken.
  api.hub.fail({ on: "send", answer: { status: 429, headers: { "retry-after": "40" } } });
  const pending = await api.send({ to: ["ann", "bob"], payload: 1 });
  api.hub.fail({ on: "send", answer: { status: 400 } });
  const dead = await api.send({ to: ["ann", "bob"], payload: 2 });
  expect([pending.status, dead.status]).toEqual([202, 201]);
  await erase(["ann"]);
  await redeliver();
  api.advance(60);
  await redeliver();
  expect(channelsOf(api, idOf(pending))).toEqual(["bob"]);
  expect(await receiptOf(dead, "ann")).toEqual({ to: "ann", push: "unknown" });
  expect(await receiptOf(dead, "bob")).toEqual({ to: "bob", push: "failed" });
  const erased = (await listRows()).find(({ gone }) => gone === "erased");
  const letters = await deadLetters(api);
  expect(letters).toHaveLength(1);
  expect(JSON.stringify(letters)).not.toContain(String(erased?.["partitionKey"]));
  expect(await outboxRows(api)).toEqual([]);
});

test("a retry with the key of an earlier send does not bring the user's part back", async () => {
  const isPayload = (path: string) => path.includes("notifications20");
  let writes = 0;
  proxy.decide = ({ method, path }) =>
    method === "POST" && isPayload(path) && ++writes > 1 ? storeError(403, "No") : undefined;
  const body = { to: ["ann", "bob"], payload: "half" };
  const headers = { "idempotency-key": "k" };
  expect((await api.send(body, headers)).status).toBe(503);
  proxy.decide = () => undefined;
  api.advance(1);
  await erase(["ann"]);
  await redeliver();
  const sent = await api.send(body, headers);
  expect(sent.status, sent.text).toBe(201);
  expect([(await get("ann", sent)).status, (await get("bob", sent)).status]).toEqual([404, 200]);
});

test("P3: leaves others what they were promised, also where no push was tried yet", async () => {
  await register("bob");
  // The payloads are written, and what is to be pushed is left to redelivery: a promise all the same.
  proxy.decide = ({ method, path }) =>
    method === "GET" && path.includes("installations") ? storeError(403, "No") : undefined;
  const sent = await api.send({ to: ["ann", "bob"], payload: "for both" });
  expect(sent.status, sent.text).toBe(202);
  proxy.decide = () => undefined;
  api.advance(16);
  await erase(["ann"]);
  for (let pass = 0; pass < 2; pass++) {
    await redeliver();
    api.advance(60);
  }
  expect([(await get("ann", sent)).status, (await get("bob", sent)).status]).toEqual([404, 200]);
  expect(await receiptOf(sent, "bob")).toMatchObject({ push: "accepted" });
});

test("comes to its end once the hub and the store are back", async () => {
  await register("ann");
  const sent = await api.send({ to: ["ann"], payload: 1 });
  await erase(["ann"]);
  api.hub.fail({ on: "installation", times: 3, answer: { status: 500 } });
  let refused = 0;
  proxy.decide = ({ method, path }) =>
    method !== "GET" && path.includes("notifications20") && refused++ < 2 ? storeError(403, "No") : undefined;
  for (let pass = 0; pass < 5; pass++) {
    await redeliver();
    api.advance(60);
  }
  expect(refused).toBeGreaterThan(2);
  expect((await get("ann", sent)).status).toBe(404);
  expect(api.hub.installations()).toEqual([]);
  expect((await listRows()).filter(({ table }) => table === "outbox")).toEqual([]);
});
