// getReceipts: what a sender may know of what it sent, over HTTP, in process and through the local host.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answered, type Api, createApi, WAYS } from "../helpers/api.ts";

describe.each(WAYS)("%s", (way) => {
  let api: Api;
  beforeAll(async () => {
    api = await createApi(way);
    await api.as("ann", "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: "ann" });
  });
  afterAll(() => api.close());

  const idOf = (sent: Answered) => String(sent.json()["id"]);
  const ask = (id: string, to: unknown) => api.post("/api/receipts", { id, to });

  test("tells of each user asked for, in their order, and of nothing that is not so", async () => {
    const sent = await api.send({ to: ["ann", "bob"], payload: 1 });
    expect((await ask(idOf(sent), ["bob", "ann", "eve", "bob"])).json()).toEqual({
      id: idOf(sent),
      receipts: [
        { to: "bob", push: "noDevices" },
        { to: "ann", push: "accepted" },
        { to: "eve", push: "unknown" },
      ],
    });
  });

  test("tells when it was fetched first", async () => {
    const sent = await api.send({ to: ["ann"], payload: 1 });
    const startedMs = Date.now();
    await api.as("ann", "GET", `/api/notifications/${idOf(sent)}`);
    const receipts = (await ask(idOf(sent), ["ann"])).json()["receipts"] as readonly Record<string, string>[];
    expect(receipts).toEqual([{ to: "ann", push: "accepted", fetchedAt: expect.any(String) }]);
    const fetchedAt = receipts[0]?.["fetchedAt"] ?? "";
    expect(new Date(fetchedAt).toISOString()).toBe(fetchedAt);
    expect(Math.abs(new Date(fetchedAt).getTime() - startedMs)).toBeLessThan(60_000);
  });

  test.each([
    "",
    "x",
    "0".repeat(32),
    "F".repeat(32),
    "Z".repeat(32),
    "a/../b",
    "' or 1 eq 1",
    "é".repeat(500),
  ])("a text that is no id of ours is as unknown as any: %s", async (id) => {
    const answer = await ask(id, ["ann", "bob"]);
    expect(answer.status, answer.text).toBe(200);
    expect(answer.json()).toEqual({
      id,
      receipts: [
        { to: "ann", push: "unknown" },
        { to: "bob", push: "unknown" },
      ],
    });
  });

  test("GUIDs are one user in either case", async () => {
    const guid = "0F8FAD5B-D9CB-469F-A165-70867728950E";
    const sent = await api.send({ to: [guid], payload: 1 });
    expect((await ask(idOf(sent), [guid])).json()["receipts"]).toEqual([
      { to: guid.toLowerCase(), push: "noDevices" },
    ]);
  });

  test.each<[string, unknown]>([
    ["no id", { to: ["ann"] }],
    ["a number for an id", { id: 1, to: ["ann"] }],
    ["nobody", { id: "x", to: [] }],
    ["a hundred and one", { id: "x", to: Array.from({ length: 101 }, (_, i) => `u${i}`) }],
    ["an unknown member", { id: "x", to: ["ann"], all: true }],
  ])("P8: %s is a 400", async (_what, body) => {
    const answer = await api.post("/api/receipts", body);
    expect([answer.status, answer.json()["reason"]]).toEqual([400, "body_invalid"]);
  });

  test("is for senders alone: neither a device's token nor nothing opens it", async () => {
    const body = { id: "x", to: ["ann"] };
    expect((await api.as("ann", "POST", "/api/receipts", body)).status).toBe(401);
    expect((await api.as("ann", "POST", "/api/recipients/erase", { to: ["ann"] })).status).toBe(401);
  });
});
