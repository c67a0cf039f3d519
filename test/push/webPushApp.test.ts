// Web Push in the app: which sender serves browsers, what a registration is answered, and what becomes of a device whose
// push service refuses it. The push service is the local one, over TLS.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  type BrowserSubscription,
  createWebPushService,
  type WebPushService,
} from "../../local/webPushService.ts";
import { createVapidKey } from "../../scripts/vapidKey.ts";
import { type Api, createApi } from "../helpers/api.ts";

let service: WebPushService;
let api: Api;
let users = 0;

beforeAll(async () => {
  service = await createWebPushService();
  api = await createApi("in process", { settings: service.settings });
});
afterAll(async () => {
  await api.close();
  await service.close();
});
afterEach(() => service.clear());

const user = () => `user-${++users}`;
const subscribe = () => service.subscribe(service.vapidPublicKey);

function register(
  userId: string,
  pushChannel: BrowserSubscription,
  extra: object = {},
  to: Api = api,
  installationId = "browser",
) {
  return to.as(userId, "PUT", `/api/installations/${installationId}`, {
    platform: "browser",
    pushChannel,
    ...extra,
  });
}

async function send(userId: string, to: Api = api) {
  return (await to.send({ to: [userId], payload: "secret" })).json();
}

const receivedBy = ({ endpoint }: BrowserSubscription) =>
  service.received
    .filter((push) => push.endpoint === endpoint)
    .map(({ text }) => JSON.parse(text) as unknown);
const eventsOf = (lines: readonly string[]) =>
  lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);

test("a browser subscribes under the key that push-config answers, registers, and gets the ID alone (P1)", async () => {
  const { vapidPublicKey } = (await api.call("GET", "/api/push-config")).json();
  expect(vapidPublicKey).toBe(service.vapidPublicKey);
  const [ann, subscription] = [user(), subscribe()];
  expect((await register(ann, subscription, { vapidPublicKey })).status).toBe(201);
  const { id, push } = await send(ann);
  expect(push).toBe("accepted");
  expect(receivedBy(subscription)).toEqual([{ secureId: id }]);
  expect(api.hub.requests.filter(({ path }) => path.includes("installations"))).toEqual([]);
});

test("one notification goes to a user's browsers and, through the hub, to the phone", async () => {
  const [ann, first, second] = [user(), subscribe(), subscribe()];
  await register(ann, first);
  await register(ann, second, {}, api, "other");
  await api.as(ann, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: `token-of-${ann}` });
  const { id, push } = await send(ann);
  expect(push).toBe("accepted");
  for (const one of [first, second]) expect(receivedBy(one)).toEqual([{ secureId: id }]);
});

describe("a registration is refused (P8)", () => {
  test.each([
    [
      "the endpoint's host is not on the list",
      { endpoint: "https://evil.example/x" },
      {},
      "push_channel_refused",
    ],
    [
      "the endpoint is an inner address",
      { endpoint: "https://169.254.169.254/x" },
      {},
      "push_channel_refused",
    ],
    ["the key is none of ours", {}, { vapidPublicKey: createVapidKey().publicKey }, "push_channel_refused"],
    ["the key is no point", {}, { vapidPublicKey: "x" }, "body_invalid"],
  ])("%s", async (_what, change, extra, reason) => {
    const ann = user();
    const answer = await register(ann, { ...subscribe(), ...change }, extra);
    expect({ status: answer.status, reason: answer.json()["reason"] }).toEqual({ status: 400, reason });
    expect(answer.text).not.toContain("evil.example");
    expect(await send(ann)).toMatchObject({ push: "noDevices" });
  });
});

describe("what a push service answers", () => {
  test.each([404, 410])(
    "%i removes the registration, and the next send finds no device (R116)",
    async (status) => {
      const [ann, subscription] = [user(), subscribe()];
      await register(ann, subscription);
      service.answerWith(() => ({ status }));
      await send(ann);
      service.clear();
      expect(await send(ann)).toMatchObject({ push: "noDevices" });
      expect(service.received).toEqual([]);
    },
  );

  test("a 410 about an older registration leaves the newer one alone (R117)", async () => {
    const [ann, older, newer] = [user(), subscribe(), subscribe()];
    await register(ann, older);
    service.answerWith(async ({ endpoint }) => {
      if (endpoint !== older.endpoint) return undefined;
      await register(ann, newer);
      return { status: 410 };
    });
    await send(ann);
    const { id } = await send(ann);
    expect(receivedBy(newer)).toContainEqual({ secureId: id });
  });

  test.each([
    {
      status: 403,
      body: "the VAPID credentials do not correspond to the credentials used to create the subscriptions",
    },
    { status: 400, body: '{"reason":"VapidPkHashMismatch"}' },
    { status: 401, body: '{"code":401,"errno":109,"message":"VAPID public key mismatch"}' },
  ])(
    "a key mismatch ($status) fails that device alone: it stays, and others are pushed to at once",
    async (answer) => {
      const [ann, bob, refused, other] = [user(), user(), subscribe(), subscribe()];
      await register(ann, refused);
      await register(bob, other);
      service.answerWith(({ endpoint }) => (endpoint === refused.endpoint ? answer : undefined));
      for (let i = 0; i < 3; i++) expect(await send(ann)).toMatchObject({ push: "failed" });
      expect(await send(bob)).toMatchObject({ push: "accepted" });
      service.clear();
      expect(await send(ann)).toMatchObject({ push: "accepted" });
      const outcomes = eventsOf(api.lines).filter(({ event }) => event === "pushed");
      expect(outcomes.filter(({ outcome }) => outcome === "credentials")).toEqual([]);
    },
  );

  test("a 429 with Retry-After: 3600 of one endpoint delays that device alone (R125)", async () => {
    const [ann, bob, slow, fast] = [user(), user(), subscribe(), subscribe()];
    await register(ann, slow);
    await register(bob, fast);
    service.answerWith(({ endpoint }) =>
      endpoint === slow.endpoint ? { status: 429, headers: { "Retry-After": "3600" } } : undefined,
    );
    expect(await send(ann)).toMatchObject({ push: "pending" });
    expect(await send(bob)).toMatchObject({ push: "accepted" });
    service.clear();
    await api.runTimer("redeliverPushes");
    expect(receivedBy(slow)).toEqual([]);
  });
});

test("a device that subscribed under a key that left the ring fails alone, and registers anew", async () => {
  const [ann, subscription] = [user(), subscribe()];
  await register(ann, subscription);
  const { jwk, publicKey } = createVapidKey();
  const rotated = await createApi("in process", {
    beside: api,
    settings: { ...service.settings, VAPID_KEYS: JSON.stringify({ keys: [jwk] }) },
  });
  try {
    expect(await send(ann, rotated)).toMatchObject({ push: "failed" });
    const renewed = service.subscribe(publicKey);
    expect((await register(ann, renewed, { vapidPublicKey: publicKey }, rotated)).status).toBeLessThan(300);
    const { id, push } = await send(ann, rotated);
    expect(push).toBe("accepted");
    expect(receivedBy(renewed)).toEqual([{ secureId: id }]);
  } finally {
    await rotated.close();
  }
});

test("a configuration error stops Web Push alone: browsers are not served, the rest is, and health does not change (R129)", async () => {
  const stopped = await createApi("in process", {
    settings: { ...service.settings, VAPID_SUBJECT: "mailto:SECRET@localhost" },
  });
  try {
    const ann = user();
    const answer = await register(ann, subscribe(), {}, stopped);
    expect(answer.json()["reason"]).toBe("platform_not_served");
    expect((await stopped.call("GET", "/api/health")).status).toBe(200);
    expect((await stopped.call("GET", "/api/push-config")).json()).toEqual({});
    const phone = { platform: "fcmv1", pushChannel: `token-of-${ann}` };
    expect((await stopped.as(ann, "PUT", "/api/installations/phone", phone)).status).toBe(201);
    expect(await send(ann, stopped)).toMatchObject({ push: "accepted" });
    const told = eventsOf(stopped.lines).filter(({ event }) => event === "sender_stopped");
    expect(told).toMatchObject([{ level: "error", sender: "webPush", setting: "VAPID_SUBJECT" }]);
    expect(stopped.lines.join("")).not.toContain("SECRET");
  } finally {
    await stopped.close();
  }
});

test("without VAPID_KEYS the hub serves browsers", async () => {
  const plain = await createApi("in process");
  try {
    const [ann, subscription] = [user(), subscribe()];
    expect((await plain.call("GET", "/api/push-config")).json()).toEqual({});
    expect((await register(ann, subscription, {}, plain)).status).toBe(201);
    expect(await send(ann, plain)).toMatchObject({ push: "accepted" });
    expect(service.received).toEqual([]);
  } finally {
    await plain.close();
  }
});
