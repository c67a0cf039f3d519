// The Web Push sender against the local push service, over real TLS: what a request looks like, what each answer means,
// which key a device is pushed to with, and what other implementations say of ours. Sections are of RFC 8030 unless named.
import { createECDH } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PushApiModel } from "web-push-testing/src/PushApiModel.js";
import {
  type BrowserSubscription,
  createWebPushService,
  type ServiceAnswer,
  type WebPushService,
} from "../../local/webPushService.ts";
import { createVapidKey } from "../../scripts/vapidKey.ts";
import { createClock } from "../../shared/base/clock.ts";
import { createLog } from "../../shared/base/log.ts";
import { createSettingsReader } from "../../shared/config/settingsReader.ts";
import { readWebPush } from "../../shared/config/webPush.ts";
import { createNotificationId } from "../../shared/domain/id.ts";
import type { Urgency } from "../../shared/domain/notification.ts";
import { CUT_OFF, type PushMessage, type PushOutcome, type PushTarget } from "../../shared/push/sender.ts";
import {
  createWebPushSender,
  type WebPushSender,
  type WebPushSenderOptions,
} from "../../shared/push/webPush.ts";
import { VAPID_KEY_MISMATCH } from "../../shared/push/webPushOutcome.ts";

const VAPID_SUBJECT = "mailto:push@example.com";
let nowMs = Math.floor(Date.now() / 1000) * 1000;
const startMs = nowMs;
const expiresAt = new Date(nowMs + 3_600_500);
const id = createNotificationId(new Date(nowMs), expiresAt);
const message: PushMessage = { notificationId: id, expiresAt, urgency: "normal", display: "alert" };
const lines: string[] = [];
const log = createLog((_level, line) => lines.push(line));
const context = { log, signal: new AbortController().signal };
const clock = createClock(log, () => nowMs);

const jwks = Array.from({ length: 3 }, () => createVapidKey().jwk);
let service: WebPushService;
let sender: WebPushSender;
const senders: WebPushSender[] = [];

beforeAll(async () => {
  service = await createWebPushService();
  sender = create();
});
afterAll(async () => {
  await Promise.all(senders.map((one) => one.close()));
  await service.close();
});
beforeEach(() => {
  nowMs = startMs;
  lines.length = 0;
});
afterEach(() => service.clear());

function create(
  keys: readonly object[] = jwks.slice(0, 1),
  settings: Readonly<Record<string, string>> = {},
  options: Partial<WebPushSenderOptions> = {},
): WebPushSender {
  const env = {
    VAPID_KEYS: JSON.stringify({ keys }),
    VAPID_SUBJECT,
    WEB_PUSH_HOSTS: service.hostEntry,
    ...settings,
  };
  const config = readWebPush(env, createSettingsReader(env, []));
  if (config === undefined) throw new Error("not configured");
  const made = createWebPushSender({ config, extraAuthorities: [service.authority], clock, log, ...options });
  senders.push(made);
  return made;
}

/** A device as it is stored after its registration. */
async function register(
  by: WebPushSender = sender,
  subscription: BrowserSubscription = service.subscribe(by.vapidPublicKey ?? ""),
): Promise<PushTarget> {
  const { endpoint, p256dh, auth } = subscription;
  const channel = { endpoint, p256dh, authSecret: auth };
  const admission = await by.admit?.({ platform: "browser", channel }, context);
  if (admission?.kind !== "admitted" || admission.subscribedUnder === undefined)
    throw new Error("not admitted");
  return { platform: "browser", channel, subscribedUnder: admission.subscribedUnder };
}

const toEndpoint = ({ channel }: PushTarget) => (typeof channel === "string" ? channel : channel.endpoint);
const refusals = () => service.refused.map(({ reason }) => reason);

describe("a request", () => {
  test("§5: is a POST to the endpoint with TTL, Urgency, encoding and VAPID, and nothing else (R120)", async () => {
    const device = await register();
    expect(await sender.push(device, message, context)).toEqual({ kind: "accepted" });
    expect(refusals()).toEqual([]);
    const [push] = service.received;
    expect(push?.endpoint).toBe(toEndpoint(device));
    const { authorization, ...headers } = push?.headers ?? {};
    expect(headers).toEqual({
      "content-length": String(push?.body.length),
      "content-type": "application/octet-stream",
      "content-encoding": "aes128gcm",
      ttl: "3600",
      urgency: "normal",
    });
    expect(authorization).toMatch(/^vapid t=\S+, k=\S+$/);
  });

  test("RFC 8291: the browser sees the ID and nothing else (P1), in a body of one size below 2,847 bytes", async () => {
    const device = await register();
    for (const urgency of ["very-low", "low", "normal", "high"] satisfies Urgency[])
      await sender.push(device, { ...message, urgency, wireTopic: "t".repeat(32) }, context);
    expect(service.received).toHaveLength(4);
    for (const { text, body } of service.received) {
      expect(text).toBe(JSON.stringify({ secureId: id }));
      expect(body).toHaveLength(231);
    }
    expect(service.received.map(({ headers }) => headers["urgency"])).toEqual([
      "very-low",
      "low",
      "normal",
      "high",
    ]);
  });

  test("§5.4: Topic is the keyed hash of 32 characters, and absent where there is none", async () => {
    const device = await register();
    const wireTopic = "aB-_".repeat(8);
    await sender.push(device, { ...message, wireTopic }, context);
    await sender.push(device, message, context);
    expect(service.received.map(({ headers }) => headers["topic"])).toEqual([wireTopic, undefined]);
  });

  test.each([
    { leftMs: 1000, ttl: "1" },
    { leftMs: 1999, ttl: "1" },
    { leftMs: 60_000, ttl: "60" },
    { leftMs: 40 * 86_400_000, ttl: "2419200" },
  ])("§5.2: with $leftMs ms left TTL is $ttl (R105)", async ({ leftMs, ttl }) => {
    const device = await register();
    await sender.push(device, { ...message, expiresAt: new Date(nowMs + leftMs) }, context);
    expect(service.received.map(({ headers }) => headers["ttl"])).toEqual([ttl]);
  });

  test.each([999, 0, -5000])("with %i ms left nothing is pushed (P5)", async (leftMs) => {
    const device = await register();
    const before = service.connections();
    expect(await sender.push(device, { ...message, expiresAt: new Date(nowMs + leftMs) }, context)).toEqual({
      kind: "transient",
      cause: CUT_OFF,
    });
    expect(service.received).toEqual([]);
    expect(service.connections()).toBe(before);
  });

  test("whether a payload lives is judged by the later of the two clocks (P5)", async () => {
    const device = await register();
    const behind = create(undefined, undefined, {
      clock: { ...clock, latest: () => new Date(nowMs + 3_590_000) },
    });
    await behind.push(device, message, context);
    expect(service.received.map(({ headers }) => headers["ttl"])).toEqual(["10"]);
  });

  test("connections are kept alive", async () => {
    const device = await register();
    await sender.push(device, message, context);
    const before = service.connections();
    for (let i = 0; i < 10; i++) await sender.push(device, message, context);
    expect(service.received).toHaveLength(11);
    expect(service.connections() - before).toBeLessThanOrEqual(1);
  });

  test("RFC 8292 §2: the token is the same for all devices of an origin", async () => {
    for (let i = 0; i < 3; i++) await sender.push(await register(), message, context);
    expect(new Set(service.received.map(({ headers }) => headers["authorization"])).size).toBe(1);
  });

  test("WNS gets a cache policy that agrees with the TTL; others do not", async () => {
    const host = "wns2-a.notify.windows.com";
    const wns = await createWebPushService({ names: [host] });
    try {
      const { port } = new URL(wns.origin);
      const one = create(
        undefined,
        { WEB_PUSH_HOSTS: `*.notify.windows.com:${port};private` },
        {
          extraAuthorities: [wns.authority],
          resolve: () => Promise.resolve([{ address: "127.0.0.1", family: 4 }]),
        },
      );
      const seen: Readonly<Record<string, string>>[] = [];
      wns.answerWith(({ headers }) => {
        seen.push(headers);
        return { status: 201 };
      });
      const subscription = service.subscribe("");
      const device = await register(one, { ...subscription, endpoint: `https://${host}:${port}/w/?token=x` });
      expect(await one.push(device, message, context)).toEqual({ kind: "accepted" });
      expect(seen[0]).toMatchObject({ "x-wns-cache-policy": "cache", ttl: "3600" });
      await sender.push(await register(), message, context);
      expect(service.received[0]?.headers["x-wns-cache-policy"]).toBeUndefined();
    } finally {
      await wns.close();
    }
  });
});

describe("an answer", () => {
  const GONE: PushOutcome = { kind: "gone" };
  const MISMATCH: PushOutcome = { kind: "damaged", cause: VAPID_KEY_MISMATCH };
  const throttled = (retryAfterSeconds: number): PushOutcome => ({ kind: "throttled", retryAfterSeconds });
  const date = (seconds: number) => new Date(startMs + seconds * 1000).toUTCString();
  const FCM_MISMATCH =
    "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions.\n";
  const MOZILLA = (text: string) =>
    JSON.stringify({ code: 401, errno: 109, error: "Unauthorized", message: text });

  test.each<ServiceAnswer & { readonly outcome: PushOutcome }>([
    { status: 200, outcome: { kind: "accepted" } },
    { status: 201, headers: { Location: "https://push.example/m/1" }, outcome: { kind: "accepted" } },
    { status: 201, outcome: { kind: "accepted" } },
    { status: 202, outcome: { kind: "accepted" } },
    { status: 204, outcome: { kind: "accepted" } },
    { status: 404, outcome: GONE }, // §7.3
    { status: 410, outcome: GONE },
    { status: 410, body: '{"reason":"Unregistered"}', outcome: GONE },
    { status: 400, outcome: { kind: "message", status: 400 } },
    { status: 413, outcome: { kind: "message", status: 413 } }, // §7.2
    { status: 405, outcome: { kind: "message", status: 405 } },
    { status: 415, outcome: { kind: "message", status: 415 } },
    { status: 401, outcome: { kind: "credentials", status: 401 } }, // RFC 8292 §4.2
    { status: 403, outcome: { kind: "credentials", status: 403 } },
    { status: 403, body: '{"reason":"BadJwtToken"}', outcome: { kind: "credentials", status: 403 } },
    { status: 401, body: MOZILLA("Invalid VAPID expiry"), outcome: { kind: "credentials", status: 401 } },
    { status: 400, body: '{"reason":"VapidPkHashMismatch"}', outcome: MISMATCH },
    { status: 403, body: '{"reason":"VapidPkHashMismatch"}', outcome: MISMATCH },
    { status: 403, body: FCM_MISMATCH, outcome: MISMATCH },
    { status: 401, body: MOZILLA("VAPID public key mismatch"), outcome: MISMATCH },
    { status: 401, body: MOZILLA("Request did not validate"), outcome: MISMATCH },
    { status: 500, body: "VapidPkHashMismatch", outcome: { kind: "transient", cause: "status 500" } },
    { status: 429, headers: { "Retry-After": "7" }, outcome: throttled(7) }, // §8.4
    { status: 429, headers: { "Retry-After": "3600" }, outcome: throttled(3600) },
    { status: 429, headers: { "Retry-After": date(90) }, outcome: throttled(90) },
    { status: 429, headers: { "Retry-After": "soon" }, outcome: throttled(10) },
    { status: 429, headers: { "Retry-After": "99999999" }, outcome: throttled(86_400) },
    { status: 429, headers: { "Retry-After": "-1" }, outcome: throttled(1) },
    { status: 429, outcome: throttled(10) },
    { status: 406, headers: { "Retry-After": "30" }, outcome: throttled(30) }, // WNS
    { status: 406, outcome: throttled(10) },
    { status: 503, headers: { "Retry-After": "120" }, outcome: throttled(120) },
    { status: 503, outcome: { kind: "transient", cause: "status 503" } },
    { status: 500, outcome: { kind: "transient", cause: "status 500" } },
    { status: 502, outcome: { kind: "transient", cause: "status 502" } },
    { status: 408, outcome: { kind: "transient", cause: "status 408" } },
    { status: 421, outcome: { kind: "transient", cause: "status 421" } },
    { status: 425, outcome: { kind: "transient", cause: "status 425" } },
    {
      status: 307,
      headers: { Location: "https://127.0.0.1/" },
      outcome: { kind: "transient", cause: "status 307" },
    },
  ])("$status $headers $body makes the outcome $outcome", async ({ outcome, ...answer }) => {
    const device = await register();
    service.answerWith(() => answer);
    expect(await sender.push(device, message, context)).toEqual(outcome);
    const logged = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    expect(logged.map(({ event, status, destination }) => ({ event, status, destination }))).toEqual(
      outcome.kind === "accepted"
        ? []
        : [{ event: "push_service_answer", status: answer.status, destination: service.origin }],
    );
  });

  test("WNS's description reaches the log, shortened and without addresses or tokens", async () => {
    const device = await register();
    const token = "BQYAAAAabcdefghijklmnopqrstuvwxyz0123456789abcdefghij";
    const description = `Ttl value conflicts. ${toEndpoint(device)} ${token}${" word".repeat(60)}`;
    service.answerWith(() => ({ status: 400, headers: { "X-WNS-Error-Description": description } }));
    await sender.push(device, message, context);
    const [line = ""] = lines;
    expect(line).toContain("Ttl value conflicts.");
    for (const secret of [toEndpoint(device), token, toEndpoint(device).slice(-40)])
      expect(line).not.toContain(secret);
    expect((JSON.parse(line) as { readonly description: string }).description.length).toBeLessThanOrEqual(
      120,
    );
  });

  test("no log line holds an endpoint, a key or the body of an answer (R136)", async () => {
    const device = await register();
    service.answerWith(({ endpoint }) => ({ status: 500, body: `<b>${endpoint}</b>` }));
    await sender.push(device, message, context);
    expect(lines).toHaveLength(1);
    expect(lines.join("")).not.toMatch(/<b>|\/push\//);
  });

  test("a 429 of one endpoint with Retry-After: 3600 does not delay pushes to others", async () => {
    const [slow, fast] = [await register(), await register()];
    service.answerWith(({ endpoint }) =>
      endpoint === toEndpoint(slow) ? { status: 429, headers: { "Retry-After": "3600" } } : undefined,
    );
    expect(await sender.push(slow, message, context)).toEqual(throttled(3600));
    expect(await sender.push(fast, message, context)).toEqual({ kind: "accepted" });
  });

  test("a push that our own deadline cuts off is no evidence against the push service", async () => {
    const device = await register();
    const ended = new AbortController();
    service.answerWith(async () => {
      ended.abort();
      return new Promise<undefined>(() => undefined);
    });
    expect(await sender.push(device, message, { log, signal: ended.signal })).toEqual({
      kind: "transient",
      cause: CUT_OFF,
    });
  });
});

describe("the key ring", () => {
  test("a new subscriber gets the newest key; one that subscribed under an older key is pushed to with that", async () => {
    const [first, second] = [create(jwks.slice(1, 2)), create([...jwks.slice(0, 1), ...jwks.slice(1, 2)])];
    const older = await register(first);
    const newer = await register(second);
    expect(first.vapidPublicKey).not.toBe(second.vapidPublicKey);
    expect(await second.push(older, message, context)).toEqual({ kind: "accepted" });
    expect(await second.push(newer, message, context)).toEqual({ kind: "accepted" });
    const used = service.received.map(({ headers }) => /k=(\S+)/.exec(headers["authorization"] ?? "")?.[1]);
    expect(used).toEqual([first.vapidPublicKey, second.vapidPublicKey]);
  });

  test("an app may name the key that it subscribed under: any of the ring, in either alphabet", async () => {
    const ring = create(jwks);
    const single = create(jwks.slice(2, 3));
    const { endpoint, p256dh, auth } = service.subscribe(single.vapidPublicKey ?? "");
    const channel = { endpoint, p256dh, authSecret: auth };
    const point = Buffer.from(single.vapidPublicKey ?? "", "base64url");
    for (const vapidPublicKey of [point.toString("base64url"), point.toString("base64")]) {
      const admission = await ring.admit?.({ platform: "browser", channel, vapidPublicKey }, context);
      if (admission?.kind !== "admitted") throw new Error("refused");
      const target: PushTarget = {
        platform: "browser",
        channel,
        ...(admission.subscribedUnder === undefined ? {} : { subscribedUnder: admission.subscribedUnder }),
      };
      expect(await ring.push(target, message, context)).toEqual({ kind: "accepted" });
    }
  });

  test.each(["", "x", createECDH("prime256v1").generateKeys("base64url")])(
    "an app that names another key is refused (%j)",
    async (vapidPublicKey) => {
      const { endpoint, p256dh, auth } = service.subscribe(vapidPublicKey);
      const channel = { endpoint, p256dh, authSecret: auth };
      const admission = await sender.admit?.({ platform: "browser", channel, vapidPublicKey }, context);
      expect(admission).toMatchObject({
        kind: "refused",
        detail: expect.stringMatching(/^vapidPublicKey: /) as string,
      });
    },
  );

  test("a key that left the ring fails that device alone, without a call", async () => {
    const device = await register();
    const rotated = create(jwks.slice(1));
    expect(await rotated.push(device, message, context)).toEqual({
      kind: "damaged",
      cause: VAPID_KEY_MISMATCH,
    });
    const { channel } = device;
    expect(await rotated.push({ platform: "browser", channel }, message, context)).toMatchObject({
      kind: "damaged",
    });
    expect(service.received).toEqual([]);
    expect(await rotated.push(await register(rotated), message, context)).toEqual({ kind: "accepted" });
  });

  test("a device that subscribed under another key than the one it was stored with is refused by the push service", async () => {
    const device = await register(sender, service.subscribe(create(jwks.slice(1)).vapidPublicKey ?? ""));
    expect(await sender.push(device, message, context)).toEqual({
      kind: "damaged",
      cause: VAPID_KEY_MISMATCH,
    });
    expect(service.refused.map(({ status }) => status)).toEqual([403]);
  });
});

describe("a registration is judged by its address (R130 to R133)", () => {
  test.each([
    ["https://evil.example/push", "must be of a push service on the list of allowed hosts"],
    ["https://169.254.169.254/push", "must be of a push service on the list of allowed hosts"],
    ["http://localhost/push", "must be a normalised https URL"],
    ["https://user@localhost/push", "must not contain user information or a fragment"],
  ])("%s", async (endpoint, rule) => {
    const channel = { endpoint, p256dh: "", authSecret: "" };
    const admission = await sender.admit?.({ platform: "browser", channel }, context);
    expect(admission).toEqual({ kind: "refused", detail: `pushChannel.endpoint: ${rule}` });
  });

  test("an allowed host that resolves to an inner address is refused, and never connected to when it does so later", async () => {
    const [host = ""] = service.hostEntry.split(";");
    const open = create(undefined, { WEB_PUSH_HOSTS: host });
    const before = service.connections();
    const { endpoint, p256dh, auth } = service.subscribe(open.vapidPublicKey ?? "");
    const channel = { endpoint, p256dh, authSecret: auth };
    expect(await open.admit?.({ platform: "browser", channel }, context)).toEqual({
      kind: "refused",
      detail: "pushChannel.endpoint: must not be of a host with private addresses",
    });
    expect(await open.push(await register(), message, context)).toEqual({
      kind: "transient",
      cause: "address_refused",
    });
    expect(service.connections()).toBe(before);
  });

  test("a device whose host left the list fails alone, without a look-up", async () => {
    const device = await register();
    const narrowed = create(undefined, { WEB_PUSH_HOSTS: "fcm.googleapis.com" });
    expect(await narrowed.push(device, message, context)).toEqual({
      kind: "damaged",
      cause: "address_refused",
    });
  });
});

describe("a configuration error stops this sender alone (R129)", () => {
  test.each([
    ["VAPID_KEYS", { VAPID_KEYS: "SECRET" }],
    ["VAPID_SUBJECT", { VAPID_SUBJECT: "mailto:SECRET@localhost" }],
  ])("%s", async (setting, settings) => {
    const stopped = create(undefined, settings);
    expect(stopped.isServing()).toBe(false);
    expect(stopped.vapidPublicKey).toBeUndefined();
    expect(stopped.platforms).toEqual(["browser"]);
    const logged = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    expect(logged).toMatchObject([{ level: "error", event: "sender_stopped", sender: "webPush", setting }]);
    expect(lines.join("")).not.toContain("SECRET");
    expect(await stopped.push(await register(), message, context)).toMatchObject({ kind: "transient" });
    expect(service.received).toEqual([]);
  });
});

test("subscriptions whose keys cannot be used fail alone (R73)", async () => {
  const device = await register();
  const { endpoint } = service.subscribe("");
  const channel = { endpoint, p256dh: Buffer.alloc(65, 4).toString("base64url"), authSecret: "x" };
  expect(await sender.push({ ...device, channel }, message, context)).toEqual({
    kind: "damaged",
    cause: "bad_subscription",
  });
  expect(await sender.push({ ...device, channel: "https://localhost/" }, message, context)).toMatchObject({
    kind: "damaged",
  });
});

test("an endpoint that its browser withdrew is gone, and so is one that nobody has", async () => {
  const device = await register();
  service.unsubscribe(toEndpoint(device));
  expect(await sender.push(device, message, context)).toEqual({ kind: "gone" });
  const { p256dh, auth } = service.subscribe("");
  const channel = { endpoint: `${service.origin}/push/x`, p256dh, authSecret: auth };
  expect(await sender.push({ ...device, channel }, message, context)).toEqual({ kind: "gone" });
  expect(service.refused.map(({ status }) => status)).toEqual([410, 404]);
});

test("its destination is the endpoint's origin", async () => {
  expect(sender.toDestination?.((await register()).channel)).toBe(service.origin);
});

describe("other implementations", () => {
  test("web-push-testing accepts ours", async () => {
    const model = new PushApiModel();
    const { clientHash, keys } = await model.subscribe({
      userVisibleOnly: "true",
      applicationServerKey: sender.vapidPublicKey ?? "",
    });
    const device = await register(sender, { endpoint: `${service.origin}/notify/${clientHash}`, ...keys });
    service.answerWith(async ({ headers, body }) => {
      await model.handleNotification(
        clientHash,
        {
          encoding: headers["content-encoding"],
          authorization: headers["authorization"],
          ttl: headers["ttl"],
        },
        body,
      );
      return { status: 201 };
    });
    expect(await sender.push(device, message, context)).toEqual({ kind: "accepted" });
    expect(model.getNotifications({ clientHash })).toEqual({ messages: [JSON.stringify({ secureId: id })] });
  });
});
