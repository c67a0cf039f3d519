import { describe, expect, test } from "vitest";
import type { HubEmulator } from "../../../packages/notification-hubs-emulator/emulator.ts";
import {
  createSdkClient,
  put,
  register,
  request,
  sendTo,
  startHub,
  toDetail,
  toInstallation,
} from "./clients.ts";

function sendToBrowsers(hub: HubEmulator, tag: string): Promise<Response> {
  const headers = {
    "ServiceBusNotification-Format": "browser",
    "ServiceBusNotification-Tags": tag,
    "Content-Type": "application/json",
  };
  return request(hub, "POST", "messages", { headers, body: "{}" });
}

describe("an installation", () => {
  test.each<{ what: string; document: object; detail?: string }>([
    { what: "no platform", document: { installationId: "i1", pushChannel: "p" } },
    { what: "the platform fcm", document: { ...toInstallation("i1"), platform: "fcm" } },
    { what: "no push channel", document: { installationId: "i1", platform: "apns" } },
    { what: "an empty push channel", document: { ...toInstallation("i1"), pushChannel: "" } },
    { what: "another id than the path's", document: toInstallation("i2") },
    { what: "a user id with a slash", document: { ...toInstallation("i1"), userId: "a/b" } },
    { what: "an expiration that is no time", document: { ...toInstallation("i1"), expirationTime: "soon" } },
    {
      what: "a browser's channel for apns",
      document: { ...toInstallation("i1"), pushChannel: { endpoint: "https://a" } },
    },
    { what: "a token for a browser", document: { ...toInstallation("i1"), platform: "browser" } },
    { what: "a template without a body", document: { ...toInstallation("i1"), templates: { t: {} } } },
    {
      what: "push variables that are no text",
      document: { ...toInstallation("i1"), pushVariables: { a: 1 } },
    },
    {
      what: "a tag with a space",
      document: toInstallation("i1", "good", "not good"),
      detail:
        "An invalid tag(s) 'not good' was supplied. Valid tag characters are alphanumeric, _, @, -, ., : and #.",
    },
    {
      what: "a tag that only the hub may make",
      document: toInstallation("i1", "$UserId:{x}"),
      detail:
        "An invalid tag(s) '$UserId:{x}' was supplied. Valid tag characters are alphanumeric, _, @, -, ., : and #.",
    },
    {
      what: "a template's bad tag",
      document: { ...toInstallation("i1"), templates: { t: { body: "x", tags: ["&"] } } },
    },
    { what: "61 tags", document: toInstallation("i1", ...Array.from({ length: 61 }, (_, i) => `t${i}`)) },
    {
      what: "tags of more than 8000 characters",
      document: toInstallation("i1", ...Array.from({ length: 67 }, (_, i) => `${i}`.padStart(120, "t"))),
      detail:
        "Registration Tags serialized size is more than maximum supported value. " +
        "Actual Size: '8106' and Max Allowed Size: '8000'",
    },
  ])("with $what is refused and not kept", async ({ document, detail }) => {
    const hub = await startHub();
    const answer = await put(hub, document);
    const text = await answer.text();
    expect(answer.status).toBe(400);
    if (detail !== undefined)
      expect(toDetail(text)?.replaceAll("&apos;", "'").replaceAll("&amp;", "&")).toBe(detail);
    expect(hub.installations()).toEqual([]);
  });

  test.each(["APNS", "fcmV1", "Wns", "mpns", "gcm", "adm", "baidu", "xiaomi"])(
    "may have the platform %s",
    async (platform) => {
      const hub = await startHub();
      const answer = await put(hub, { ...toInstallation("i1"), platform });
      expect([answer.status, answer.headers.get("content-type"), await answer.text()]).toEqual([
        200,
        "application/xml; charset=utf-8",
        "",
      ]);
      expect(hub.installations()[0]?.platform).toBe(platform.toLowerCase());
    },
  );

  test("is read as JSON that is called XML, and removed with 204", async () => {
    const hub = await startHub();
    await put(hub, toInstallation("i1"));
    const read = await request(hub, "GET", "installations/i1");
    expect(read.headers.get("content-type")).toBe("application/xml; charset=utf-8");
    expect(Object.keys(JSON.parse(await read.text())).slice(0, 5)).toEqual([
      "installationId",
      "pushChannel",
      "pushChannelExpired",
      "platform",
      "expirationTime",
    ]);
    expect((await request(hub, "DELETE", "installations/i1")).status).toBe(204);
    expect((await request(hub, "DELETE", "installations/i1")).status).toBe(204);
    expect((await request(hub, "GET", "installations/i1")).status).toBe(404);
  });

  test("may hold null for what is not set, as .NET writes it, also in a template", async () => {
    const hub = await startHub();
    const unset = {
      userId: null,
      expirationTime: null,
      tags: null,
      pushVariables: null,
      secondaryTiles: null,
    };
    const templates = { t: { body: "x", headers: null, expiry: null, tags: null } };
    expect((await put(hub, { ...toInstallation("i1"), ...unset, templates }, "i1")).status).toBe(200);
    const kept = await (await request(hub, "GET", "installations/i1")).json();
    for (const name of Object.keys(unset).filter((other) => other !== "expirationTime"))
      expect(kept).not.toHaveProperty(name);
  });

  test.each([
    { form: "an object", toForm: (channel: object) => channel },
    { form: "a string that holds JSON", toForm: (channel: object) => JSON.stringify(channel, null, 1) },
  ])("of a browser gives its channel back in the form that was put: $form", async ({ toForm }) => {
    const hub = await startHub();
    const channel = { endpoint: "https://push.example/1", p256dh: "BP", auth: "AU" };
    const pushChannel = toForm(channel);
    const document = { ...toInstallation("i1", "t"), platform: "browser", pushChannel };
    expect((await put(hub, document, "i1")).status).toBe(200);
    expect(await (await request(hub, "GET", "installations/i1")).json()).toMatchObject({ pushChannel });
    await sendToBrowsers(hub, "t");
    const browserKeys = { p256dh: "BP", auth: "AU" };
    expect(hub.deliveries).toMatchObject([{ pushChannel: channel.endpoint, browserKeys }]);
    // A channel that is gone is recognised in both forms.
    hub.setOutcome(channel.endpoint, "ExpiredChannel");
    await sendToBrowsers(hub, "t");
    expect(hub.installations()).toMatchObject([{ pushChannelExpired: true }]);
  });

  test("loses its tags with the last one", async () => {
    const hub = await startHub();
    await put(hub, toInstallation("i1", "a"), "i1");
    const patch = [{ op: "remove", path: "/tags/a" }];
    await request(hub, "PATCH", "installations/i1", { body: JSON.stringify(patch) });
    expect(await (await request(hub, "GET", "installations/i1")).json()).not.toHaveProperty("tags");
  });

  test("is unchanged by a patch that makes it invalid", async () => {
    const hub = await startHub();
    await put(hub, toInstallation("i1", "a"));
    const patch = [
      { op: "replace", path: "/pushChannel", value: "new" },
      { op: "add", path: "/tags", value: "not good" },
    ];
    const answer = await request(hub, "PATCH", "installations/i1", { body: JSON.stringify(patch) });
    expect(answer.status).toBe(400);
    expect(hub.installations()).toMatchObject([{ pushChannel: "token-i1", tags: ["a"] }]);
  });

  test("whose channel is gone is marked so until it gets a new one, or is put again", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    hub.setOutcome("token-i1", "ExpiredChannel");
    const patch = (path: string, value: string) =>
      createSdkClient(hub).updateInstallation("i1", [{ op: "add", path, value }]);
    const isExpired = () => hub.installations().map(({ pushChannelExpired }) => pushChannelExpired);
    await sendTo(hub, "t");
    await patch("/tags", "u");
    expect(isExpired()).toEqual([true]);
    await patch("/pushChannel", "new");
    expect(isExpired()).toEqual([false]);
    hub.setOutcome("new", "BadChannel");
    await sendTo(hub, "t");
    expect(isExpired()).toEqual([true]);
    await register(hub, "i1", "t");
    expect(isExpired()).toEqual([false]);
  });

  test("has its id and its user for tags", async () => {
    const hub = await startHub();
    await put(hub, { ...toInstallation("i1"), userId: "ada@example.com" }, "i1");
    await register(hub, "i2");
    await sendTo(hub, "$InstallationId:{i2}");
    await sendTo(hub, "$UserId:{ada@example.com} && !$InstallationId:{i2}");
    expect(hub.deliveries.map(({ installationId }) => installationId)).toEqual(["i2", "i1"]);
  });

  test("of a tile is reached at the tile's own channel", async () => {
    const hub = await startHub();
    const secondaryTiles = { tile: { pushChannel: "tile-channel", tags: ["news"] } };
    await put(hub, { ...toInstallation("i1", "t"), platform: "wns", secondaryTiles });
    await request(hub, "POST", "messages", {
      headers: {
        "ServiceBusNotification-Format": "windows",
        "ServiceBusNotification-Tags": "news",
        "Content-Type": "application/octet-stream",
        "X-WNS-Type": "wns/raw",
      },
      body: "x",
    });
    expect(hub.deliveries.map(({ pushChannel }) => pushChannel)).toEqual(["tile-channel"]);
  });
});
