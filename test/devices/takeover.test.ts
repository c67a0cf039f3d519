// P7: a device is its owner's, also where the hub or the store fails in the middle of it, and where many race.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Api, createProxiedApi } from "../helpers/api.ts";
import { storeError, type StoreProxy } from "../helpers/store.ts";

let proxy: StoreProxy;
let api: Api;

beforeAll(async () => {
  ({ proxy, api } = await createProxiedApi({ settings: { MAX_INSTALLATIONS: "3" } }));
});
afterAll(async () => {
  await api.close();
});
afterEach(() => {
  proxy.decide = () => undefined;
  api.hub.clearFaults();
});

const path = (installationId: string) => `/api/installations/${installationId}`;
const register = (user: string, installationId: string, pushChannel: string) =>
  api.as(user, "PUT", path(installationId), { platform: "fcmv1", pushChannel });
const remove = (user: string, installationId: string) => api.as(user, "DELETE", path(installationId));

/** The push channels that a notification for this user went to, once the hub shows everything to tags, or before. */
async function reached(user: string, when: "at once" | "later" = "at once"): Promise<readonly string[]> {
  const before = api.hub.deliveries.length;
  if (when === "later") api.advance(121);
  const sent = await api.send({ to: [user], payload: 1 });
  if (when === "later") api.advance(-121);
  expect(sent.status, sent.text).toBe(201);
  return api.hub.deliveries
    .slice(before)
    .map(({ pushChannel }) => pushChannel)
    .toSorted((a, b) => a.localeCompare(b));
}

const channelsInHub = (...channels: readonly string[]) =>
  api.hub
    .installations()
    .map(({ pushChannel }) => (typeof pushChannel === "string" ? pushChannel : pushChannel.endpoint))
    .filter((channel) => channels.includes(channel))
    .toSorted((a, b) => a.localeCompare(b));

let names = 0;
/** Nobody else's names. */
const fresh = (count: number) => Array.from({ length: count }, () => `n${names++}`);
const [a1, a2] = ["-1", "-2"];

describe("a hub that fails once", () => {
  test("while a device moves: the next try leaves the old channel too", async () => {
    const [user = ""] = fresh(1);
    await register(user, "phone", user + a1);
    api.hub.fail({ on: "installation", answer: { status: 503 } });
    expect((await register(user, "phone", user + a2)).status).toBe(202);
    expect((await register(user, "phone", user + a2)).status).toBe(200);
    expect(channelsInHub(user + a1, user + a2)).toEqual([user + a2]);
    expect(await reached(user, "later")).toEqual([user + a2]);
    expect((await remove(user, "phone")).status).toBe(204);
    expect(channelsInHub(user + a1, user + a2)).toEqual([]);
  });

  test("while the old channel is left: removing the device is rid of both", async () => {
    const [user = ""] = fresh(1);
    await register(user, "phone", user + a1);
    // The new channel is told, the old one's deletion fails.
    api.hub.fail({ on: "installation", answer: { delayMs: 0 } });
    api.hub.fail({ on: "installation", answer: { status: 500 } });
    expect((await register(user, "phone", user + a2)).status).toBe(202);
    expect((await remove(user, "phone")).status).toBe(204);
    expect(channelsInHub(user + a1, user + a2)).toEqual([]);
  });

  test("with a refusal: what stood before stands again, for the device and for who held the channel", async () => {
    const [user = "", stranger = ""] = fresh(2);
    await register(user, "phone", user + a1);
    await register(stranger, "phone", stranger + a1);
    api.hub.fail({ on: "installation", answer: { status: 400 } });
    const refused = await register(user, "phone", stranger + a1);
    expect(refused.status).toBe(400);
    expect(refused.json()["reason"]).toBe("push_channel_refused");
    for (const when of ["at once", "later"] as const) {
      expect(await reached(user, when)).toEqual([user + a1]);
      expect(await reached(stranger, when)).toEqual([stranger + a1]);
    }
  });

  test("while the old channel is left, and the new one is taken over: the old one is left all the same", async () => {
    const [former = "", newer = ""] = fresh(2);
    await register(former, "phone", former + a1);
    api.hub.fail({ on: "installation", answer: { delayMs: 0 } });
    api.hub.fail({ on: "installation", answer: { status: 500 } });
    expect((await register(former, "phone", former + a2)).status).toBe(202);
    expect((await register(newer, "phone", former + a2)).status).toBe(201);
    expect((await remove(former, "phone")).status).toBe(204);
    expect(channelsInHub(former + a1, former + a2)).toEqual([former + a2]);
    expect(await reached(former, "later")).toEqual([]);
  });

  test("and is told late: the device counts as new from then on, and is reached directly", async () => {
    const [user = ""] = fresh(1);
    api.hub.fail({ on: "installation", answer: { status: 503 } });
    expect((await register(user, "phone", user + a1)).status).toBe(202);
    api.advance(600);
    expect((await register(user, "phone", user + a1)).status).toBe(200);
    expect(await reached(user)).toEqual([user + a1]);
    api.advance(-600);
    expect(api.hub.requests.at(-1)?.path).toContain("direct");
  });

  test("while a channel changes hands: neither owner is left with what they cannot be rid of", async () => {
    const [former = "", newer = ""] = fresh(2);
    await register(former, "phone", former + a1);
    api.hub.fail({ on: "installation", answer: { status: 503 } });
    expect((await register(newer, "phone", former + a1)).status).toBe(202);
    // The former owner signs out before the newer one tries again.
    expect((await remove(former, "phone")).status).toBe(204);
    expect(await reached(former, "later")).toEqual([]);
    expect((await register(newer, "phone", former + a1)).status).toBe(200);
    expect(await reached(newer, "later")).toEqual([former + a1]);
    expect(await reached(former, "later")).toEqual([]);
  });
});

describe("a hub that fails once, and nobody tries again: redelivery", () => {
  const redeliver = () => api.runTimer("redeliverPushes");

  test("brings a registration there", async () => {
    const [user = ""] = fresh(1);
    api.hub.fail({ on: "installation", answer: "reset" });
    const kept = await register(user, "phone", user + a1);
    expect(kept.status, kept.text).toBe(202);
    expect(Object.keys(kept.json()).toSorted()).toEqual(["expiresAt", "installationId"]);
    expect(channelsInHub(user + a1)).toEqual([]);
    await redeliver();
    expect(channelsInHub(user + a1)).toEqual([user + a1]);
  });

  test("completes a removal, of which the device hears nothing more than 204", async () => {
    const [user = ""] = fresh(1);
    await register(user, "phone", user + a1);
    api.hub.fail({ on: "installation", answer: { status: 401 } });
    expect((await remove(user, "phone")).status).toBe(204);
    expect(channelsInHub(user + a1)).toEqual([user + a1]);
    expect((await api.send({ to: [user], payload: 1 })).json()["push"]).toBe("noDevices");
    await redeliver();
    expect(channelsInHub(user + a1)).toEqual([]);
  });

  test("hands a channel that changed hands to its new owner", async () => {
    const [former = "", newer = ""] = fresh(2);
    await register(former, "phone", former + a1);
    api.hub.fail({ on: "installation", answer: { status: 429, headers: { "retry-after": "7" } } });
    expect((await register(newer, "phone", former + a1)).status).toBe(202);
    await redeliver();
    expect([await reached(newer, "later"), await reached(former, "later")]).toEqual([[former + a1], []]);
  });

  test("hands it over before it pushes what its former owner is owed (P7)", async () => {
    const [former = "", newer = ""] = fresh(2);
    await register(former, "phone", former + a1);
    api.advance(121);
    api.hub.fail({ on: "any", times: 2, answer: "reset" });
    const sent = await api.send({ to: [former], payload: 1 });
    expect(sent.status).toBe(202);
    expect((await register(newer, "phone", former + a1)).status).toBe(202);
    await redeliver();
    api.advance(60);
    await redeliver();
    const ids = api.hub.deliveries.map(({ body }) => body);
    expect(ids.filter((body) => body.includes(String(sent.json()["id"])))).toEqual([]);
    expect(await reached(newer, "later")).toEqual([former + a1]);
  });

  test("leaves the channel that a device has moved from", async () => {
    const [user = ""] = fresh(1);
    await register(user, "phone", user + a1);
    api.hub.fail({ on: "installation", answer: { delayMs: 0 } });
    api.hub.fail({ on: "installation", answer: { status: 500 } });
    expect((await register(user, "phone", user + a2)).status).toBe(202);
    await redeliver();
    expect(channelsInHub(user + a1, user + a2)).toEqual([user + a2]);
  });
});

test("a store that fails in the middle of a takeover: the former owner keeps the device, and the next try takes it", async () => {
  const [former = "", newer = ""] = fresh(2);
  await register(former, "phone", former + a1);
  // Every write of an installation fails.
  proxy.decide = ({ path: target, body }) =>
    target.includes("$batch") && body.includes("installations") ? storeError(403, "No") : undefined;
  expect((await register(newer, "phone", former + a1)).status).toBe(503);
  proxy.decide = () => undefined;
  expect(await reached(former)).toEqual([former + a1]);
  expect((await register(newer, "phone", former + a1)).status).toBe(201);
  for (const when of ["at once", "later"] as const) {
    expect(await reached(newer, when)).toEqual([former + a1]);
    expect(await reached(former, when)).toEqual([]);
  }
});

test("P7: removing a device whose registration never got its channel takes nothing from the channel's owner", async () => {
  const [failed = "", owner = ""] = fresh(2);
  const channel = failed + a1;
  proxy.decide = ({ method, path: target }) =>
    method !== "GET" && target.includes("channels") ? storeError(403, "No") : undefined;
  expect((await register(failed, "phone", channel)).status).toBe(503);
  proxy.decide = () => undefined;
  expect((await register(owner, "phone", channel)).status).toBe(201);
  expect((await remove(failed, "phone")).status).toBe(204);
  await api.runTimer("redeliverPushes");
  expect(channelsInHub(channel)).toEqual([channel]);
  expect(await reached(owner, "later")).toEqual([channel]);
  expect(await reached(failed, "later")).toEqual([]);
});

test("a removal that failed half way, and a newer owner: no row is left that says there is a device", async () => {
  const [former = "", newer = ""] = fresh(2);
  await register(former, "phone", former + a1);
  api.hub.fail({ on: "installation", answer: { status: 500 } });
  expect((await remove(former, "phone")).status).toBe(204);
  expect((await register(newer, "phone", former + a1)).status).toBe(201);
  const sent = await api.send({ to: [former], payload: 1 });
  expect(sent.json()["push"]).toBe("noDevices");
  expect(await reached(newer, "later")).toEqual([former + a1]);
});

test("channels that were left crosswise while the hub was away are settled in few calls once it is back", async () => {
  const [a = "", b = "", c = "", d = ""] = fresh(4);
  const [k1, k2] = [a + a1, a + a2];
  await register(a, "phone", k1);
  await register(b, "phone", k2);
  api.hub.fail({ on: "installation", times: 4, answer: { status: 503 } });
  for (const [user, channel] of [
    [a, k2],
    [b, k1],
    [c, k2],
    [d, k1],
  ] as const)
    expect((await register(user, "phone", channel)).status).toBe(202);
  const before = api.hub.requests.length;
  for (const [user, channel] of [
    [c, k2],
    [d, k1],
  ] as const)
    expect((await register(user, "phone", channel)).status).toBe(200);
  expect(api.hub.requests.length - before).toBeLessThan(10);
  expect([await reached(c, "later"), await reached(d, "later")]).toEqual([[k2], [k1]]);
  expect([await reached(a, "later"), await reached(b, "later")]).toEqual([[], []]);
});

test("a device that is renewed while another's takeover is half done keeps what it was given last", async () => {
  const [former = "", newer = ""] = fresh(2);
  await register(former, "phone", former + a1);
  // The newer one has claimed, and is held before it looks for the former one's row.
  const held = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  let hasTold = false;
  const stop = api.hub.requests.length;
  proxy.decide = async ({ method, path: target }) => {
    hasTold ||= api.hub.requests.length > stop;
    if (!hasTold || method !== "GET" || !target.includes("installations")) return undefined;
    hasTold = false;
    proxy.decide = () => undefined;
    held.resolve();
    await released.promise;
    return undefined;
  };
  const taking = register(newer, "phone", former + a1);
  await held.promise;
  expect([200, 201]).toContain((await register(former, "phone", former + a1)).status);
  released.resolve();
  expect([200, 201, 202]).toContain((await taking).status);
  // One of them has it, and is reached; for the other there is no device.
  const who = [await reached(former, "later"), await reached(newer, "later")].filter((to) => to.length > 0);
  expect(who).toEqual([[former + a1]]);
});

describe("races", () => {
  /** However it ends: the hub, the rows and the pushes agree on one owner for each channel, and nobody has another's. */
  async function expectOneOwner(channels: readonly string[], users: readonly string[]): Promise<void> {
    await api.runTimer("redeliverPushes");
    const got: string[] = [];
    for (const user of users) got.push(...(await reached(user, "later")));
    got.sort((a, b) => a.localeCompare(b));
    expect(got).toEqual(channelsInHub(...channels));
    expect(new Set(got).size).toBe(got.length);
  }

  test("one renews while another takes over", async () => {
    for (let round = 0; round < 2; round++) {
      const [former = "", newer = ""] = fresh(2);
      const channel = former + a1;
      await register(former, "phone", channel);
      const answers = await Promise.all([
        register(former, "phone", channel),
        register(newer, "phone", channel),
        register(former, "phone", channel),
      ]);
      for (const { status, text } of answers) expect([200, 201], text).toContain(status);
      await expectOneOwner([channel], [former, newer]);
      // Who registers last, with nobody beside, has it.
      await register(newer, "phone", channel);
      expect([await reached(newer, "later"), await reached(former, "later")]).toEqual([[channel], []]);
    }
  });

  test("P7: a registration whose row arrives after another took its channel leaves one owner", async () => {
    const [slow = "", quick = ""] = fresh(2);
    const channel = slow + a1;
    const held = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    let isFirst = true;
    proxy.decide = async ({ path: target, body }) => {
      if (!isFirst || !target.includes("$batch") || !body.includes("installations")) return undefined;
      isFirst = false;
      held.resolve();
      await released.promise;
      return undefined;
    };
    const registering = register(slow, "phone", channel);
    await held.promise;
    expect((await register(quick, "phone", channel)).status).toBe(201);
    released.resolve();
    expect([200, 201, 202]).toContain((await registering).status);
    await expectOneOwner([channel], [slow, quick]);
    expect(await reached(slow, "later")).toHaveLength(1); // it ended last
  });

  test("one moves to another channel while another takes the old one", async () => {
    for (let round = 0; round < 2; round++) {
      const [mover = "", taker = ""] = fresh(2);
      const [old, next] = [mover + a1, mover + a2];
      await register(mover, "phone", old);
      await Promise.all([register(mover, "phone", next), register(taker, "phone", old)]);
      await expectOneOwner([old, next], [mover, taker]);
      expect(await reached(taker, "later")).toEqual([old]);
      expect(await reached(mover, "later")).toEqual([next]);
    }
  });

  test("an app that is installed anew, under a new installation id, is one device", async () => {
    for (let round = 0; round < 2; round++) {
      const [user = ""] = fresh(1);
      const channel = user + a1;
      await register(user, "before", channel);
      await Promise.all([register(user, "after", channel), register(user, "before", channel)]);
      await expectOneOwner([channel], [user]);
      expect((await register(user, "after", channel)).status).toBeLessThan(300);
      expect(await reached(user, "later")).toEqual([channel]);
      await remove(user, "before");
      expect(await reached(user, "later")).toEqual([channel]);
      await remove(user, "after");
      expect(channelsInHub(channel)).toEqual([]);
    }
  });

  test("one device that registers six channels at once ends with one, and removing it with none", async () => {
    const [user = ""] = fresh(1);
    const channels = Array.from({ length: 6 }, (_, i) => `${user}-${i}`);
    const answers = await Promise.all(channels.map((channel) => register(user, "phone", channel)));
    expect(answers.map(({ status }) => status).every((status) => status === 200 || status === 201)).toBe(
      true,
    );
    expect(channelsInHub(...channels)).toHaveLength(1);
    expect(await reached(user, "later")).toEqual(channelsInHub(...channels));
    await remove(user, "phone");
    expect(channelsInHub(...channels)).toEqual([]);
  });

  test("six users who register one channel at once: one has it, and no answer is a 500", async () => {
    const users = fresh(6);
    const channel = `${users[0] ?? ""}-shared`;
    const answers = await Promise.all(users.map((user) => register(user, "phone", channel)));
    for (const { status, text } of answers) expect([200, 201, 202, 503], text).toContain(status);
    // What the race has left is finished; then whoever registers with nobody beside has it.
    await api.runTimer("redeliverPushes");
    const [last = ""] = users;
    expect([200, 201, 202]).toContain((await register(last, "phone", channel)).status);
    await api.runTimer("redeliverPushes");
    expect(channelsInHub(channel)).toEqual([channel]);
    for (const user of users)
      expect(await reached(user, "later"), user).toEqual(user === last ? [channel] : []);
  });

  test("registering and removing at once leave either a device that is reached or none", async () => {
    for (let round = 0; round < 5; round++) {
      const [user = ""] = fresh(1);
      await register(user, "phone", user + a1);
      await Promise.all([
        register(user, "phone", user + a1),
        remove(user, "phone"),
        register(user, "phone", user + a2),
      ]);
      expect(channelsInHub(user + a1, user + a2)).toEqual(await reached(user, "later"));
      await remove(user, "phone");
      expect(channelsInHub(user + a1, user + a2)).toEqual([]);
    }
  });

  test("R146: of twenty devices that register at once no more get in than are allowed", async () => {
    const [user = ""] = fresh(1);
    const answers = await Promise.all(fresh(20).map((name) => register(user, name, `${user}-${name}`)));
    const statuses = answers.map(({ status }) => status);
    for (const status of statuses) expect([201, 409, 503]).toContain(status);
    const accepted = statuses.filter((status) => status === 201).length;
    expect(accepted).toBeGreaterThanOrEqual(1);
    expect(accepted).toBeLessThanOrEqual(3);
    expect(await reached(user, "later")).toHaveLength(accepted);
  });
});

test("P3: a send while its device's change of push channel is half written waits, and is pushed to the new channel", async () => {
  const put = (pushChannel: string) =>
    api.as("mover", "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel });
  expect((await put("mover-old")).status).toBe(201);
  const written = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  let isFirst = true;
  proxy.decide = ({ path: target, body }) => {
    if (!isFirst || !target.includes("$batch") || !body.includes("installations")) return undefined;
    isFirst = false;
    // The device's own row has the new channel by then, and the channel's row still another holder.
    return {
      kind: "holdAnswer",
      until: () => {
        written.resolve();
        return goOn.promise;
      },
    };
  };
  const moving = put("mover-new");
  await written.promise;
  const sent = await api.send({ to: ["mover"], payload: 1 });
  expect(sent.json()["push"]).toBe("pending");
  goOn.resolve();
  expect((await moving).status).toBe(200);
  api.advance(16);
  await api.runTimer("redeliverPushes");
  const id = String(sent.json()["id"]);
  const receipts = await api.post("/api/receipts", { id, to: ["mover"] });
  expect(receipts.json()["receipts"]).toMatchObject([{ push: "accepted" }]);
  const deliveries = api.hub.deliveries.filter(({ body }) => body.includes(id));
  expect(deliveries.map(({ pushChannel }) => pushChannel)).toEqual(["mover-new"]);
});
