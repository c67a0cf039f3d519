// Tries to break the promises of docs/promises.md on the built bundle under the local host, with real storage, tokens and
// hub. The tests of P3, P4, P6 and P7 are mostly elsewhere (docs/promises.md names them).
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { TableClient, TableServiceClient } from "@azure/data-tables";
import { afterAll, beforeAll, expect, expectTypeOf, inject, test } from "vitest";
import { createTestIssuer, createSigningKey, createToken } from "./helpers/issuer.ts";
import { type Api, type Answered, createApi } from "./helpers/api.ts";
import { findTraces } from "./helpers/traces.ts";
import type { PushMessage } from "../shared/push/sender.ts";

let api: Api;

beforeAll(async () => {
  api = await createApi("through the local host");
});
afterAll(() => api.close());

/** One device of each platform that the hub serves. */
const DEVICES = [
  { platform: "apns", pushChannel: "0a".repeat(32) },
  { platform: "fcmv1", pushChannel: "fcm-token:one" },
  { platform: "wns", pushChannel: "https://db5.notify.windows.com/?token=one" },
  { platform: "adm", pushChannel: "amzn1.adm-registration.v3.one" },
  { platform: "xiaomi", pushChannel: "xiaomi-registration-one" },
  {
    platform: "browser",
    pushChannel: {
      endpoint: "https://updates.push.services.mozilla.com/wpush/v2/one",
      // RFC 8291 appendix A: the user agent's public key and authentication secret
      p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
      auth: "BTBZMqHH6r4Tts7J_aSIgg",
    },
  },
];

async function registerAll(userId: string): Promise<void> {
  for (const device of DEVICES) {
    const registered = await api.as(userId, "PUT", `/api/installations/${device.platform}`, device);
    expect(registered.status, registered.text).toBe(201);
  }
}

function traces(marker: string): readonly string[] {
  return api.hub.requests.flatMap(({ path, rawHeaders, body }) =>
    [Buffer.from(path), Buffer.from(rawHeaders.join("\n")), body].flatMap((bytes) =>
      findTraces(bytes, marker),
    ),
  );
}

test("P1: only the ID leaves: no byte that the hub receives holds the payload, the user or the topic", async () => {
  const marker = `marker-${randomBytes(16).toString("hex")}`;
  const user = `user-${randomBytes(8).toString("hex")}`;
  const topic = `topic-${randomBytes(8).toString("hex")}`;
  await registerAll(user);
  const ids: unknown[] = [];
  for (const display of ["alert", "silent"])
    for (const urgency of ["very-low", "low", "normal", "high"]) {
      const payload = { text: marker, [marker]: [marker, { deep: marker }] };
      const sent = await api.send({ to: [user], payload, topic, display, urgency });
      expect(sent.status, sent.text).toBe(201);
      expect(sent.json()["push"]).toBe("accepted");
      ids.push(sent.json()["id"]);
    }
  // Every device was told each ID …
  const delivered = api.hub.deliveries.map(({ body }) => Buffer.from(body).toString("utf8"));
  for (const id of ids)
    expect(delivered.filter((body) => body.includes(String(id)))).toHaveLength(DEVICES.length);
  // … and nothing else.
  expect(traces(marker)).toEqual([]);
  expect(traces(user)).toEqual([]);
  expect(traces(topic)).toEqual([]);
  // The search would have found it.
  expect(traces(String(ids[0]))).toContain("text");

  // R139, R142: nor do the logs hold it, or what opens a door.
  const got = await api.as(user, "GET", `/api/notifications/${String(ids[0])}`);
  expect(got.text).toContain(marker);
  const log = Buffer.from(api.lines.join("\n"));
  expect(log.includes(String(ids[0]))).toBe(true);
  const addresses = DEVICES.map(({ pushChannel }) =>
    typeof pushChannel === "string" ? pushChannel : pushChannel.endpoint,
  );
  for (const secret of [marker, api.functionKey, ...addresses.filter((address) => address.length >= 16)])
    expect(findTraces(log, secret), secret).toEqual([]);
  expect(log.includes("Bearer")).toBe(false);
});

test("P1: a push message has no room for content", () => {
  expectTypeOf<keyof PushMessage>().toEqualTypeOf<
    "notificationId" | "expiresAt" | "urgency" | "display" | "wireTopic"
  >();
});

/** What a caller can see of an answer, but for what differs between any two calls. */
function visible({ status, headers, text }: Answered): unknown {
  const seen = [...headers].filter(
    ([name]) => !["date", "x-correlation-id", "x-ms-invocation-id"].includes(name),
  );
  return { status, text, headers: Object.fromEntries(seen) };
}

test("P2: yours by construction: a foreign ID and every unknown one give the same 404, byte for byte", async () => {
  const sent = await api.send({ to: ["alice"], payload: "for alice alone" });
  const id = String(sent.json()["id"]);
  expect((await api.as("alice", "GET", `/api/notifications/${id}`)).json()["payload"]).toBe(
    "for alice alone",
  );

  const another = `${id.slice(0, -8)}${id.slice(-8) === "00000000" ? "00000001" : "00000000"}`;
  const unknown = visible(await api.as("alice", "GET", `/api/notifications/${another}`));
  expect(unknown).toMatchObject({ status: 404 });
  const cases: readonly (readonly [string, string])[] = [
    ["mallory", id],
    ["Alice", id], // user ids are compared to the letter
    ["mallory", another],
    ["alice", "0".repeat(32)],
    ["alice", "Z".repeat(32)],
    ["alice", id.toLowerCase()],
    ["alice", "x"],
  ];
  for (const [user, tried] of cases)
    expect(visible(await api.as(user, "GET", `/api/notifications/${tried}`)), `${user} ${tried}`).toEqual(
      unknown,
    );
  // And it is still there for her.
  expect((await api.as("alice", "GET", `/api/notifications/${id}`)).status).toBe(200);
});

test("P2: a recipient named beside others shares nothing but the ID", async () => {
  const sent = await api.send({ to: ["bob", "carol"], payload: { for: "both" } });
  const path = `/api/notifications/${String(sent.json()["id"])}`;
  expect((await api.as("bob", "GET", path)).json()["payload"]).toEqual({ for: "both" });
  expect((await api.as("carol", "GET", path)).json()["payload"]).toEqual({ for: "both" });
  expect((await api.as("dave", "GET", path)).status).toBe(404);
});

test("P2: yours by construction: nobody else marks one read, and every unknown ID gives getNotification's 404", async () => {
  const id = String((await api.send({ to: ["alice"], payload: "for alice alone" })).json()["id"]);
  const deleted = String((await api.send({ to: ["alice"], payload: 1 })).json()["id"]);
  await api.as("alice", "DELETE", `/api/notifications/${deleted}`);
  const another = `${id.slice(0, -8)}${id.slice(-8) === "00000000" ? "00000001" : "00000000"}`;
  const unknown = visible(await api.as("alice", "GET", `/api/notifications/${another}`));
  expect(unknown).toMatchObject({ status: 404 });
  for (const [user, tried] of [
    ["mallory", id],
    ["Alice", id],
    ["alice", another],
    ["alice", deleted],
    ["alice", "0".repeat(32)],
    ["alice", "x"],
  ])
    expect(
      visible(await api.as(user ?? "", "PUT", `/api/notifications/${tried}/read`)),
      `${user} ${tried}`,
    ).toEqual(unknown);
  expect((await api.as("alice", "GET", `/api/notifications/${id}`)).json()["read"]).toBe(false);
});

test("P5: gone is gone: what is deleted is given to nobody from that moment on, and its bytes are erased", async () => {
  const user = `user-${randomBytes(8).toString("hex")}`;
  const sent = await api.send({ to: [user], payload: "x".repeat(200_000) });
  const path = `/api/notifications/${String(sent.json()["id"])}`;
  expect((await api.as(user, "GET", path)).status).toBe(200);
  const before = await readRow(String(sent.json()["id"]));
  expect(Object.keys(before)).toEqual(expect.arrayContaining(["sealed0", "sealed3", "chunks"]));

  expect((await api.as(user, "DELETE", path)).status).toBe(204);
  expect((await api.as(user, "GET", path)).status).toBe(404);
  expect((await api.as(user, "PUT", `${path}/read`)).status).toBe(404);
  expect((await api.as(user, "GET", "/api/notifications")).json()).toEqual({ notifications: [] });
  const left = await readRow(String(sent.json()["id"]));
  expect(left).toMatchObject({ gone: "deleted", fetchedAt: before["fetchedAt"] });
  expect(Object.keys(left).filter((name) => /sealed|chunks/.test(name))).toEqual([]);
  expect(Object.values(left).filter((value) => value instanceof Uint8Array)).toEqual([]);
});

const JSON_TYPE = { "content-type": "application/json" };

test.each<{ what: string; headers?: Record<string, string>; body: string; status: number; reason: string }>([
  { what: "nothing", body: "", status: 400, reason: "body_invalid" },
  { what: "half an object", body: "{", status: 400, reason: "body_invalid" },
  { what: "an array", body: "[]", status: 400, reason: "body_invalid" },
  { what: "null", body: "null", status: 400, reason: "body_invalid" },
  { what: "no recipient", body: '{"payload":1}', status: 400, reason: "body_invalid" },
  { what: "an empty list", body: '{"to":[],"payload":1}', status: 400, reason: "body_invalid" },
  { what: "a number for a user", body: '{"to":1,"payload":1}', status: 400, reason: "body_invalid" },
  { what: "a space in a user id", body: '{"to":["a b"],"payload":1}', status: 400, reason: "body_invalid" },
  { what: "no payload", body: '{"to":["eve"]}', status: 400, reason: "body_invalid" },
  {
    what: "an unknown member",
    body: '{"to":["eve"],"payload":1,"x":1}',
    status: 400,
    reason: "body_invalid",
  },
  {
    what: "a member twice",
    body: '{"to":["eve"],"to":["eva"],"payload":1}',
    status: 400,
    reason: "body_invalid",
  },
  {
    what: "__proto__",
    body: '{"to":["eve"],"payload":1,"__proto__":{"ttl":60}}',
    status: 400,
    reason: "body_invalid",
  },
  {
    what: "a ttl below the floor",
    body: '{"to":["eve"],"payload":1,"ttl":59}',
    status: 400,
    reason: "body_invalid",
  },
  {
    what: "a ttl above the ceiling",
    body: '{"to":["eve"],"payload":1,"ttl":2419201}',
    status: 400,
    reason: "body_invalid",
  },
  {
    what: "half a second",
    body: '{"to":["eve"],"payload":1,"ttl":60.5}',
    status: 400,
    reason: "body_invalid",
  },
  {
    what: "a ttl in quotes",
    body: '{"to":["eve"],"payload":1,"ttl":"60"}',
    status: 400,
    reason: "body_invalid",
  },
  {
    what: "an unpaired surrogate",
    body: '{"to":["eve"],"payload":"\\ud800"}',
    status: 400,
    reason: "body_invalid",
  },
  {
    what: "another media type",
    headers: { "content-type": "text/plain" },
    body: '{"to":["eve"],"payload":1}',
    status: 415,
    reason: "media_type_unsupported",
  },
  {
    what: "a packed body",
    headers: { ...JSON_TYPE, "content-encoding": "gzip" },
    body: '{"to":["eve"],"payload":1}',
    status: 415,
    reason: "content_encoding_unsupported",
  },
  {
    what: "a payload over the limit",
    body: `{"to":["eve"],"payload":"${"x".repeat(262_144)}"}`,
    status: 413,
    reason: "payload_too_large",
  },
  {
    what: "a body over the limit",
    body: `{"to":["eve"],"payload":"${"x".repeat(400_000)}"}`,
    status: 413,
    reason: "body_too_large",
  },
])(
  "P8: bad input gets a clear answer: $what is $status $reason, and nothing is stored or pushed",
  async (row) => {
    await registerEve();
    const before = api.hub.requests.length;
    const stored = await countNotifications();
    const answer = await api.call(
      "POST",
      "/api/notifications",
      { "x-functions-key": api.functionKey, ...(row.headers ?? JSON_TYPE) },
      row.body,
    );
    expect(answer.status, answer.text).toBe(row.status);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.json()).toMatchObject({ type: "about:blank", status: row.status, reason: row.reason });
    expect(answer.json()["title"]).toBeTypeOf("string");
    expect(answer.headers.get("x-correlation-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(api.hub.requests.slice(before)).toEqual([]);
    expect(await countNotifications()).toBe(stored);
  },
);

/** Payload rows over all days, as they lie in their tables. */
async function readRows(): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const storage = inject("storageConnectionString");
  const plain = { allowInsecureConnection: true };
  const names = TableServiceClient.fromConnectionString(storage, plain).listTables();
  const rows: Record<string, unknown>[] = [];
  for await (const { name } of names)
    if (name?.startsWith(`${api.tablePrefix}notifications`) === true)
      rows.push(
        ...(await Array.fromAsync(TableClient.fromConnectionString(storage, name, plain).listEntities())),
      );
  return rows;
}

async function countNotifications(): Promise<number> {
  return (await readRows()).length;
}

/** Of a notification to one recipient. */
async function readRow(id: string): Promise<Readonly<Record<string, unknown>>> {
  const found = (await readRows()).find(({ rowKey }) => rowKey === id);
  if (found === undefined) throw new Error("there is no such row");
  return found;
}

let registeredEve: Promise<Answered> | undefined;
/** So that a push would have somewhere to go. */
function registerEve(): Promise<Answered> {
  registeredEve ??= api.as("eve", "PUT", "/api/installations/phone", {
    platform: "fcmv1",
    pushChannel: "eve",
  });
  return registeredEve;
}

test("P8: bytes that are not UTF-8 are refused, never replaced (R63)", async () => {
  const body = Buffer.concat([
    Buffer.from('{"to":["eve"],"payload":"'),
    Buffer.from([0xff, 0xc0]),
    Buffer.from('"}'),
  ]);
  const headers = { ...JSON_TYPE, "x-functions-key": api.functionKey };
  const answer = await api.call("POST", "/api/notifications", headers, body);
  expect(answer.status).toBe(400);
  expect(answer.json()["reason"]).toBe("body_invalid");
});

test("P8: two Authorization lines are refused, though either alone would do (R5)", async () => {
  const token = await api.issuer.buildUserToken("alice");
  const url = new URL(api.url);
  const socket = connect(Number(url.port), url.hostname);
  socket.write(
    `GET /api/notifications/x HTTP/1.1\r\nhost: ${url.host}\r\nconnection: close\r\n` +
      `authorization: Bearer ${token}\r\nauthorization: Bearer ${token}\r\n\r\n`,
  );
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  expect(answer).toMatch(/^HTTP\/1\.1 40[01] /);
  expect(answer).toMatch(/error="invalid_(?:request|token)"/);
});

test("P8: a device is authenticated before anything else is judged", async () => {
  const issuer = await createTestIssuer();
  const key = createSigningKey("k");
  const forged = createToken({ key, claims: { iss: issuer.issuer, aud: "api://secure-push", sub: "alice" } });
  await issuer.close();
  for (const authorization of [undefined, "Basic YTpi", `Bearer ${forged}`]) {
    const headers = { ...JSON_TYPE, ...(authorization === undefined ? {} : { authorization }) };
    const answer = await api.call("PUT", "/api/installations/%00?unknown=1", headers, "not json");
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toMatch(/^Bearer realm=/);
    expect(answer.headers.get("cache-control")).toBe("no-store");
  }
});
