// The hub sender against the emulator, over real sockets: what goes out for each platform, to whom, and what each
// answer comes to.
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createHubEmulator, type HubEmulator } from "../../packages/notification-hubs-emulator/emulator.ts";
import { createClock } from "../../shared/base/clock.ts";
import type { AlertText } from "../../shared/config/config.ts";
import type { ChannelKey, RecipientKey } from "../../shared/crypto/keyring.ts";
import { createNotificationId } from "../../shared/domain/id.ts";
import { createLog } from "../../shared/base/log.ts";
import type { Platform, PushChannel } from "../../shared/domain/installation.ts";
import { createHubSender } from "../../shared/push/hub.ts";
import {
  CUT_OFF,
  type Directory,
  type GroupPush,
  type PushMessage,
  type Sender,
} from "../../shared/push/sender.ts";
import { Secret } from "../../shared/base/secret.ts";
import { silentLog } from "../helpers/store.ts";

// The SDK signs by the real time; ours stands still at it.
const nowMs = Math.floor(Date.now() / 1000) * 1000;
const expiresAt = new Date(nowMs + 3_600_500);
const id = createNotificationId(new Date(nowMs), expiresAt);
const message: PushMessage = { notificationId: id, expiresAt, urgency: "normal", display: "alert" };
const alertText: AlertText = {
  defaultDisplay: "alert",
  title: { text: "New notification" },
  body: { locKey: "OPEN_ME" },
};
const never = new AbortController().signal;
const clock = createClock(
  createLog(() => undefined),
  () => nowMs,
);

let hub: HubEmulator;
let sender: Hub;

beforeAll(async () => {
  hub = await createHubEmulator();
  sender = createSender(hub.connectionString);
});
afterAll(() => hub.close());
beforeEach(() => hub.clear());

/** What a hub can do, and every sender need not. */
type Hub = Sender & { readonly groups: GroupPush; readonly directory: Directory };

function createSender(connectionString: string): Hub {
  const { groups, directory, ...rest } = createHubSender({
    connectionString: new Secret(connectionString),
    hubName: hub.hubName,
    alertText,
    allowLoopback: true,
    clock,
  });
  if (groups === undefined || directory === undefined) throw new Error("the hub has groups and a directory");
  return { ...rest, groups, directory };
}

const context = (signal: AbortSignal) => ({ log: silentLog, signal });
const recipient = () => randomBytes(32).toString("base64url") as RecipientKey;
const channelKey = () => randomBytes(32).toString("hex") as ChannelKey;

async function install(
  recipientKey: RecipientKey,
  platform: Platform,
  channel: PushChannel,
): Promise<ChannelKey> {
  const key = channelKey();
  const expires = new Date(nowMs + 86_400_000);
  const entry = { entryId: key, recipientKey, platform, channel, expiresAt: expires };
  const put = await sender.directory.put(entry, context(never));
  expect(put).toEqual({ kind: "accepted" });
  return key;
}

function header(name: string): string | undefined {
  const raw = hub.requests.at(-1)?.rawHeaders ?? [];
  const at = raw.findIndex((value, i) => i % 2 === 0 && value.toLowerCase() === name.toLowerCase());
  return at < 0 ? undefined : raw[at + 1];
}

describe("what goes over the push network", () => {
  const seconds = String(Math.floor(expiresAt.getTime() / 1000));
  const alert = { title: "New notification", "loc-key": "OPEN_ME" };

  test.each<{
    platform: Platform;
    change?: Partial<PushMessage>;
    body: string;
    headers: Record<string, string>;
  }>([
    {
      platform: "apns",
      body: JSON.stringify({ aps: { alert, "mutable-content": 1 }, secureId: id }),
      headers: {
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": seconds,
        "apns-collapse-id": id,
      },
    },
    {
      platform: "apns",
      change: { urgency: "low", wireTopic: "t".repeat(32) },
      body: JSON.stringify({ aps: { alert, "mutable-content": 1 }, secureId: id }),
      headers: { "apns-push-type": "alert", "apns-priority": "5", "apns-collapse-id": "t".repeat(32) },
    },
    {
      platform: "apns",
      change: { display: "silent", urgency: "high" },
      body: JSON.stringify({ aps: { "content-available": 1 }, secureId: id }),
      // A background push of any other priority is refused by Apple.
      headers: { "apns-push-type": "background", "apns-priority": "5", "apns-expiration": seconds },
    },
    {
      platform: "fcmv1",
      body: JSON.stringify({
        message: { data: { secureId: id }, android: { priority: "NORMAL", ttl: "3600s" } },
      }),
      headers: {},
    },
    {
      platform: "fcmv1",
      change: { urgency: "high", wireTopic: "topic" },
      body: JSON.stringify({
        message: {
          data: { secureId: id },
          android: { priority: "HIGH", ttl: "3600s", collapse_key: "topic" },
        },
      }),
      headers: {},
    },
    {
      platform: "wns",
      body: id,
      headers: { "x-wns-type": "wns/raw", "x-wns-ttl": "3600", "x-wns-cache-policy": "cache" },
    },
    {
      platform: "adm",
      body: JSON.stringify({ data: { secureId: id }, expiresAfter: 3600, priority: "normal" }),
      headers: {},
    },
    { platform: "xiaomi", body: JSON.stringify({ data: { secureId: id } }), headers: {} },
    { platform: "browser", body: JSON.stringify({ secureId: id }), headers: {} },
  ])("$platform, $change", async ({ platform, change, body, headers }) => {
    const recipientKey = recipient();
    const channel: PushChannel =
      platform === "browser"
        ? { endpoint: "https://push.example/1", p256dh: "p", authSecret: "a" }
        : platform === "wns"
          ? "https://db5.notify.windows.com/?token=1"
          : "0a0a";
    await install(recipientKey, platform, channel);
    const outcome = await sender.groups.push(
      platform,
      [recipientKey],
      { ...message, ...change },
      context(never),
    );
    expect(outcome.kind).toBe("accepted");
    expect(Buffer.from(hub.requests.at(-1)?.body ?? "").toString("utf8")).toBe(body);
    for (const [name, value] of Object.entries(headers)) expect(header(name), name).toBe(value);
    expect(hub.deliveries).toHaveLength(1);
    // The same to the device alone.
    expect(
      (await sender.push({ platform: platform, channel: channel }, { ...message, ...change }, context(never)))
        .kind,
    ).toBe("accepted");
    expect(Buffer.from(hub.requests.at(-1)?.body ?? "").toString("utf8")).toBe(body);
    expect(hub.deliveries).toHaveLength(2);
  });
});

describe("never a broadcast", () => {
  test("R109: recipients become their own tags, joined by || alone", async () => {
    const recipients = Array.from({ length: 20 }, recipient);
    await sender.groups.push("fcmv1", recipients, message, context(never));
    expect(header("servicebusnotification-tags")).toBe(recipients.map((key) => `user:${key}`).join(" || "));
    expect(header("servicebusnotification-devicehandle")).toBeUndefined();
  });

  test.each<[string, unknown]>([
    ["nobody", []],
    ["twenty-one", Array.from({ length: 21 }, recipient)],
    ["an empty key", [""]],
    ["undefined", [undefined]],
    ["an expression", ["a || b"]],
    ["a negation", ["!x"]],
  ])("%s is refused before anything is sent", async (_what, recipients) => {
    await expect(
      sender.groups.push("apns", recipients as readonly RecipientKey[], message, context(never)),
    ).rejects.toThrow();
    expect(hub.requests).toEqual([]);
  });

  test.each<[string, unknown]>([
    ["an empty channel", ""],
    ["undefined", undefined],
  ])("a direct push to %s is refused before anything is sent", async (_what, channel) => {
    await expect(
      sender.push({ platform: "apns", channel: channel as PushChannel }, message, context(never)),
    ).rejects.toThrow();
    expect(hub.requests).toEqual([]);
  });

  test("every send that leaves names a tag or a device, never the text undefined", async () => {
    await sender.groups.push("apns", [recipient()], message, context(never));
    await sender.push({ platform: "apns", channel: "0a0a" }, message, context(never));
    const channel = { endpoint: "https://p.example/", p256dh: "p", authSecret: "a" };
    await sender.push({ platform: "browser", channel }, message, context(never));
    expect(hub.requests).toHaveLength(3);
    for (const { rawHeaders, path } of hub.requests) {
      const targets = rawHeaders.filter((_value, i) =>
        /^servicebusnotification-(?:tags|devicehandle)$/i.test(rawHeaders[i - 1] ?? ""),
      );
      expect(targets).toHaveLength(1);
      expect(targets[0]).not.toMatch(/^(?:undefined|)$/);
      expect(path).not.toContain("test");
    }
  });
});

describe("what each answer comes to", () => {
  test.each([
    [
      { status: 429, headers: { "retry-after": "7" } },
      { kind: "throttled", retryAfterSeconds: 7 },
    ],
    [{ status: 429 }, { kind: "throttled", retryAfterSeconds: 10 }],
    [
      { status: 429, headers: { "retry-after": "999999999" } },
      { kind: "throttled", retryAfterSeconds: 3600 },
    ],
    [
      { status: 429, headers: { "retry-after": "soon" } },
      { kind: "throttled", retryAfterSeconds: 10 },
    ],
    [
      { status: 503, headers: { "retry-after": new Date(nowMs + 30_000).toUTCString() } },
      { kind: "throttled", retryAfterSeconds: 30 },
    ],
    [
      { status: 403, headers: { "retry-after": "3" } },
      { kind: "throttled", retryAfterSeconds: 3 },
    ],
    [{ status: 403 }, { kind: "credentials", status: 403 }],
    [{ status: 401 }, { kind: "credentials", status: 401 }],
    [{ status: 404 }, { kind: "credentials", status: 404 }], // no such hub
    [{ status: 400 }, { kind: "message", status: 400 }],
    [{ status: 413 }, { kind: "message", status: 413 }],
    [{ status: 408 }, { kind: "transient", cause: "status 408" }],
    [{ status: 409 }, { kind: "transient", cause: "status 409" }], // SubCode 40900: a conflict that passes
    [{ status: 410 }, { kind: "transient", cause: "status 410" }],
    [{ status: 412 }, { kind: "transient", cause: "status 412" }],
    [{ status: 500 }, { kind: "transient", cause: "status 500" }],
    [{ status: 503 }, { kind: "transient", cause: "status 503" }],
    [
      { status: 302, headers: { location: "http://127.0.0.1:9/" } },
      { kind: "transient", cause: "status 302" },
    ],
  ] as const)("%j is %j, after one try", async (answer, outcome) => {
    hub.fail({ on: "send", answer });
    expect(await sender.groups.push("apns", [recipient()], message, context(never))).toEqual(outcome);
    expect(hub.requests).toHaveLength(1);
  });

  test("a connection that is reset is transient", async () => {
    hub.fail({ on: "send", answer: "reset" });
    expect(await sender.groups.push("apns", [recipient()], message, context(never))).toMatchObject({
      kind: "transient",
    });
  });

  test("a hub that never answers ends with the caller's signal", async () => {
    hub.fail({ on: "send", answer: "hang" });
    const ended = new AbortController();
    const pushed = sender.groups.push("apns", [recipient()], message, context(ended.signal));
    await expect.poll(() => hub.requests.length).toBe(1);
    ended.abort();
    expect(await pushed).toEqual({ kind: "transient", cause: CUT_OFF });
  });

  test.each([
    [400, { kind: "refused", status: 400 }],
    ...[408, 409, 410, 412, 413, 500].map(
      (status) => [status, { kind: "transient", cause: `status ${status}` }] as const,
    ),
    [404, { kind: "credentials", status: 404 }], // there is no such hub
  ] as const)(
    "an installation that is answered with %i: only a 400 is about the push channel",
    async (status, outcome) => {
      hub.fail({ on: "installation", answer: { status } });
      const entry = {
        entryId: channelKey(),
        recipientKey: recipient(),
        platform: "fcmv1" as const,
        channel: "token",
        expiresAt: new Date(nowMs + 86_400_000),
      };
      expect(await sender.directory.put(entry, context(never))).toEqual(outcome);
    },
  );

  test("deleting an installation that is not there is what was wanted", async () => {
    expect(await sender.directory.remove(channelKey(), context(never))).toEqual({ kind: "accepted" });
    hub.fail({ on: "installation", answer: { status: 404 } });
    expect(await sender.directory.remove(channelKey(), context(never))).toEqual({ kind: "accepted" });
  });

  test("an installation goes to the hub with its owner's tag alone, and ends when ours does", async () => {
    const recipientKey = recipient();
    const key = await install(recipientKey, "fcmv1", "token-1");
    expect(JSON.parse(Buffer.from(hub.requests.at(-1)?.body ?? "").toString("utf8"))).toEqual({
      installationId: key,
      platform: "fcmv1",
      pushChannel: "token-1",
      tags: [`user:${recipientKey}`],
      expirationTime: new Date(nowMs + 86_400_000).toISOString(),
    });
  });
});

describe("the connection string", () => {
  test.each([
    ["nothing", ""],
    ["no endpoint", "SharedAccessKeyName=a;SharedAccessKey=b"],
    ["no key", "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=a"],
    ["an endpoint alone", "Endpoint=sb://x.servicebus.windows.net/"],
    [
      "plain http elsewhere",
      "Endpoint=http://x.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=secret",
    ],
    ["no string at all", "secret"],
  ])("%s is refused, without its text", (_what, text) => {
    let thrown: unknown;
    try {
      createSender(text);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(Error);
    expect(String(thrown)).toMatch(/^Error: NOTIFICATION_HUB_CONNECTION_STRING: /);
    expect(String(thrown)).not.toContain("secret");
  });

  test("its parts come in any order, keys hold =, and empty parts are nothing", async () => {
    const { name, value } = splitKey(hub.connectionString);
    const url = new URL(hub.url).host;
    const shuffled = `;SharedAccessKey=${value};; SharedAccessKeyName=${name} ;Endpoint=http://${url}/;EntityPath=x;`;
    const other = createSender(shuffled);
    expect(await other.groups.push("apns", [recipient()], message, context(never))).toMatchObject({
      kind: "accepted",
    });
  });

  test("R119: the SAS token names the lower-case resource, encoded, and ends within an hour", async () => {
    const real = createSender(hub.connectionString);
    await real.groups.push("apns", [recipient()], message, context(never));
    const fields = new Map(
      (header("authorization") ?? "")
        .replace("SharedAccessSignature ", "")
        .split("&")
        .map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)] as const),
    );
    expect([...fields.keys()].toSorted()).toEqual(["se", "sig", "skn", "sr"]);
    expect(fields.get("sr")).toBe(encodeURIComponent(hub.url.toLowerCase()));
    expect(fields.get("se")).toMatch(/^\d{10}$/);
    const aheadSeconds = Number(fields.get("se")) - Date.now() / 1000;
    expect(aheadSeconds).toBeLessThanOrEqual(3600);
    expect(aheadSeconds).toBeGreaterThan(3000);
  });
});

function splitKey(connectionString: string): { readonly name: string; readonly value: string } {
  const name = /SharedAccessKeyName=([^;]+)/.exec(connectionString)?.[1] ?? "";
  const value = /SharedAccessKey=([^;]+)/.exec(connectionString)?.[1] ?? "";
  return { name, value };
}
