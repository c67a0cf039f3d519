// P4: retry is safe: with an Idempotency-Key any number of equal requests make one notification.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Api, createApi, createProxiedApi } from "../helpers/api.ts";
import { channelsOf, idOf, outboxRows, rawRows } from "../helpers/pushes.ts";
import { type StoreProxy, storeError } from "../helpers/store.ts";
import { type ProxiedRequest } from "../helpers/faultProxy.ts";
import { findTraces } from "../helpers/traces.ts";

let proxy: StoreProxy;
let api: Api;

beforeAll(async () => {
  ({ proxy, api } = await createProxiedApi());
  await api.as("ann", "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: "ann" });
});
afterEach(() => {
  proxy.decide = () => undefined;
  api.hub.clearFaults();
});
afterAll(async () => {
  await api.close();
});

let keys = 0;
const nextKey = () => `key-${keys++}`;
const send = (key: string, body: unknown = { to: ["ann"], payload: 1 }, from: Api = api) =>
  from.send(body, { "idempotency-key": key });
const pushesOf = (id: string) => channelsOf(api, id).length;

const dayName = (inDays: number) =>
  new Date(Date.now() + inDays * 86_400_000).toISOString().slice(0, 10).replaceAll("-", "");

async function payloadRows(id: string): Promise<number> {
  return (await rawRows(api, `notifications${dayName(7)}`)).filter(({ rowKey }) => rowKey === id).length;
}

/** Of the lifetimes that these tests use. */
async function countPayloads(): Promise<number> {
  const days = await Promise.all([0, 1, 7].map((day) => rawRows(api, `notifications${dayName(day)}`)));
  return days.flat().length;
}

test("R78: the same key and request get the first answer again: one id, one row, one push", async () => {
  const key = nextKey();
  const first = await send(key);
  expect(first.status, first.text).toBe(201);
  for (let i = 0; i < 3; i++) {
    const again = await send(key);
    expect([again.status, again.text, again.headers.get("location")]).toEqual([
      201,
      first.text,
      first.headers.get("location"),
    ]);
  }
  expect(pushesOf(idOf(first))).toBe(1);
  expect(await payloadRows(idOf(first))).toBe(1);
});

test("a pending answer is given again too", async () => {
  const key = nextKey();
  api.hub.fail({ on: "send", answer: "reset" });
  const first = await send(key);
  expect(first.status).toBe(202);
  const again = await send(key);
  expect([again.status, again.text]).toEqual([202, first.text]);
  await api.runTimer("redeliverPushes");
  expect(pushesOf(idOf(first))).toBe(1);
});

test.each([
  ["members in another order", '{"payload":1,"to":["ann"]}'],
  ["white space", '{ "to" : [ "ann" ] ,\n "payload" : 1 }'],
  ["defaults written out", '{"to":["ann"],"payload":1,"ttl":604800,"urgency":"normal","display":"alert"}'],
  ["members that are null", '{"to":["ann"],"payload":1,"ttl":null,"urgency":null,"topic":null}'],
  ["a duplicate", '{"to":["ann","ann"],"payload":1}'],
])("requests that parse to the same are the same: %s", async (_what, body) => {
  const key = nextKey();
  const first = await send(key);
  const headers = {
    "content-type": "application/json",
    "x-functions-key": api.functionKey,
    "idempotency-key": key,
  };
  const again = await api.call("POST", "/api/notifications", headers, body);
  expect([again.status, again.text]).toEqual([201, first.text]);
});

test("recipients are a set: their order is nothing", async () => {
  const key = nextKey();
  const first = await send(key, { to: ["x1", "x2"], payload: 1 });
  expect((await send(key, { to: ["x2", "x1", "x2"], payload: 1 })).text).toBe(first.text);
});

test.each<[string, unknown]>([
  ["payload", { to: ["ann"], payload: 2 }],
  ["payload's text, though of one value", { to: ["ann"], payload: [1] }],
  ["recipient (R80)", { to: ["bea"], payload: 1 }],
  ["recipients, one more", { to: ["ann", "bea"], payload: 1 }],
  ["lifetime", { to: ["ann"], payload: 1, ttl: 60 }],
  ["urgency", { to: ["ann"], payload: 1, urgency: "high" }],
  ["topic", { to: ["ann"], payload: 1, topic: "t" }],
  ["display", { to: ["ann"], payload: 1, display: "silent" }],
])("R79: the same key with another %s is a 422, and nothing is stored or pushed", async (_what, body) => {
  const key = nextKey();
  const first = await send(key);
  const [pushes, payloads] = [api.hub.requests.length, await countPayloads()];
  const other = await send(key, body);
  expect(other.status, other.text).toBe(422);
  expect(other.json()["reason"]).toBe("idempotency_key_reused");
  expect(api.hub.requests.length).toBe(pushes);
  expect(await outboxRows(api)).toEqual([]);
  expect(await countPayloads()).toBe(payloads);
  expect((await send(key)).text).toBe(first.text);
});

test.each([
  ["quotes of a structured field", (key: string) => `"${key}"`, 201],
  ["255 characters", (key: string) => key.padEnd(255, "x"), 201],
  ["nothing", () => "", 400],
  ["empty quotes", () => '""', 400],
  ["256 characters", (key: string) => key.padEnd(256, "x"), 400],
  ["a comma", (key: string) => `${key},x`, 400],
  ["a space", (key: string) => `${key} x`, 400],
  ["one quote", (key: string) => `"${key}`, 400],
  ["another script", (key: string) => `${key}\u00e9`, 400],
])("R77: a key of %s", async (_what, toHeader, status) => {
  const key = nextKey();
  const before = [(await outboxRows(api)).length, await countPayloads()];
  const answer = await send(toHeader(key));
  expect(answer.status, answer.text).toBe(status);
  if (status === 201) return;
  expect(answer.json()["reason"]).toBe("idempotency_key_invalid");
  expect([(await outboxRows(api)).length, await countPayloads()]).toEqual(before);
});

test("R77: a key with and without quotes is one key", async () => {
  const key = nextKey();
  expect((await send(`"${key}"`)).text).toBe((await send(key)).text);
});

test("R81: while the first is at work, a second is told to come back", async () => {
  const key = nextKey();
  const isHeld = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  proxy.decide = async ({ method, path }) => {
    if (method !== "POST" || !path.includes("notifications20")) return undefined;
    isHeld.resolve();
    await released.promise;
    return undefined;
  };
  const first = send(key);
  await isHeld.promise;
  const second = await send(key);
  expect(second.status, second.text).toBe(409);
  expect(second.json()["reason"]).toBe("request_in_progress");
  expect(Number(second.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(Number(second.headers.get("retry-after"))).toBeLessThanOrEqual(15);
  released.resolve();
  const answer = await first;
  expect(answer.status).toBe(201);
  expect((await send(key)).text).toBe(answer.text);
});

test("R82: one key raced 50 times on two instances gives one id, one row, one push", async () => {
  const other = await createApi("in process", { beside: api });
  try {
    const key = nextKey();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => send(key, undefined, i % 2 === 0 ? api : other)),
    );
    const accepted = answers.filter(({ status }) => status === 201);
    expect(accepted.length).toBeGreaterThanOrEqual(1);
    for (const { status, text } of answers) expect([201, 409], text).toContain(status);
    const ids = new Set(accepted.map(idOf));
    expect(ids.size).toBe(1);
    const [id = ""] = ids;
    expect(await payloadRows(id)).toBe(1);
    expect(pushesOf(id)).toBe(1);
  } finally {
    await other.close();
  }
});

test("R83: a key belongs to the sender who presents it", async () => {
  const issuing = await createApi("in process", { settings: { SEND_AUTH: "token" } });
  try {
    const key = nextKey();
    const by = async (clientId: string) => {
      const answer = await fetch(`${issuing.issuer.url}/token`, {
        method: "POST",
        body: new URLSearchParams({ grant_type: "client_credentials", client_id: clientId }),
      });
      const { access_token: token } = (await answer.json()) as { readonly access_token: string };
      const authorization = `Bearer ${token}`;
      const headers = { "content-type": "application/json", authorization, "idempotency-key": key };
      return issuing.call("POST", "/api/notifications", headers, '{"to":["ann"],"payload":1}');
    };
    const [one, two, again] = [await by("one"), await by("two"), await by("one")];
    expect([one.status, two.status, again.status]).toEqual([201, 201, 201]);
    expect(idOf(two)).not.toBe(idOf(one));
    expect(idOf(again)).toBe(idOf(one));
  } finally {
    await issuing.close();
  }
});

test("R84: a failed try does not burn the key", async () => {
  const key = nextKey();
  proxy.decide = ({ method, path }) =>
    method === "POST" && path.includes("$batch") ? storeError(403, "No") : undefined;
  const failed = await send(key);
  expect(failed.status).toBe(503);
  expect(failed.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
  proxy.decide = () => undefined;
  const sent = await send(key);
  expect(sent.status, sent.text).toBe(201);
  expect(pushesOf(idOf(sent))).toBe(1);
});

describe("a try that failed half way", () => {
  const isPayload = ({ method, path }: ProxiedRequest) =>
    method === "POST" && path.includes("notifications20");

  /** Three of many rows are written, then the store refuses. */
  async function failHalfWay(key: string | undefined, to: readonly string[]): Promise<string> {
    let writes = 0;
    let id = "";
    proxy.decide = (request) => {
      if (!isPayload(request)) return undefined;
      id = String((JSON.parse(request.body) as { readonly RowKey?: unknown }).RowKey);
      return ++writes > 3 ? storeError(403, "No") : undefined;
    };
    const body = { to, payload: "half" };
    const failed = key === undefined ? await api.send(body) : await send(key, body);
    expect(failed.status).toBe(503);
    proxy.decide = () => undefined;
    return id;
  }
  const crowd = (name: string) => Array.from({ length: 40 }, (_, i) => `${name}-${i}`);
  const countStored = async (users: readonly string[], id: string) => {
    const answers = await Promise.all(users.map((user) => api.as(user, "GET", `/api/notifications/${id}`)));
    return answers.filter(({ status }) => status === 200).length;
  };

  test("is completed by the next one, with the same id", async () => {
    const [key, to] = [nextKey(), crowd("next")];
    const id = await failHalfWay(key, to);
    const sent = await send(key, { to, payload: "half" });
    expect(sent.status, sent.text).toBe(201);
    expect(idOf(sent)).toBe(id);
    expect(await countStored(to, id)).toBe(40);
  });

  test("is taken back by redelivery where nobody tries again, and may still be tried after that", async () => {
    const [key, to] = [nextKey(), crowd("late")];
    const pushes = api.hub.requests.length;
    const id = await failHalfWay(key, to);
    api.advance(16);
    await api.runTimer("redeliverPushes");
    expect(await countStored(to, id)).toBe(0);
    expect(api.hub.requests.length).toBe(pushes);
    const sent = await send(key, { to, payload: "half" });
    expect([sent.status, idOf(sent)]).toEqual([201, id]);
    expect(await countStored(to, id)).toBe(40);
  });

  test("without a key is taken back at once", async () => {
    const to = crowd("keyless");
    const id = await failHalfWay(undefined, to);
    expect(await countStored(to, id)).toBe(0);
  });

  test("is held back while redelivery is at work on it", async () => {
    const [key, to] = [nextKey(), crowd("held")];
    api.advance(60);
    await api.runTimer("redeliverPushes"); // what other tests have left
    await failHalfWay(key, to);
    api.advance(16);
    const isAtWork = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    proxy.decide = async ({ method, path }) => {
      if (method !== "GET" || !path.includes("notifications20")) return undefined;
      isAtWork.resolve();
      await released.promise;
      return undefined;
    };
    const pass = api.runTimer("redeliverPushes");
    await isAtWork.promise;
    const second = await send(key, { to, payload: "half" });
    expect(second.status, second.text).toBe(409);
    proxy.decide = () => undefined;
    released.resolve();
    await pass;
    expect((await send(key, { to, payload: "half" })).status).toBe(201);
  });
});

describe("R93: an answer that was lost is no failure", () => {
  test.each(["idempotency", "outbox", "notifications20"])("of a write to %s", async (table) => {
    const lost = new Set<string>();
    proxy.decide = ({ method, path, headers, body }) => {
      if (method === "GET" || !(path.includes(table) || body.includes(`${table}(`))) return undefined;
      const what = `${method} ${String(headers["x-http-method"])} ${path}`;
      if (lost.has(what)) return undefined;
      lost.add(what);
      return { kind: "loseAnswer" };
    };
    const key = nextKey();
    const sent = await send(key);
    expect(sent.status, sent.text).toBe(201);
    expect(lost.size).toBeGreaterThan(0);
    proxy.decide = () => undefined;
    expect((await send(key)).text).toBe(sent.text);
    expect(pushesOf(idOf(sent))).toBe(1);
    expect(await payloadRows(idOf(sent))).toBe(1);
  });
});

test("R86: a key is remembered for a day, and then forgotten by the hourly drop", async () => {
  const key = nextKey();
  const first = await send(key);
  api.advance(86_400 - 5);
  expect((await send(key)).text).toBe(first.text);
  api.advance(10);
  const claims = () => rawRows(api, `idempotency${dayName(0)}`);
  expect((await claims()).length).toBeGreaterThan(0);
  const second = await send(key);
  expect([second.status, idOf(second) === idOf(first)]).toEqual([201, false]);
  api.advance(86_401);
  await api.runTimer("dropExpired");
  expect(await claims()).toEqual([]); // the whole day is gone
});

test("R87: the row of a key holds nothing of the request, in any encoding", async () => {
  const [key, marker] = [nextKey(), `marker-${"payload".repeat(3)}`];
  const before = proxy.requests.length;
  await send(key, { to: ["secret-user"], payload: marker, topic: "secret-topic" });
  const written = proxy.requests
    .slice(before)
    .filter(({ path }) => path.includes("idempotency") || path.includes("$batch"))
    .map(({ path, body }) => `${path} ${body}`)
    .join("\n");
  expect(written).toContain("fingerprint");
  for (const secret of [marker, key, "secret-user", "secret-topic"])
    expect(findTraces(Buffer.from(written), secret), secret).toEqual([]);
});

test("R88: without a key each call is a notification; where a key is required, that is a 400", async () => {
  const [one, two] = [
    await api.send({ to: ["ann"], payload: 1 }),
    await api.send({ to: ["ann"], payload: 1 }),
  ];
  expect(idOf(one)).not.toBe(idOf(two));
  const strict = await createApi("in process", { settings: { REQUIRE_IDEMPOTENCY_KEY: "true" } });
  try {
    const refused = await strict.send({ to: ["ann"], payload: 1 });
    expect([refused.status, refused.json()["reason"]]).toEqual([400, "idempotency_key_missing"]);
    expect((await send(nextKey(), undefined, strict)).status).toBe(201);
  } finally {
    await strict.close();
  }
});
