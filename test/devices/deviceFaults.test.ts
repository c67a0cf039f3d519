// What a hub that answers strangely, late or not at all, and a store that fails, do to devices: nobody loses one, nobody
// gets another's, and nothing is left over.
import { TableClient } from "@azure/data-tables";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { type Answered, type Api, createApi, createProxiedApi } from "../helpers/api.ts";
import { storeError, type StoreProxy } from "../helpers/store.ts";

const TTL_DAYS = 1;
const DAY_SECONDS = 86_400;
/** After this a renewal is written again: a tenth of the lifetime. */
const RENEWAL_SECONDS = (TTL_DAYS * DAY_SECONDS) / 10 + 1;

let proxy: StoreProxy;
let api: Api;

beforeAll(async () => {
  ({ proxy, api } = await createProxiedApi({ settings: { INSTALLATION_TTL: String(TTL_DAYS) } }));
});
afterAll(async () => {
  await api.close();
});
afterEach(() => {
  proxy.decide = () => undefined;
  api.hub.clearFaults();
  api.time.aheadMs = 0; // tokens live for twelve hours
});

const register = (user: string, id: string, pushChannel: unknown, platform = "fcmv1") =>
  api.as(user, "PUT", `/api/installations/${id}`, { platform, pushChannel });
const remove = (user: string, id: string) => api.as(user, "DELETE", `/api/installations/${id}`);
const redeliver = () => api.runTimer("redeliverPushes");
const failInstallations = (status: number, times = 1) =>
  api.hub.fail({ on: "installation", times, answer: { status } });

/** The push channels that one notification reached, with what its send answered. */
async function send(user: string): Promise<{ readonly push: unknown; readonly reached: readonly unknown[] }> {
  const before = api.hub.deliveries.length;
  const sent = await api.send({ to: [user], payload: 1 });
  const reached = api.hub.deliveries.slice(before).map(({ pushChannel }) => pushChannel);
  return { push: sent.json()["push"], reached };
}

async function receiptOf(sent: Answered, user: string): Promise<unknown> {
  const answer = await api.post("/api/receipts", { id: sent.json()["id"], to: [user] });
  const receipts = answer.json()["receipts"] as readonly { readonly push: string }[];
  return receipts[0]?.push;
}

const inHub = (pushChannel: string) =>
  api.hub.installations().filter((installation) => installation.pushChannel === pushChannel).length;

let names = 0;
/** A user whom no other test knows. */
const user = () => `faults-${names++}`;

describe("only a refusal of the push channel ends a registration, and no answer to a renewal does", () => {
  test.each([404, 408, 409, 410, 412, 413, 500])(
    "a new device and a %i: kept, and brought there",
    async (status) => {
      const ann = user();
      failInstallations(status);
      const answer = await register(ann, "phone", ann);
      expect(answer.status, answer.text).toBe(202);
      await redeliver();
      expect(inHub(ann)).toBe(1);
      expect(await send(ann)).toEqual({ push: "accepted", reached: [ann] });
    },
  );

  test.each([
    { status: 409, answered: 202 },
    { status: 410, answered: 202 },
    { status: 412, answered: 202 },
    { status: 400, answered: 400 },
  ])("a renewal that the hub answers with $status keeps the device", async ({ status, answered }) => {
    const ann = user();
    await register(ann, "phone", ann);
    api.advance(RENEWAL_SECONDS);
    failInstallations(status);
    expect((await register(ann, "phone", ann)).status).toBe(answered);
    expect(inHub(ann)).toBe(1);
    expect(await send(ann)).toEqual({ push: "accepted", reached: [ann] });
    await redeliver();
    expect(inHub(ann)).toBe(1);
    expect(await send(ann)).toEqual({ push: "accepted", reached: [ann] });
  });

  test("redelivery that meets a refusal ends what the hub never had, and keeps what it has", async () => {
    const [ann, bob] = [user(), user()];
    failInstallations(503);
    expect((await register(ann, "phone", ann)).status).toBe(202);
    failInstallations(400);
    await redeliver();
    expect(await send(ann)).toEqual({ push: "noDevices", reached: [] });

    await register(bob, "phone", bob);
    api.advance(RENEWAL_SECONDS);
    failInstallations(503);
    expect((await register(bob, "phone", bob)).status).toBe(202);
    failInstallations(400);
    await redeliver();
    expect(inHub(bob)).toBe(1);
    expect(await send(bob)).toEqual({ push: "accepted", reached: [bob] });
  });

  test("a refusal leaves another's holding of the channel as it was", async () => {
    const [ann, bob] = [user(), user()];
    await register(ann, "phone", ann);
    failInstallations(400);
    const refused = await register(bob, "phone", ann);
    expect(refused.json()["reason"]).toBe("push_channel_refused");
    await redeliver();
    expect(await send(bob)).toEqual({ push: "noDevices", reached: [] });
    expect(await send(ann)).toEqual({ push: "accepted", reached: [ann] });
    expect(inHub(ann)).toBe(1);
  });

  test("a send that the hub answers with 409 is pending, and accepted later", async () => {
    const ann = user();
    await register(ann, "phone", ann);
    api.hub.fail({ on: "send", answer: { status: 409 } });
    expect(await send(ann)).toEqual({ push: "pending", reached: [] });
    await redeliver();
    expect(api.hub.deliveries.at(-1)?.pushChannel).toBe(ann);
  });
});

describe("P7: a former device of a recipient gets nothing while the hub has not heard of it", () => {
  test("taken over: the recipient's other devices are pushed to one by one", async () => {
    const [ann, bob] = [user(), user()];
    await register(ann, "phone", `${ann}-phone`);
    await register(ann, "tablet", `${ann}-tablet`);
    api.advance(121); // group pushes reach both
    failInstallations(503, 50);
    expect((await register(bob, "phone", `${ann}-phone`)).status).toBe(202);
    expect(await send(ann)).toEqual({ push: "accepted", reached: [`${ann}-tablet`] });
    expect(await send(bob)).toEqual({ push: "accepted", reached: [`${ann}-phone`] });
    api.hub.clearFaults();
    await redeliver();
    // The hub may apply the removal late.
    expect(await send(ann)).toEqual({ push: "accepted", reached: [`${ann}-tablet`] });
    api.advance(121);
    expect(await send(ann)).toEqual({ push: "accepted", reached: [`${ann}-tablet`] });
    expect(inHub(`${ann}-phone`)).toBe(1);
  });

  test("signed off, and registered by another: pending pushes do not reach it", async () => {
    const [ann, bob] = [user(), user()];
    await register(ann, "phone", `${ann}-phone`);
    await register(ann, "tablet", `${ann}-tablet`);
    api.advance(121);
    api.hub.fail({ on: "send", answer: { status: 500 } });
    expect((await send(ann)).push).toBe("pending");
    failInstallations(503, 50);
    expect((await remove(ann, "phone")).status).toBe(204);
    expect((await register(bob, "phone", `${ann}-phone`)).status).toBe(202);
    const before = api.hub.deliveries.length;
    await redeliver();
    expect(api.hub.deliveries.slice(before).map(({ pushChannel }) => pushChannel)).toEqual([`${ann}-tablet`]);
  });
});

describe("what is pending follows the push channel, and a failed registration keeps the earlier one", () => {
  test("an app that is installed anew gets the push that was pending for it", async () => {
    const ann = user();
    await register(ann, "before", ann);
    api.hub.fail({ on: "send", answer: { status: 500 } });
    const sent = await api.send({ to: [ann], payload: 1 });
    expect(sent.json()["push"]).toBe("pending");
    expect((await register(ann, "after", ann)).status).toBe(201);
    await redeliver();
    expect(api.hub.deliveries.at(-1)?.pushChannel).toBe(ann);
    expect(await receiptOf(sent, ann)).toBe("accepted");
  });

  test.each(["installations", "channels", "outbox"])(
    "a store that fails at the rows of %s leaves a device that is reached",
    async (table) => {
      const ann = user();
      await register(ann, "before", ann);
      proxy.decide = ({ method, path, body }) =>
        method !== "GET" && `${path} ${body}`.includes(`${api.tablePrefix}${table}`)
          ? storeError(403, "No")
          : undefined;
      expect((await register(ann, "after", ann)).status).toBe(503);
      proxy.decide = () => undefined;
      expect(await send(ann)).toEqual({ push: "accepted", reached: [ann] });
      await redeliver();
      expect(await send(ann)).toEqual({ push: "accepted", reached: [ann] });
      expect(inHub(ann)).toBe(1);
    },
  );
});

test("P7: a removal that the hub applies late does not meet the next registration", async () => {
  const ann = user();
  await register(ann, "phone", ann);
  const before = api.hub.requests.length;
  await remove(ann, "phone");
  const removals = api.hub.requests.slice(before).filter(({ method }) => method === "DELETE");
  expect(removals).toHaveLength(1);
  expect((await register(ann, "phone", ann)).status).toBe(201);
  for (const { path, rawHeaders } of removals) {
    const at = rawHeaders.findIndex((name) => name.toLowerCase() === "authorization");
    const headers = { authorization: rawHeaders[at + 1] ?? "", "x-ms-version": "2020-06" };
    const late = await fetch(new URL(path, new URL(api.hub.url).origin), { method: "DELETE", headers });
    expect(late.status).toBe(204);
  }
  api.advance(121); // by tag alone
  expect(await send(ann)).toEqual({ push: "accepted", reached: [ann] });
});

test("an erasure removes a device that was registered while the hub was away", async () => {
  const ann = user();
  failInstallations(503);
  expect((await register(ann, "phone", ann)).status).toBe(202);
  api.advance(1);
  expect((await api.post("/api/recipients/erase", { to: [ann] })).status).toBe(202);
  await redeliver();
  api.advance(120);
  await redeliver();
  expect(await send(ann)).toEqual({ push: "noDevices", reached: [] });
  expect(inHub(ann)).toBe(0);
});

test("every spelling of one WNS channel is one device", async () => {
  const ann = user();
  const host = "db5.notify.windows.com";
  const spellings = [
    `https://${host}/?token=Ax${ann}`,
    `https://${host}/?token=Ax${ann}&`,
    `https://${host}./?token=Ax${ann}`,
    `https://${host}/?token=%41x${ann}`,
    `https://${host.toUpperCase()}/?token=Ax${ann}`,
  ];
  for (const [i, spelling] of spellings.entries()) {
    const answer = await register(ann, `phone-${i}`, spelling, "wns");
    expect(answer.status, answer.text).toBe(201);
  }
  expect((await send(ann)).reached).toHaveLength(1);
  api.advance(121);
  expect((await send(ann)).reached).toHaveLength(1);
});

describe("calls", () => {
  /** Table calls of a call of ours, and how many of them had to wait for others (side by side counts once). */
  async function count(work: () => Promise<unknown>) {
    const before = proxy.requests.length;
    const hubBefore = api.hub.requests.length;
    let waves = 0;
    let waiting: (() => void)[] = [];
    let timer: NodeJS.Timeout | undefined;
    // Requests are held until no more come, so that those that are made side by side come in one wave.
    proxy.decide = async () => {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        clearTimeout(timer);
        timer = setTimeout(() => {
          waves++;
          const wave = waiting;
          waiting = [];
          for (const release of wave) release();
        }, 60);
      });
      return undefined;
    };
    await work();
    proxy.decide = () => undefined;
    return {
      tables: proxy.requests.length - before,
      waves,
      hub: api.hub.requests.length - hubBefore,
      writes: proxy.requests.slice(before).filter(({ method }) => method !== "GET").length,
    };
  }

  test("a new device takes at most seven table calls, four of them in sequence, and one of the hub", async () => {
    const ann = user();
    await register(user(), "phone", user()); // tables and keys exist
    const calls = await count(() => register(ann, "phone", ann));
    expect(calls.hub).toBe(1);
    expect(calls.tables).toBeLessThanOrEqual(7);
    expect(calls.waves).toBeLessThanOrEqual(4);
    expect(await send(ann)).toEqual({ push: "accepted", reached: [ann] });
  });

  test("renewing an unchanged device takes two reads side by side, until a tenth of its lifetime has passed", async () => {
    const ann = user();
    const first = await register(ann, "phone", ann);
    api.advance(1800); // the root key is read once an hour
    let renewed: Answered | undefined;
    const calls = await count(async () => {
      renewed = await register(ann, "phone", ann);
    });
    expect(calls).toEqual({ tables: 2, waves: 1, hub: 0, writes: 0 });
    expect(renewed?.status).toBe(200);
    expect(renewed?.json()["expiresAt"]).toBe(first.json()["expiresAt"]);
    api.advance(RENEWAL_SECONDS - 1800 - 10);
    expect((await register(ann, "phone", ann)).json()["expiresAt"]).toBe(first.json()["expiresAt"]);
    api.advance(11);
    const later = await register(ann, "phone", ann);
    expect(later.json()["expiresAt"]).not.toBe(first.json()["expiresAt"]);
  });

  test("a renewal with other content is written: a browser's new keys are used", async () => {
    const ann = user();
    await register(ann, "phone", `${ann}-1`);
    expect((await register(ann, "phone", `${ann}-2`)).status).toBe(200);
    expect(await send(ann)).toEqual({ push: "accepted", reached: [`${ann}-2`] });
  });
});

test("what was not renewed is removed within a day: rows, channels, states, and the hub's installations", async () => {
  const own = await createApi("in process", { settings: { INSTALLATION_TTL: "1" } });
  const list = async (table: string) => {
    const options = { allowInsecureConnection: true };
    const name = own.tablePrefix + table;
    const client = TableClient.fromConnectionString(inject("storageConnectionString"), name, options);
    const keys: string[] = [];
    for await (const { rowKey } of client.listEntities()) keys.push(rowKey ?? "");
    return keys;
  };
  const put = (who: string) =>
    own.as(who, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: who });
  try {
    for (const who of ["ann", "bob", "cyd"]) await put(who);
    await own.as("cyd", "DELETE", "/api/installations/phone");
    own.advance(0.4 * DAY_SECONDS);
    await put("bob"); // renewed in time
    own.advance(0.7 * DAY_SECONDS);
    await own.runTimer("dropExpired");
    await own.runTimer("redeliverPushes");
    expect((await list("installations")).filter((key) => key === "phone")).toHaveLength(1);
    expect(own.hub.installations().map(({ pushChannel }) => pushChannel)).toEqual(["bob"]);
    for (let pass = 0; pass < 3; pass++) {
      own.advance(1.1 * DAY_SECONDS);
      await own.runTimer("dropExpired");
      await own.runTimer("redeliverPushes");
    }
    expect([await list("channels"), await list("installations")]).toEqual([[], []]);
    expect(own.hub.installations()).toEqual([]);
  } finally {
    await own.close();
  }
});
