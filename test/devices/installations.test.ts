// registerInstallation and removeInstallation, and what a device may do to another's.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Api, createApi, WAYS } from "../helpers/api.ts";

describe.each(WAYS)("%s", (way) => {
  let api: Api;

  beforeAll(async () => {
    api = await createApi(way, { settings: { MAX_INSTALLATIONS: "3" } });
  });
  afterAll(() => api.close());

  const register = (user: string, installationId: string, pushChannel: unknown, platform = "fcmv1") =>
    api.as(user, "PUT", `/api/installations/${installationId}`, { platform, pushChannel });

  /** The push channels that a notification for this user went to. */
  async function reached(user: string): Promise<readonly unknown[]> {
    const before = api.hub.deliveries.length;
    const sent = await api.send({ to: [user], payload: 1 });
    expect(sent.status, sent.text).toBe(201);
    return api.hub.deliveries.slice(before).map(({ pushChannel }) => pushChannel);
  }

  test("a device is registered, renewed and removed", async () => {
    const first = await register("ada", "phone", "ada-1");
    expect(first.status, first.text).toBe(201);
    expect(first.json()["installationId"]).toBe("phone");
    expect(Date.parse(String(first.json()["expiresAt"]))).toBeGreaterThan(Date.now() + 89 * 86_400_000);
    expect((await register("ada", "phone", "ada-1")).status).toBe(200);
    expect(await reached("ada")).toEqual(["ada-1"]);
    expect((await api.as("ada", "DELETE", "/api/installations/phone")).status).toBe(204);
    // R44: twice is harmless
    expect((await api.as("ada", "DELETE", "/api/installations/phone")).status).toBe(204);
    expect(await reached("ada")).toEqual([]);
    expect(api.hub.installations().filter(({ pushChannel }) => pushChannel === "ada-1")).toEqual([]);
  });

  test("a device that moves to another push channel is reached there alone", async () => {
    await register("bea", "phone", "bea-1");
    await register("bea", "phone", "bea-2");
    expect(await reached("bea")).toEqual(["bea-2"]);
    expect(api.hub.installations().filter(({ pushChannel }) => pushChannel === "bea-1")).toEqual([]);
  });

  test("P7, R43: a push channel that changes hands carries nothing of its former owner", async () => {
    await register("cleo", "tablet", "shared-tablet");
    expect(await reached("cleo")).toEqual(["shared-tablet"]);
    expect((await register("dora", "tablet", "shared-tablet")).status).toBe(201);
    expect(await reached("cleo")).toEqual([]);
    expect(await reached("dora")).toEqual(["shared-tablet"]);
  });

  test("P7, R42: knowing an installation's id changes nothing for its owner", async () => {
    await register("eli", "phone", "eli-1");
    expect((await register("mallory", "phone", "mallory-1")).status).toBe(201);
    expect((await api.as("mallory", "DELETE", "/api/installations/phone")).status).toBe(204);
    expect(await reached("eli")).toEqual(["eli-1"]);
  });

  test("APNs tokens are one device in either letter case", async () => {
    await register("fay", "phone", "AB".repeat(32), "apns");
    await register("gus", "phone", "ab".repeat(32), "apns");
    expect(await reached("fay")).toEqual([]);
    expect(await reached("gus")).toHaveLength(1);
  });

  test.each([
    [
      "a user in the body (R41)",
      { platform: "fcmv1", pushChannel: "x", userId: "alice" },
      400,
      "body_invalid",
    ],
    ["tags (R45)", { platform: "fcmv1", pushChannel: "x", tags: ["$UserId:alice"] }, 400, "body_invalid"],
    ["an unknown platform", { platform: "gcm", pushChannel: "x" }, 400, "body_invalid"],
    ["no push channel", { platform: "apns" }, 400, "body_invalid"],
    ["a token that is no hexadecimal", { platform: "apns", pushChannel: "xyz" }, 400, "body_invalid"],
    ["plain http", { platform: "wns", pushChannel: "http://db5.notify.windows.com/x" }, 400, "body_invalid"],
    [
      "a platform that nothing serves here",
      { platform: "mpns", pushChannel: "https://s.notify.live.net/x" },
      422,
      "platform_not_served",
    ],
  ])("%s is refused", async (_what, body, status, reason) => {
    const before = api.hub.requests.length;
    const answer = await api.as("hal", "PUT", "/api/installations/phone", body);
    expect(answer.status, answer.text).toBe(status);
    expect(answer.json()["reason"]).toBe(reason);
    expect(api.hub.requests).toHaveLength(before);
  });

  test.each([
    ["a space", "a%20b"],
    ["a quote", "%27"],
    ["65 characters", "x".repeat(65)],
    ["NUL", "%00"],
    ["a slash", "a%2Fb"],
  ])("R72: %s is in no installation id", async (_what, id) => {
    const body = { platform: "fcmv1", pushChannel: "x" };
    const answer = await api.as("hal", "PUT", `/api/installations/${id}`, body);
    expect([400, 404]).toContain(answer.status);
  });

  test("R146: one more installation than allowed is refused, and the others still work", async () => {
    for (const name of ["one", "two", "three"])
      expect((await register("ida", name, `ida-${name}`)).status).toBe(201);
    const refused = await register("ida", "four", "ida-four");
    expect(refused.status).toBe(409);
    expect(refused.json()["reason"]).toBe("installations_exhausted");
    expect((await register("ida", "two", "ida-two")).status).toBe(200);
    expect([...(await reached("ida"))].toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
      "ida-one",
      "ida-three",
      "ida-two",
    ]);
  });

  test("a hub that cannot be reached makes a registration a 202, and a later try completes it too", async () => {
    api.hub.fail({ on: "installation", answer: { status: 503 } });
    const kept = await register("jan", "phone", "jan-1");
    expect(kept.status, kept.text).toBe(202);
    expect([200, 201]).toContain((await register("jan", "phone", "jan-1")).status);
    expect(await reached("jan")).toEqual(["jan-1"]);
  });

  test("a device that the hub shows to tags is reached by its tag, and once", async () => {
    await register("kim", "phone", "kim-1");
    const before = api.hub.requests.length;
    await reached("kim");
    const direct = api.hub.requests.slice(before).filter(({ path }) => path.includes("/messages"));
    expect(direct).toHaveLength(1);
    if (way !== "in process") return;
    api.advance(121); // no longer too new for a tag
    expect(await reached("kim")).toEqual(["kim-1"]);
    const tags = api.hub.requests.at(-1)?.rawHeaders.join("\n") ?? "";
    expect(tags).toMatch(/servicebusnotification-tags\nuser:[A-Za-z0-9_-]{43}(?:\n|$)/i);
  });
});

test("an installation that was not renewed in time gets nothing any more", async () => {
  const api = await createApi("in process", { settings: { INSTALLATION_TTL: "1" } });
  try {
    await api.as("liv", "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: "liv-1" });
    api.advance(86_401);
    const sent = await api.send({ to: ["liv"], payload: 1 });
    expect(sent.json()["push"]).toBe("noDevices");
    expect(api.hub.deliveries).toEqual([]);
  } finally {
    await api.close();
  }
});
