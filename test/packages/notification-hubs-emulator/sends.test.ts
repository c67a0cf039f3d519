import { createBrowserNotification } from "@azure/notification-hubs";
import { describe, expect, test } from "vitest";
import {
  apple,
  APPLE_SEND,
  createSdkClient,
  put,
  register,
  request,
  sendTo,
  startHub,
  toDetail,
  toInstallation,
} from "./clients.ts";

describe("a broadcast", () => {
  test.each([
    { what: "without tags", headers: {} },
    { what: "with an empty tags header", headers: { "ServiceBusNotification-Tags": "" } },
    { what: "with a blank tags header", headers: { "ServiceBusNotification-Tags": "  " } },
  ])("$what is refused, recorded as refused, and reaches nobody", async ({ headers }) => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    for (const path of ["messages", "messages/"]) {
      const answer = await request(hub, "POST", path, {
        headers: { ...APPLE_SEND.headers, ...headers },
        body: APPLE_SEND.body,
      });
      expect(answer.status).toBe(400);
      expect(hub.requests.at(-1)).toMatchObject({ status: 400, refusal: "broadcast_refused" });
    }
    expect(hub.deliveries).toEqual([]);
  });

  test("of the SDK is refused, also as a template, a test or a scheduled send", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    const client = createSdkClient(hub);
    const refused = { statusCode: 400, message: expect.stringContaining("does not broadcast") };
    await expect(client.sendBroadcastNotification(apple)).rejects.toMatchObject(refused);
    await expect(client.scheduleBroadcastNotification(new Date(), apple)).rejects.toMatchObject(refused);
    for (const query of ["api-version=2020-06&test=true", "api-version=2020-06&test"])
      expect((await request(hub, "POST", "messages", { ...APPLE_SEND, query })).status).toBe(400);
    const template = { headers: { "ServiceBusNotification-Format": "template" }, body: "{}" };
    expect((await request(hub, "POST", "messages", template)).status).toBe(400);
    expect(hub.deliveries).toEqual([]);
  });

  test("reaches everybody on the platform when it is allowed", async () => {
    const hub = await startHub({ allowBroadcast: true });
    await register(hub, "i1");
    await register(hub, "i2", "t");
    await put(hub, { ...toInstallation("i3"), platform: "fcmv1" }, "i3");
    await createSdkClient(hub).sendBroadcastNotification(apple);
    expect(hub.deliveries.map(({ installationId }) => installationId)).toEqual(["i1", "i2"]);
  });

  test("is not what a tag named undefined is: it reaches nobody, and the request is marked", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    // What the SDK sends for `tagExpression: undefined`.
    await expect(sendTo(hub, "undefined")).resolves.toMatchObject({ state: "Enqueued" });
    expect(hub.deliveries).toEqual([]);
    expect(hub.requests.at(-1)).toMatchObject({ status: 201, hasUndefinedTag: true });
    expect(hub.requests.at(0)?.hasUndefinedTag).toBeUndefined();
  });
});

describe("a send", () => {
  const tagged = { ...APPLE_SEND.headers, "ServiceBusNotification-Tags": "t" };
  const DIRECT = "api-version=2020-06&direct=true";
  const handle = { "ServiceBusNotification-DeviceHandle": "h" };

  test.each<{
    what: string;
    headers: Record<string, string>;
    body?: string;
    query?: string;
    status?: number;
  }>([
    { what: "no format", headers: { "ServiceBusNotification-Tags": "t" } },
    { what: "an unknown format", headers: { ...tagged, "ServiceBusNotification-Format": "apns" } },
    { what: "a bad tag expression", headers: { ...tagged, "ServiceBusNotification-Tags": "a ||" } },
    { what: "a handle but not direct", headers: { ...APPLE_SEND.headers, ...handle } },
    { what: "direct but no handle", headers: APPLE_SEND.headers, query: DIRECT },
    { what: "direct and tags", headers: { ...tagged, ...handle }, query: DIRECT },
    {
      what: "direct and a template",
      headers: { "ServiceBusNotification-Format": "template", ...handle },
      query: DIRECT,
    },
    {
      what: "a browser's handle without keys",
      headers: { "ServiceBusNotification-Format": "browser", ...handle },
      query: DIRECT,
    },
    { what: "a body that is not JSON", headers: tagged, body: "{" },
    { what: "a body that is no object", headers: tagged, body: "[]" },
    {
      what: "a bare body for FCM",
      headers: { ...tagged, "ServiceBusNotification-Format": "fcmv1" },
      body: '{"data":{}}',
    },
    {
      what: "data for FCM that is not text",
      headers: { ...tagged, "ServiceBusNotification-Format": "FcmV1" },
      body: '{"message":{"data":{"n":1}}}',
    },
    { what: "no X-WNS-Type", headers: { ...tagged, "ServiceBusNotification-Format": "windows" } },
    {
      what: "a raw WNS notification that is called JSON",
      headers: { ...tagged, "ServiceBusNotification-Format": "windows", "X-WNS-Type": "wns/raw" },
    },
    {
      what: "a template's property that is no text",
      headers: { ...tagged, "ServiceBusNotification-Format": "template" },
      body: '{"a":1}',
    },
    {
      what: "a payload above the platform's limit",
      headers: tagged,
      body: `{"a":"${"x".repeat(4089)}"}`,
      status: 413,
    },
    {
      what: "more than 64 KB",
      headers: { ...tagged, "ServiceBusNotification-Format": "template" },
      body: "x".repeat(65_537),
      status: 413,
    },
    { what: "megabytes", headers: tagged, body: "x".repeat(3_000_000), status: 413 },
  ])("with $what is refused", async ({ headers, body = APPLE_SEND.body, status = 400, query }) => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    const parts = { headers, body, ...(query === undefined ? {} : { query }) };
    const answer = await request(hub, "POST", "messages", parts);
    expect([answer.status, toDetail(await answer.text())]).toEqual([status, expect.any(String)]);
    expect(hub.deliveries).toEqual([]);
  });

  test("of just the platform's limit is taken", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    const body = `{"a":"${"x".repeat(4088)}"}`;
    expect((await request(hub, "POST", "messages", { headers: tagged, body })).status).toBe(201);
    expect(hub.deliveries[0]?.body).toBe(body);
  });

  test("may be direct without a value, and is answered without a body", async () => {
    const hub = await startHub();
    const answer = await request(hub, "POST", "messages", {
      headers: { ...APPLE_SEND.headers, ...handle },
      body: APPLE_SEND.body,
      query: "api-version=2020-06&direct",
    });
    expect([answer.status, answer.headers.get("content-length")]).toEqual([201, "0"]);
    const location = new URL(answer.headers.get("location") ?? "");
    expect(location.href).toMatch(
      /^http:\/\/127\.0\.0\.1:\d+\/local-hub\/messages\/NH-\d{17}-[0-9a-f]{32}-\d\d\?api-version=2020-06$/,
    );
    expect(hub.deliveries).toMatchObject([
      {
        pushChannel: "h",
        trackingId: answer.headers.get("trackingid"),
        notificationId: location.pathname.split("/")[3],
      },
    ]);
  });

  test.each([
    { what: "no devices", devices: [] },
    { what: "more than a thousand", devices: Array.from({ length: 1001 }, (_, i) => `h${i}`) },
  ])("to a batch of $what is refused", async ({ devices }) => {
    const hub = await startHub();
    const send = createSdkClient(hub).sendNotification(apple, { deviceHandle: devices });
    await expect(send).rejects.toMatchObject({ statusCode: 400 });
  });

  test("to a batch of a thousand long handles is taken", async () => {
    const hub = await startHub();
    const devices = Array.from({ length: 1000 }, (_, i) => `${i}`.padStart(160, "h"));
    await createSdkClient(hub).sendNotification(apple, { deviceHandle: devices });
    expect(hub.deliveries).toHaveLength(1000);
  });

  test.each([
    { what: "eight days ahead", at: () => new Date(Date.now() + 8 * 86_400_000).toISOString() },
    { what: "at no time", at: () => "tomorrow" },
  ])("scheduled $what is refused", async ({ at }) => {
    const hub = await startHub();
    const headers = { ...tagged, "ServiceBusNotification-ScheduleTime": at() };
    const answer = await request(hub, "POST", "schedulednotifications", { headers, body: APPLE_SEND.body });
    expect(answer.status).toBe(400);
  });

  test("scheduled without a zone is meant in UTC", async () => {
    const at = Date.now();
    const hub = await startHub({ now: () => new Date(at) });
    await register(hub, "i1", "t");
    for (const [offsetMs, delivered] of [
      [60_000, 0],
      [0, 1],
    ] as const) {
      const time = new Date(at + offsetMs).toISOString().replace("Z", "");
      const headers = { ...tagged, "ServiceBusNotification-ScheduleTime": time };
      const answer = await request(hub, "POST", "schedulednotifications", { headers, body: APPLE_SEND.body });
      expect([answer.status, hub.deliveries.length]).toEqual([201, delivered]);
    }
  });
});

describe("a tier", () => {
  test.each([
    { tier: "Free", batch: 403 },
    { tier: "Basic", batch: undefined },
  ] as const)("of $tier has no message ids, telemetry and schedules", async ({ tier, batch }) => {
    const hub = await startHub({ tier });
    const client = createSdkClient(hub);
    await register(hub, "i1", "t");
    const sent = await client.sendNotification(apple, { tagExpression: "t" });
    expect([sent.location, sent.notificationId, hub.deliveries.length]).toEqual([undefined, undefined, 1]);
    const { notificationId = "" } = hub.deliveries[0] ?? {};
    const forbidden = { statusCode: 403 };
    await expect(client.getNotificationOutcomeDetails(notificationId)).rejects.toMatchObject(forbidden);
    await expect(
      client.scheduleNotification(new Date(), apple, { tagExpression: "t" }),
    ).rejects.toMatchObject(forbidden);
    const batched = client.sendNotification(apple, { deviceHandle: ["h"] });
    if (batch === undefined) await expect(batched).resolves.toMatchObject({ state: "Enqueued" });
    else await expect(batched).rejects.toMatchObject({ statusCode: batch });
  });
});

describe("manual visibility", () => {
  test("hides what changed from tags, not from reads and direct sends, until it is made visible", async () => {
    const hub = await startHub({ visibility: "manual" });
    await register(hub, "i1", "t");
    await sendTo(hub, "t");
    await sendTo(hub, "$InstallationId:{i1}");
    expect(hub.deliveries).toEqual([]);
    expect((await createSdkClient(hub).getInstallation("i1")).tags).toEqual(["t"]);
    await createSdkClient(hub).sendNotification(apple, { deviceHandle: "token-i1" });
    expect(hub.deliveries).toHaveLength(1);
    hub.makeVisible();
    await sendTo(hub, "t");
    expect(hub.deliveries).toHaveLength(2);
    // Changed and removed ones are still seen as they were.
    await register(hub, "i1", "other");
    await sendTo(hub, "other");
    expect(hub.deliveries).toHaveLength(2);
    await sendTo(hub, "t");
    expect(hub.deliveries).toHaveLength(3);
    await createSdkClient(hub).deleteInstallation("i1");
    await sendTo(hub, "t");
    expect(hub.deliveries).toHaveLength(4);
    hub.makeVisible();
    await sendTo(hub, "t || other");
    expect(hub.deliveries).toHaveLength(4);
  });
});

describe("deliveries", () => {
  test("are told to listeners until they stop listening", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    const heard: (string | undefined)[] = [];
    const stop = hub.onDelivery(({ installationId }) => heard.push(installationId));
    await sendTo(hub, "t");
    stop();
    await sendTo(hub, "t");
    expect([heard, hub.deliveries.length]).toEqual([["i1"], 2]);
  });

  test("come only of pushes that succeed", async () => {
    const hub = await startHub();
    hub.setOutcome("https://push.example/1", "Throttled");
    const client = createSdkClient(hub);
    const notification = createBrowserNotification({ body: {} });
    for (const n of [1, 2])
      await client.sendNotification(notification, {
        deviceHandle: { endpoint: `https://push.example/${n}`, p256dh: "BP", auth: "AU" },
      });
    expect(hub.deliveries.map(({ pushChannel }) => pushChannel)).toEqual(["https://push.example/2"]);
    hub.setOutcome("https://push.example/1", "Success");
    await client.sendNotification(notification, {
      deviceHandle: { endpoint: "https://push.example/1", p256dh: "BP", auth: "AU" },
    });
    expect(hub.deliveries).toHaveLength(2);
  });

  test("clear forgets them, with installations, requests, faults and outcomes", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    await sendTo(hub, "t");
    hub.setOutcome("token-i1", "BadChannel");
    hub.fail({ answer: { status: 500 } });
    const { deliveries, requests } = hub;
    hub.clear();
    expect([deliveries, requests, hub.installations()]).toEqual([[], [], []]);
    await register(hub, "i1", "t");
    await sendTo(hub, "t");
    expect([deliveries.length, requests.length]).toEqual([1, 2]);
  });
});
