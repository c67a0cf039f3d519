import { afterEach, beforeEach, expect, test } from "vitest";
import { createDevice } from "../../local/device.ts";
import { createHubEmulator, type HubEmulator } from "../../packages/notification-hubs-emulator/emulator.ts";
import type { HubPlatform } from "../../packages/notification-hubs-emulator/platforms.ts";
import { request } from "../packages/notification-hubs-emulator/clients.ts";

let hub: HubEmulator;
beforeEach(async () => {
  hub = await createHubEmulator();
});
afterEach(() => hub.close());

async function push(format: string, handle: string, body: string, headers: Record<string, string> = {}) {
  const answer = await request(hub, "POST", "messages", {
    query: "api-version=2020-06&direct=true",
    headers: {
      "ServiceBusNotification-Format": format,
      "ServiceBusNotification-DeviceHandle": handle,
      "Content-Type": "application/json",
      ...headers,
    },
    body,
  });
  expect(answer.status).toBe(201);
}

const RAW = { "Content-Type": "application/octet-stream", "X-WNS-Type": "wns/raw" };

// The bodies that shared/push/hub.ts makes
test.each<{
  platform: HubPlatform;
  format: string;
  body: string;
  headers?: Record<string, string>;
}>([
  { platform: "apns", format: "apple", body: '{"aps":{"content-available":1},"secureId":"ID"}' },
  {
    platform: "fcmv1",
    format: "fcmv1",
    body: '{"message":{"data":{"secureId":"ID"},"android":{"priority":"HIGH","ttl":"60s"}}}',
  },
  { platform: "wns", format: "windows", body: "ID", headers: RAW },
  { platform: "adm", format: "adm", body: '{"data":{"secureId":"ID"},"expiresAfter":60}' },
  { platform: "xiaomi", format: "xiaomi", body: '{"data":{"secureId":"ID"}}' },
  {
    platform: "browser",
    format: "browser",
    body: '{"secureId":"ID"}',
    headers: { Auth: "AU", P256DH: "BP" },
  },
])("a device of $platform reads the ID from its push", async ({ platform, format, body, headers }) => {
  const device = createDevice({ hub, platform, pushChannel: "https://push.example/1" });
  const next = device.next();
  await push(format, "https://push.example/1", body, headers);
  expect(await next).toEqual({ id: "ID", delivery: hub.deliveries[0] });
});

test("a device gets its own pushes, in order, whether it waits or comes later", async () => {
  const device = createDevice({ hub, platform: "apns", pushChannel: "mine" });
  const first = device.next();
  const second = device.next();
  for (const [handle, id] of [
    ["mine", "1"],
    ["other", "2"],
    ["mine", "3"],
    ["mine", "4"],
  ] as const)
    await push("apple", handle, `{"secureId":"${id}"}`);
  await push("xiaomi", "mine", '{"data":{"secureId":"5"}}');
  await push("apple", "mine", '{"secureId":"6"}');
  const ids = [await first, await second, await device.next(), await device.next()].map(({ id }) => id);
  expect(ids).toEqual(["1", "3", "4", "6"]);
});

test.each([{ body: '{"aps":{}}' }, { body: '{"secureId":1}' }, { body: '{"data":{"secureId":"1"}}' }])(
  "a push that is $body holds no ID for a device of apns, which says so and goes on",
  async ({ body }) => {
    const device = createDevice({ hub, platform: "apns", pushChannel: "mine" });
    await push("apple", "mine", body);
    await push("apple", "mine", '{"secureId":"2"}');
    await expect(device.next()).rejects.toThrow("a push for apns without secureId");
    expect((await device.next()).id).toBe("2");
  },
);

test("waiting ends with the signal, and the push goes to whoever waits next", async () => {
  const device = createDevice({ hub, platform: "apns", pushChannel: "mine" });
  const patience = new AbortController();
  const impatient = device.next(patience.signal);
  patience.abort(new Error("enough"));
  await expect(impatient).rejects.toThrow("enough");
  await expect(device.next(patience.signal)).rejects.toThrow("enough");
  const next = device.next();
  await push("apple", "mine", '{"secureId":"1"}');
  expect((await next).id).toBe("1");
});

test("a closed device returns no push, neither to who waits nor to who asks later", async () => {
  const device = createDevice({ hub, platform: "apns", pushChannel: "mine" });
  const waiting = device.next();
  device.close();
  await expect(waiting).rejects.toThrow("the device is closed");
  await push("apple", "mine", '{"secureId":"1"}');
  await expect(device.next()).rejects.toThrow("the device is closed");
});
