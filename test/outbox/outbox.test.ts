// P3: accepted means pushed: what the hub did not take in time is pushed by redelivery, until it is accepted or over.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Answered, type Api, createApi } from "../helpers/api.ts";
import {
  channelsOf,
  deadLetters,
  idOf,
  outboxRows,
  rawTable,
  redeliver as runPass,
} from "../helpers/pushes.ts";

let api: Api;

beforeEach(async () => {
  api = await createApi("in process");
});
afterEach(() => api.close());

const redeliver = () => runPass(api);
const pathOf = (sent: Answered) => `/api/notifications/${idOf(sent)}`;

/** A user with devices that the hub has long shown to tags. */
async function withDevices(
  user: string,
  ...platforms: readonly ("fcmv1" | "adm" | "xiaomi")[]
): Promise<void> {
  for (const platform of platforms)
    await api.as(user, "PUT", `/api/installations/${platform}`, {
      platform,
      pushChannel: `${user}-${platform}`,
    });
  api.advance(121);
}

const pushedTo = (id: string) => channelsOf(api, id);

async function receiptsOf(sent: Answered, to: readonly string[]): Promise<readonly string[]> {
  const answer = await api.post("/api/receipts", { id: idOf(sent), to });
  expect(answer.status, answer.text).toBe(200);
  return (answer.json()["receipts"] as readonly { readonly push: string }[]).map(({ push }) => push);
}

async function receiptOf(sent: Answered, to: string): Promise<string | undefined> {
  const [push] = await receiptsOf(sent, [to]);
  return push;
}

const rows = () => outboxRows(api);

describe("P3: a push that the hub did not take", () => {
  test.each([
    ["503", { status: 503 }],
    ["500", { status: 500 }],
    ["408", { status: 408 }],
    ["429", { status: 429, headers: { "retry-after": "3" } }],
    ["401", { status: 401 }],
    ["403", { status: 403 }],
    ["404: no such hub", { status: 404 }],
    ["a reset", "reset"],
  ] as const)("R110, R112: by %s is pending, and pushed later", async (_what, answer) => {
    await withDevices("ann", "fcmv1");
    api.hub.fail({ on: "send", answer });
    const sent = await api.send({ to: ["ann"], payload: 1 });
    expect(sent.status, sent.text).toBe(202);
    expect(sent.headers.get("location")).toBe(pathOf(sent));
    expect(sent.json()["push"]).toBe("pending");
    expect(await receiptOf(sent, "ann")).toBe("pending");
    expect(pushedTo(idOf(sent))).toEqual([]);
    for (let pass = 0; pass < 3; pass++) {
      api.advance(60);
      await redeliver();
    }
    expect(pushedTo(idOf(sent))).toEqual(["ann-fcmv1"]);
    expect(await receiptOf(sent, "ann")).toBe("accepted");
    expect(await rows()).toEqual([]);
  });

  test.each([{ status: 400 }, { status: 413 }])(
    "R112: by $status has failed for good: a dead letter, a receipt, an error in the log",
    async (answer) => {
      await withDevices("bea", "fcmv1");
      api.hub.fail({ on: "send", answer });
      const sent = await api.send({ to: ["bea"], payload: 1 });
      expect(sent.status, sent.text).toBe(201);
      expect(sent.json()["push"]).toBe("failed");
      expect(await receiptOf(sent, "bea")).toBe("failed");
      expect(await rows()).toEqual([]);
      expect(await deadLetters(api)).toMatchObject([{ rowKey: idOf(sent), reason: "refused" }]);
      expect(api.lines.some((line) => line.includes("push_given_up") && line.includes(idOf(sent)))).toBe(
        true,
      );
      const before = api.hub.requests.length;
      api.advance(600);
      await redeliver();
      expect(api.hub.requests.length).toBe(before);
      // It stays for a week after the week of its expiry, a week from now; then the whole table goes.
      api.advance(13 * 86_400);
      await api.runTimer("dropExpired");
      expect(await receiptOf(sent, "bea")).toBe("failed");
      api.advance(10 * 86_400);
      await api.runTimer("dropExpired");
      expect(await deadLetters(api)).toEqual([]);
    },
  );

  test("R105, R111: is not tried after its expiry: a dead letter, a receipt, an error in the log", async () => {
    await withDevices("cal", "fcmv1");
    api.hub.fail({ on: "send", times: 50, answer: "reset" });
    const sent = await api.send({ to: ["cal"], payload: 1, ttl: 60 });
    expect(sent.status).toBe(202);
    api.advance(61);
    api.hub.clearFaults();
    const before = api.hub.requests.length;
    await redeliver();
    expect(api.hub.requests.length).toBe(before);
    expect(await receiptOf(sent, "cal")).toBe("failed");
    expect(await deadLetters(api)).toMatchObject([{ rowKey: idOf(sent), reason: "expired" }]);
    expect(await rows()).toEqual([]);
    expect(api.lines.some((line) => line.includes("push_given_up") && line.includes(idOf(sent)))).toBe(true);
  });

  test("is repeated alone: what was accepted is not pushed again", async () => {
    await withDevices("dan", "fcmv1", "adm", "xiaomi");
    // Platforms are pushed to in the order fcmv1, adm, xiaomi.
    api.hub.fail({ on: "send", answer: { delayMs: 0 } });
    api.hub.fail({ on: "send", answer: { status: 500 } });
    const sent = await api.send({ to: ["dan"], payload: 1 });
    expect(sent.json()["push"]).toBe("pending");
    expect(pushedTo(idOf(sent))).toHaveLength(2);
    await redeliver();
    expect(pushedTo(idOf(sent))).toEqual(["dan-adm", "dan-fcmv1", "dan-xiaomi"]);
  });

  test("to one of many recipients leaves the others as they are", async () => {
    const users = Array.from({ length: 25 }, (_, i) => `eve${i}`);
    for (const user of users)
      await api.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
    api.advance(121);
    // Twenty share one call, five the other; which of the two is refused, and which held up, is chance.
    api.hub.fail({ on: "send", answer: { status: 400 } });
    api.hub.fail({ on: "send", answer: { status: 502 } });
    const sent = await api.send({ to: [...users, "nobody"], payload: 1 });
    expect(sent.json()["push"]).toBe("pending");
    const before = await receiptsOf(sent, [...users, "nobody", "stranger"]);
    const failed = before.filter((push) => push === "failed").length;
    expect([5, 20]).toContain(failed);
    expect(before.filter((push) => push === "pending").length).toBe(25 - failed);
    expect(before.slice(-2)).toEqual(["noDevices", "unknown"]);
    await redeliver();
    expect(pushedTo(idOf(sent))).toHaveLength(25 - failed);
    const after = await receiptsOf(sent, users);
    expect(after.filter((push) => push === "failed").length).toBe(failed);
    expect(after.filter((push) => push === "accepted").length).toBe(25 - failed);
  });

  test("is repeated without its topic, which could replace what is newer", async () => {
    await withDevices("fay", "fcmv1");
    api.hub.fail({ on: "send", answer: "reset" });
    const sent = await api.send({ to: ["fay"], payload: 1, topic: "balance", ttl: 3600 });
    const first = JSON.parse(String(api.hub.requests.at(-1)?.body)) as { message: { android: object } };
    expect(first.message.android).toHaveProperty("collapse_key");
    await redeliver();
    const delivery = api.hub.deliveries.find(({ body }) => body.includes(idOf(sent)));
    const second = JSON.parse(delivery?.body ?? "") as { message: { android: { ttl: string } } };
    expect(second.message.android).not.toHaveProperty("collapse_key");
    // A push is never kept longer than its payload.
    expect(Number.parseInt(second.message.android.ttl, 10)).toBeLessThanOrEqual(3600);
  });

  test("directly, to a new device, reaches it later too, also once the hub shows it to tags", async () => {
    await withDevices("gus", "fcmv1");
    await api.as("gus", "PUT", "/api/installations/new", { platform: "fcmv1", pushChannel: "gus-new" });
    // The direct push comes first, then the tag's.
    api.hub.fail({ on: "send", answer: "reset" });
    const sent = await api.send({ to: ["gus"], payload: 1 });
    expect(sent.json()["push"]).toBe("pending");
    api.advance(300);
    await redeliver();
    expect(pushedTo(idOf(sent))).toContain("gus-new");
    expect(pushedTo(idOf(sent))).toContain("gus-fcmv1");
  });
});

describe("Retry-After", () => {
  test.each([
    ["seconds", () => "120"],
    ["a date", () => new Date(Date.now() + 241_000 + 120_000).toUTCString()],
  ])("R111: as %s holds for the whole sender", async (_form, value) => {
    await withDevices("hal", "fcmv1");
    await withDevices("ida", "fcmv1");
    api.hub.fail({ on: "send", answer: { status: 500 } });
    const first = await api.send({ to: ["hal"], payload: 1 });
    api.hub.fail({ on: "send", answer: { status: 429, headers: { "retry-after": value() } } });
    const second = await api.send({ to: ["ida"], payload: 1 });
    expect([first.status, second.status]).toEqual([202, 202]);
    const before = api.hub.requests.length;
    await redeliver(); // lingers for 50 s, and asks nothing
    expect(api.hub.requests.length).toBe(before);
    api.advance(120);
    await redeliver();
    expect([pushedTo(idOf(first)), pushedTo(idOf(second))]).toEqual([["hal-fcmv1"], ["ida-fcmv1"]]);
  });

  test("R111: that is absurd is capped at an hour", async () => {
    await withDevices("jan", "fcmv1");
    api.hub.fail({ on: "send", answer: { status: 429, headers: { "retry-after": "99999999" } } });
    const sent = await api.send({ to: ["jan"], payload: 1 });
    api.advance(3600 + 61);
    await redeliver();
    expect(pushedTo(idOf(sent))).toEqual(["jan-fcmv1"]);
  });

  test("is no reason for sendSecure not to try", async () => {
    await withDevices("kim", "fcmv1");
    api.hub.fail({ on: "send", answer: { status: 429, headers: { "retry-after": "600" } } });
    await api.send({ to: ["kim"], payload: 1 });
    expect((await api.send({ to: ["kim"], payload: 2 })).status).toBe(201);
  });

  test("a pass stops at the first 429: the others are not tried", async () => {
    await withDevices("leo", "fcmv1");
    api.hub.fail({ on: "send", times: 20, answer: { status: 500 } });
    for (let i = 0; i < 20; i++) expect((await api.send({ to: ["leo"], payload: i })).status).toBe(202);
    api.hub.clearFaults();
    api.hub.fail({ on: "send", times: 20, answer: { status: 429, headers: { "retry-after": "300" } } });
    const before = api.hub.requests.length;
    await redeliver();
    // Those that were under way at the same moment, and no more.
    expect(api.hub.requests.length - before).toBeLessThanOrEqual(8);
    api.hub.clearFaults();
    for (let pass = 0; pass < 3; pass++) {
      api.advance(301);
      await redeliver();
    }
    expect(api.hub.deliveries).toHaveLength(20);
  });
});

test("R113: a row that cannot be read stops no other, and is told in the log", async () => {
  await withDevices("max", "fcmv1");
  api.hub.fail({ on: "send", times: 3, answer: { status: 500 } });
  const sent = [1, 2, 3].map((payload) => api.send({ to: ["max"], payload }));
  const ids = (await Promise.all(sent)).map(idOf);
  const first = (await rows()).find(({ key }) => key === ids[0]);
  await rawTable(api, "outbox").updateEntity(
    { partitionKey: String(first?.partitionKey), rowKey: String(first?.rowKey), work0: "{" },
    "Merge",
  );
  await redeliver();
  expect(pushedTo(ids[1] ?? "")).toEqual(["max-fcmv1"]);
  expect(pushedTo(ids[2] ?? "")).toEqual(["max-fcmv1"]);
  expect(api.lines.some((line) => line.includes("row_damaged") && line.includes(String(first?.key)))).toBe(
    true,
  );
});

test("R114: 200 rows that are due, and two redeliverers at once: each is pushed once", async () => {
  await withDevices("ned", "fcmv1");
  api.hub.fail({ on: "send", times: 200, answer: { status: 500 } });
  const ids: string[] = [];
  for (let i = 0; i < 200; i += 20) {
    const sent = await Promise.all(Array.from({ length: 20 }, () => api.send({ to: ["ned"], payload: 1 })));
    ids.push(...sent.map(idOf));
  }
  const other = await createApi("in process", { beside: api });
  try {
    api.advance(300);
    await Promise.all([redeliver(), other.runTimer("redeliverPushes")]);
  } finally {
    await other.close();
  }
  expect(ids.map((id) => pushedTo(id).length)).toEqual(ids.map(() => 1));
  expect(await rows()).toEqual([]);
});

test("R108: without faults each device is pushed to once, and the outbox is empty", async () => {
  await withDevices("oda", "fcmv1", "adm");
  const sent = await Promise.all(Array.from({ length: 50 }, () => api.send({ to: ["oda"], payload: 1 })));
  for (const one of sent) expect(pushedTo(idOf(one))).toEqual(["oda-adm", "oda-fcmv1"]);
  expect(await rows()).toEqual([]);
});
