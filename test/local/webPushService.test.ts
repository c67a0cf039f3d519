// The local push service against messages of the package web-push: it accepts what is right, and is stricter than the real
// ones with everything else.
import { request as startRequest } from "node:https";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import webPush from "web-push";
import { createWebPushService, type WebPushService } from "../../local/webPushService.ts";

const keys = webPush.generateVAPIDKeys();
let service: WebPushService;

beforeAll(async () => {
  service = await createWebPushService();
});
afterAll(() => service.close());
afterEach(() => service.clear());

interface Message {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

function build(text = "hello", publicKey = keys.publicKey): Message {
  const { endpoint, p256dh, auth } = service.subscribe(publicKey);
  const subscription = { endpoint, keys: { p256dh, auth } };
  const { headers, body } = webPush.generateRequestDetails(subscription, text, {
    vapidDetails: { subject: "mailto:push@example.com", ...keys },
    TTL: 60,
    topic: "news",
    urgency: "high",
  });
  if (body === null) throw new Error("no body");
  const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return { url: endpoint, headers: Object.fromEntries(named), body };
}

function post({ url, headers, body }: Message, method = "POST"): Promise<number> {
  const { "content-length": _length, ...sent } = headers;
  return new Promise((resolve, reject) => {
    const request = startRequest(url, {
      method,
      headers: { ...sent, "content-length": body.length },
      ca: service.authority,
      agent: false,
    });
    request.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    request.on("error", reject);
    request.end(body);
  });
}

test("a message of web-push is accepted, and decrypted as its browser would", async () => {
  expect(await post(build("hello"))).toBe(201);
  expect(service.refused).toEqual([]);
  expect(service.received.map(({ text }) => text)).toEqual(["hello"]);
});

test.each<{
  what: string;
  status: number;
  headers?: Readonly<Record<string, string | undefined>>;
  body?: Buffer;
}>([
  { what: "no TTL", status: 400, headers: { ttl: undefined } },
  { what: "TTL 0", status: 400, headers: { ttl: "0" } },
  { what: "TTL with a fraction", status: 400, headers: { ttl: "1.5" } },
  { what: "TTL above 28 days", status: 400, headers: { ttl: "2419201" } },
  { what: "another urgency", status: 400, headers: { urgency: "urgent" } },
  { what: "a topic of 33 characters", status: 400, headers: { topic: "t".repeat(33) } },
  { what: "a topic that is no base64url", status: 400, headers: { topic: "ttttt" } },
  { what: "another encoding", status: 415, headers: { "content-encoding": "aesgcm" } },
  { what: "a Crypto-Key header", status: 400, headers: { "crypto-key": "dh=x" } },
  { what: "a cookie", status: 400, headers: { cookie: "a=b" } },
  { what: "a body of 2,848 bytes", status: 413, body: Buffer.alloc(2848) },
  { what: "a body that does not decrypt", status: 400, body: Buffer.alloc(200) },
  { what: "no VAPID", status: 401, headers: { authorization: undefined } },
  { what: "another scheme", status: 401, headers: { authorization: "WebPush x" } },
  {
    what: "a token that is no token",
    status: 403,
    headers: { authorization: `vapid t=x.y.z, k=${keys.publicKey}` },
  },
])("$what is refused with $status", async ({ status, headers = {}, body }) => {
  const message = build();
  const changed = Object.entries({ ...message.headers, ...headers }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const sent = { ...message, headers: Object.fromEntries(changed), body: body ?? message.body };
  expect(await post(sent)).toBe(status);
  expect(service.received).toEqual([]);
  expect(service.refused.map((refusal) => refusal.status)).toEqual([status]);
});

test("a message that came before is refused: its salt and key are used", async () => {
  const message = build();
  expect([await post(message), await post(message)]).toEqual([201, 400]);
});

test("a subscription under another key answers 403 in FCM's words", async () => {
  expect(await post(build("hello", webPush.generateVAPIDKeys().publicKey))).toBe(403);
  expect(service.refused[0]?.reason).toMatch(/do not correspond to the credentials/);
});

test("only POST is allowed", async () => {
  expect(await post(build(), "PUT")).toBe(405);
});
