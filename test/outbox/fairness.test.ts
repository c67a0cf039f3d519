// P3: what one recipient, one device or a pause cannot take delays nobody else, and no receipt.
import { afterEach, beforeEach, expect, test } from "vitest";
import { createWebPushService } from "../../local/webPushService.ts";
import { type Api, createApi } from "../helpers/api.ts";
import { channelsOf, idOf, redeliver } from "../helpers/pushes.ts";

let api: Api;
beforeEach(async () => {
  api = await createApi("in process");
});
afterEach(() => api.close());

const register = (user: string) =>
  api.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });

test("a device that the hub refuses to register delays none of the eleven recipients of a send", async () => {
  const others = Array.from({ length: 10 }, (_, i) => `user${i}`);
  for (const user of others) await register(user);
  api.advance(121);
  api.hub.fail({ on: "installation", times: 1000, answer: { status: 403 } });
  expect((await register("newcomer")).status).toBe(202);
  api.hub.fail({ on: "send", times: 5, answer: { status: 500 } });
  const sent = await api.send({ to: ["newcomer", ...others], payload: 1 });
  expect(sent.json()["push"]).toBe("pending");
  for (let pass = 0; pass < 2; pass++) {
    await redeliver(api);
    api.advance(60);
  }
  expect(channelsOf(api, idOf(sent))).toEqual(["newcomer", ...others].toSorted((a, b) => a.localeCompare(b)));
});

test("a hundred registrations that the hub refuses delay no push by more than one pass", async () => {
  await register("ann");
  api.advance(121);
  api.hub.fail({ on: "installation", times: 100_000, answer: { status: 500 } });
  const users = Array.from({ length: 100 }, (_, i) => `waiting${i}`);
  await Promise.all(users.map(register));
  api.hub.fail({ on: "send", answer: { status: 502 } });
  const sent = await api.send({ to: ["ann"], payload: 1 });
  expect(sent.json()["push"]).toBe("pending");
  api.advance(30);
  await redeliver(api);
  expect(channelsOf(api, idOf(sent))).toEqual(["ann"]);
});

test("a Retry-After beyond the expiry: the receipt is failed from that moment, whether or not anybody touched the row", async () => {
  await register("ann");
  api.advance(121);
  api.hub.fail({ on: "send", answer: { status: 429, headers: { "retry-after": "3600" } } });
  const sent = await api.send({ to: ["ann"], payload: 1, ttl: 120 });
  const receipt = async () => {
    const answer = await api.post("/api/receipts", { id: idOf(sent), to: ["ann"] });
    return answer.json()["receipts"];
  };
  expect(await receipt()).toMatchObject([{ push: "pending" }]);
  api.advance(121);
  expect(await receipt()).toMatchObject([{ push: "failed" }]);
  await redeliver(api);
  expect(await receipt()).toMatchObject([{ push: "failed" }]);
  expect(channelsOf(api, idOf(sent))).toEqual([]);
});

test("a pass does not wait for what falls due after it", async () => {
  await register("ann");
  api.advance(121);
  api.hub.fail({ on: "send", answer: { status: 429, headers: { "retry-after": "3600" } } });
  const sent = await api.send({ to: ["ann"], payload: 1 });
  expect(sent.json()["push"]).toBe("pending");
  const before = api.time.aheadMs;
  await redeliver(api);
  expect(api.time.aheadMs).toBe(before);
});

test("a pass does not wait for a sender that it does not have", async () => {
  const service = await createWebPushService();
  const before = await createApi("in process", { beside: api, settings: service.settings });
  const pushChannel = service.subscribe(service.vapidPublicKey);
  await before.as("ann", "PUT", "/api/installations/browser", { platform: "browser", pushChannel });
  await register("ann");
  api.advance(121);
  service.answerWith(() => ({ status: 500 }));
  api.hub.fail({ on: "send", answer: { status: 500 } });
  const sent = await before.send({ to: ["ann"], payload: 1 });
  await before.close();
  await service.close();
  api.advance(60);
  const startedMs = api.time.aheadMs;
  await redeliver(api); // which has no Web Push
  expect(channelsOf(api, idOf(sent))).toEqual(["ann"]);
  expect(api.time.aheadMs).toBe(startedMs);
});
