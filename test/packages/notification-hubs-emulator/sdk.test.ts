// Every operation that the emulator serves, driven by the real SDK over a real socket.
import {
  type AppleInstallation,
  createAdmNotification,
  createAppleNotification,
  createBrowserNotification,
  createFcmV1Notification,
  createTemplateNotification,
  createWindowsRawNotification,
  createXiaomiNotification,
  type Notification,
} from "@azure/notification-hubs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createHubEmulator,
  type HubEmulator,
} from "../../../packages/notification-hubs-emulator/emulator.ts";
import { createSdkClient, request } from "./clients.ts";

let hub: HubEmulator;
let nowMs: number;
beforeEach(async () => {
  nowMs = Date.now();
  hub = await createHubEmulator({ now: () => new Date(nowMs) });
});
afterEach(() => hub.close());

const apple = () => createAppleNotification({ body: { aps: { alert: "x" } } });
const apns = (installationId: string, ...tags: string[]): AppleInstallation => ({
  installationId,
  platform: "apns",
  pushChannel: `token-${installationId}`,
  tags,
});
const withTemplate = (installationId: string, body: string) => ({
  ...apns(installationId, "t"),
  templates: { a: { body, headers: {} } },
});
const reached = () => hub.deliveries.map(({ installationId }) => installationId);

describe("installations", () => {
  test("an installation that was put is read back as it was", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation({
      ...apns("i1", "a:1", "b"),
      userId: "user@example.com",
      templates: { hello: { body: '{"aps":{"alert":"$(text)"}}', headers: { "apns-priority": "5" } } },
      pushVariables: { name: "Ada" },
    });
    expect(await client.getInstallation("i1")).toEqual({
      installationId: "i1",
      pushChannel: "token-i1",
      pushChannelExpired: false,
      platform: "apns",
      expirationTime: "9999-12-31T23:59:59.9999999Z",
      userId: "user@example.com",
      tags: ["a:1", "b"],
      pushVariables: { name: "Ada" },
      templates: {
        hello: {
          body: '{"aps":{"alert":"$(text)"}}',
          headers: { "apns-priority": "5" },
          tags: ["hello"], // its own name among its tags: recorded
        },
      },
      lastUpdate: new Date(nowMs).toISOString(),
    });
  });

  test("a browser's push channel comes back in the form that was put: an object or a string", async () => {
    const client = createSdkClient(hub);
    const pushChannel = { endpoint: "https://push.example/1", p256dh: "BP", auth: "AU" };
    await client.createOrUpdateInstallation({ installationId: "b1", platform: "browser", pushChannel });
    const asText = { installationId: "b2", platform: "browser", pushChannel: JSON.stringify(pushChannel) };
    await request(hub, "PUT", "installations/b2", { body: JSON.stringify(asText) });
    expect((await client.getInstallation("b1")).pushChannel).toEqual(pushChannel);
    expect((await client.getInstallation("b2")).pushChannel).toBe(JSON.stringify(pushChannel));
  });

  test("a second put replaces the whole installation", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation({ ...apns("i1", "a"), userId: "u" });
    await client.createOrUpdateInstallation({ installationId: "i1", platform: "apns", pushChannel: "new" });
    const found = await client.getInstallation("i1");
    expect([found.pushChannel, found.tags, found.userId]).toEqual(["new", undefined, undefined]);
  });

  test("a deleted installation is gone, and deleting it again is no error", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation(apns("i1"));
    await client.deleteInstallation("i1");
    await expect(client.getInstallation("i1")).rejects.toMatchObject({
      statusCode: 404,
      message: expect.stringMatching(
        /^operations failed with: Installation not found\.TrackingId:[\w-]+_G\d/,
      ),
    });
    await expect(client.deleteInstallation("i1")).resolves.toMatchObject({
      trackingId: expect.stringMatching(/./),
    });
  });

  test("an installation is gone from its expirationTime on, for reads and for sends", async () => {
    const client = createSdkClient(hub);
    const expirationTime = new Date(nowMs + 60_000).toISOString();
    await client.createOrUpdateInstallation({ ...apns("i1", "t"), expirationTime });
    nowMs += 59_999;
    await client.sendNotification(apple(), { tagExpression: "t" });
    expect(reached()).toEqual(["i1"]);
    nowMs += 1;
    await client.sendNotification(apple(), { tagExpression: "t" });
    expect(reached()).toEqual(["i1"]);
    expect(hub.installations()).toEqual([]);
    await expect(client.getInstallation("i1")).rejects.toMatchObject({ statusCode: 404 });
  });

  test("a patch changes what it names and nothing else", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation({ ...apns("i1", "a", "b"), userId: "u" });
    await client.updateInstallation("i1", [
      { op: "replace", path: "/pushChannel", value: "token-2" },
      { op: "add", path: "/tags", value: "c" },
      { op: "remove", path: "/tags/a" },
      { op: "add", path: "/templates/t", value: '{"body":"{}","headers":{}}' },
    ]);
    expect(await client.getInstallation("i1")).toMatchObject({
      pushChannel: "token-2",
      userId: "u",
      tags: ["b", "c"],
      templates: { t: { body: "{}" } },
    });
  });

  test("a patch of an unknown installation is refused", async () => {
    const patch = createSdkClient(hub).updateInstallation("i1", [{ op: "add", path: "/tags", value: "c" }]);
    await expect(patch).rejects.toMatchObject({ statusCode: 404 });
  });
});

describe("sends", () => {
  test.each<{
    platform: string;
    pushChannel: unknown;
    notification: Notification;
    body: string;
    headers?: object;
  }>([
    {
      platform: "apns",
      pushChannel: "p",
      notification: createAppleNotification({
        body: { aps: { "content-available": 1 } },
        headers: { "apns-push-type": "background", "apns-priority": "5" },
      }),
      body: '{"aps":{"content-available":1}}',
      headers: { "apns-push-type": "background", "apns-priority": "5" },
    },
    {
      platform: "fcmv1",
      pushChannel: "p",
      notification: createFcmV1Notification({ body: '{"message":{"data":{"id":"1"}}}' }),
      body: '{"message":{"data":{"id":"1"}}}',
    },
    {
      platform: "wns",
      pushChannel: "p",
      notification: createWindowsRawNotification({ body: "raw", headers: { "X-WNS-TTL": "60" } }),
      body: "raw",
      headers: { "x-wns-type": "wns/raw", "x-wns-ttl": "60" },
    },
    {
      platform: "adm",
      pushChannel: "p",
      notification: createAdmNotification({ body: { data: { id: "1" } } }),
      body: '{"data":{"id":"1"}}',
    },
    {
      platform: "xiaomi",
      pushChannel: "p",
      notification: createXiaomiNotification({ body: { data: { id: "1" } } }),
      body: '{"data":{"id":"1"}}',
    },
    {
      platform: "browser",
      pushChannel: { endpoint: "https://push.example/p", p256dh: "BP", auth: "AU" },
      notification: createBrowserNotification({ body: { id: "1" } }),
      body: '{"id":"1"}',
    },
  ])("a native send for $platform reaches that platform alone, body and headers unchanged", async (row) => {
    const client = createSdkClient(hub);
    const { platform, pushChannel } = row;
    await client.createOrUpdateInstallation(apns("other-apns", "t"));
    await client.createOrUpdateInstallation({ ...apns("other-fcm", "t"), platform: "fcmv1" });
    const installation = { installationId: "this", platform, pushChannel, tags: ["t", "only"] };
    await request(hub, "PUT", "installations/this", { body: JSON.stringify(installation) });
    const answer = await client.sendNotification(row.notification, { tagExpression: "t && only" });
    expect(answer).toMatchObject({ state: "Enqueued", notificationId: expect.stringMatching(/^NH-\d{17}-/) });
    expect(hub.deliveries).toEqual([
      {
        trackingId: answer.trackingId,
        notificationId: answer.notificationId,
        platform,
        installationId: "this",
        pushChannel: typeof pushChannel === "string" ? pushChannel : "https://push.example/p",
        ...(typeof pushChannel === "string" ? {} : { browserKeys: { p256dh: "BP", auth: "AU" } }),
        headers: row.headers ?? {},
        contentType: row.notification.contentType,
        body: row.body,
      },
    ]);
  });

  test("a direct send reaches its channel, registered or not", async () => {
    await createSdkClient(hub).sendNotification(apple(), { deviceHandle: "token-x" });
    expect(hub.deliveries).toMatchObject([{ platform: "apns", pushChannel: "token-x" }]);
    expect(reached()).toEqual([undefined]);
  });

  test("a direct send to a browser carries the browser's keys", async () => {
    await createSdkClient(hub).sendNotification(createBrowserNotification({ body: { id: "1" } }), {
      deviceHandle: { endpoint: "https://push.example/1", p256dh: "BP", auth: "AU" },
    });
    expect(hub.deliveries).toMatchObject([
      { pushChannel: "https://push.example/1", browserKeys: { p256dh: "BP", auth: "AU" } },
    ]);
  });

  test("a batch reaches each of its channels once, with the payload's exact bytes", async () => {
    const body = '{"aps":{"alert":"čau --nh-boundary\\r\\n"}}';
    await createSdkClient(hub).sendNotification(createAppleNotification({ body }), {
      deviceHandle: ["one", "two", "one"],
    });
    expect(hub.deliveries.map((delivery) => [delivery.pushChannel, delivery.body])).toEqual([
      ["one", body],
      ["two", body],
    ]);
    expect(hub.deliveries[0]?.contentType).toBe("application/json;charset=utf-8");
  });

  test("two installations with one channel are pushed to once", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation({ ...apns("i1", "t"), pushChannel: "same" });
    await client.createOrUpdateInstallation({ ...apns("i2", "t"), pushChannel: "same" });
    const { notificationId = "" } = await client.sendNotification(apple(), { tagExpression: "t" });
    expect(hub.deliveries).toHaveLength(1);
    expect((await client.getNotificationOutcomeDetails(notificationId)).apnsOutcomeCounts).toEqual([
      { state: "Success", count: 1 },
      { state: "Skipped", count: 1 },
    ]);
  });

  test("a test send tells the outcome of each device, at most ten", async () => {
    const client = createSdkClient(hub);
    for (let i = 0; i < 11; i++) await client.createOrUpdateInstallation(apns(`i${i}`, "t"));
    hub.setOutcome("token-i1", "BadChannel");
    const answer = await client.sendNotification(apple(), { tagExpression: "t", enableTestSend: true });
    expect(answer).toMatchObject({ successCount: 9, failureCount: 1, state: "DetailedStateAvailable" });
    expect(answer.results).toHaveLength(10);
    expect(answer.results?.[1]).toEqual({
      applicationPlatform: "apple",
      pnsHandle: "token-i1",
      registrationId: "i1",
      outcome: "The Push Notification System handle for the registration is invalid",
    });
  });

  test("a test send that finds nobody has an empty outcome", async () => {
    const answer = await createSdkClient(hub).sendNotification(apple(), {
      tagExpression: "nobody",
      enableTestSend: true,
    });
    expect(answer).toMatchObject({ successCount: 0, failureCount: 0, results: [] });
  });

  test("the eleventh test send of a minute is throttled, and a minute later none is", async () => {
    const client = createSdkClient(hub);
    const send = () => client.sendNotification(apple(), { tagExpression: "t", enableTestSend: true });
    for (let i = 0; i < 10; i++) await send();
    await expect(send()).rejects.toMatchObject({ statusCode: 429 });
    nowMs += 60_000;
    await expect(send()).resolves.toMatchObject({ state: "DetailedStateAvailable" });
  });

  test("template sends reach templates alone, rendered, with the template's headers", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation(apns("plain", "t"));
    await client.createOrUpdateInstallation({
      ...apns("templated", "t"),
      pushVariables: { name: "Ada" },
      templates: {
        hello: {
          body: `{"aps":{"alert":"{'Hello ' + $(name) + ', ' + $(text)}"}}`,
          headers: { "apns-priority": "5" },
        },
        other: { body: '{"aps":{"alert":"other"}}', headers: {}, tags: ["only-other"] },
      },
    });
    // A template's name is one of its tags.
    await client.sendNotification(createTemplateNotification({ body: { text: "hi" } }), {
      tagExpression: "t && hello",
    });
    expect(hub.deliveries).toMatchObject([
      {
        installationId: "templated",
        body: '{"aps":{"alert":"Hello Ada, hi"}}',
        headers: { "apns-priority": "5" },
      },
    ]);
    await client.sendNotification(createTemplateNotification({ body: {} }), { tagExpression: "only-other" });
    expect(hub.deliveries[1]?.body).toBe('{"aps":{"alert":"other"}}');
  });
});

describe("scheduled sends", () => {
  test("a scheduled send is pushed once its time has come, to whom the tags then name", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation(apns("early", "t"));
    const { notificationId = "" } = await client.scheduleNotification(new Date(nowMs + 60_000), apple(), {
      tagExpression: "t",
    });
    await client.deleteInstallation("early");
    await client.createOrUpdateInstallation(apns("late", "t"));
    nowMs += 59_999;
    expect((await client.getNotificationOutcomeDetails(notificationId)).state).toBe("Scheduled");
    nowMs += 1;
    expect((await client.getNotificationOutcomeDetails(notificationId)).state).toBe("Completed");
    expect(reached()).toEqual(["late"]);
  });

  test("a scheduled send that is due comes without another request", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation(apns("i1", "t"));
    const arrived = new Promise((resolve) => hub.onDelivery(resolve));
    await client.scheduleNotification(new Date(nowMs + 10), apple(), { tagExpression: "t" });
    expect(hub.deliveries).toEqual([]);
    nowMs += 10;
    expect(await arrived).toMatchObject({ installationId: "i1" });
  });

  test("a cancelled send is not pushed, and cannot be cancelled again", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation(apns("i1", "t"));
    const { notificationId = "" } = await client.scheduleNotification(new Date(nowMs + 60_000), apple(), {
      tagExpression: "t",
    });
    await client.cancelScheduledNotification(notificationId);
    nowMs += 120_000;
    expect((await client.getNotificationOutcomeDetails(notificationId)).state).toBe("Cancelled");
    expect(hub.deliveries).toEqual([]);
    await expect(client.cancelScheduledNotification(notificationId)).rejects.toMatchObject({
      statusCode: 404,
    });
  });
});

describe("telemetry", () => {
  test("a send's outcome counts each device by what its push came to", async () => {
    const client = createSdkClient(hub);
    for (const id of ["i1", "i2", "i3"]) await client.createOrUpdateInstallation(apns(id, "t"));
    hub.setOutcome("token-i2", "ExpiredChannel");
    const { notificationId = "", location } = await client.sendNotification(apple(), { tagExpression: "t" });
    expect(await client.getNotificationOutcomeDetails(notificationId)).toMatchObject({
      notificationId,
      location: location?.replace("http:", "sb:").replace(/\?.*/, ""),
      state: "Completed",
      enqueueTime: new Date(nowMs),
      startTime: new Date(nowMs),
      endTime: new Date(nowMs),
      notificationBody: '{"aps":{"alert":"x"}}',
      targetPlatforms: "apple",
      apnsOutcomeCounts: [
        { state: "Success", count: 2 },
        { state: "ExpiredChannel", count: 1 },
      ],
    });
    expect(reached()).toEqual(["i1", "i3"]);
    expect((await client.getInstallation("i2")).pushChannelExpired).toBe(true);
    expect((await client.getInstallation("i1")).pushChannelExpired).toBe(false);
  });

  test("a template that cannot be rendered is an invalid format for that device alone", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation(withTemplate("good", '{"badge":"#(n)"}'));
    await client.createOrUpdateInstallation(withTemplate("bad", `{"alert":"{'n is ' + }"}`));
    const notification = createTemplateNotification({ body: { n: "3" } });
    const { notificationId = "" } = await client.sendNotification(notification, { tagExpression: "t" });
    const details = await client.getNotificationOutcomeDetails(notificationId);
    expect(details.targetPlatforms).toBe("appletemplate");
    expect(details.apnsOutcomeCounts).toEqual([
      { state: "Success", count: 1 },
      { state: "InvalidNotificationFormat", count: 1 },
    ]);
    expect(hub.deliveries.map(({ body }) => body)).toEqual(['{"badge":3}']);
  });

  test("a template that is rendered too large is an invalid size for that device", async () => {
    const client = createSdkClient(hub);
    await client.createOrUpdateInstallation(withTemplate("i1", '{"a":"$(x)"}'));
    const notification = createTemplateNotification({ body: { x: "x".repeat(4089) } });
    const { notificationId = "" } = await client.sendNotification(notification, { tagExpression: "t" });
    const details = await client.getNotificationOutcomeDetails(notificationId);
    expect(details.apnsOutcomeCounts).toEqual([{ state: "InvalidNotificationSize", count: 1 }]);
    expect(hub.deliveries).toEqual([]);
  });

  test("a send that finds nobody says so", async () => {
    const client = createSdkClient(hub);
    const { notificationId = "" } = await client.sendNotification(apple(), { tagExpression: "nobody" });
    const details = await client.getNotificationOutcomeDetails(notificationId);
    expect([details.state, details.apnsOutcomeCounts]).toEqual(["NoTargetFound", undefined]);
  });

  test("an unknown message has no outcome", async () => {
    await expect(createSdkClient(hub).getNotificationOutcomeDetails("NH-1")).rejects.toMatchObject({
      statusCode: 404,
    });
  });
});
