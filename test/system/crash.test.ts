// The process killed (SIGKILL) at each step of sendSecure, when it had taken effect and before it was answered, which is
// also before the next one: the built bundle under the local host, restarted over the same tables. docs/reliability.md
// shows what is seen here.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Answered } from "../helpers/calls.ts";
import { createCrashHarness, type CrashHarness } from "../helpers/crash.ts";
import { findRow, SEND_STEPS } from "../helpers/sendSteps.ts";

const doc = readFileSync(new URL("../../docs/reliability.md", import.meta.url), "utf8");
let app: CrashHarness;

beforeAll(async () => {
  app = await createCrashHarness();
  await app.start();
  await app.send({ to: ["warm"], payload: 1 }, { "idempotency-key": "warm" }); // makes tables and keys
});
afterAll(() => app.close());

let names = 0;
const redeliver = () => app.runTimer("redeliverPushes", "pushes_redelivered");
const register = (user: string) =>
  app.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
const told = (user: string) =>
  app.hub.deliveries
    .filter(({ pushChannel }) => pushChannel === user)
    .map(({ body }) => /[0-9A-HJKMNP-TV-Z]{32}/.exec(body)?.[0] ?? "");

/** What stands of an ID: its payload rows, and its row in the outbox. */
async function standing(id: string) {
  const rows = await app.rows("");
  return {
    payloads: rows.filter(
      ({ table, rowKey, gone }) => table.startsWith("notifications") && rowKey === id && gone === undefined,
    ).length,
    outbox: rows.filter(({ table, rowKey }) => table === "outbox" && rowKey === id).length,
  };
}

describe("P3, P4, R85, R92, R107: killed", () => {
  test.each(SEND_STEPS)("when $name: what docs/reliability.md says", async ({ name, to, isIt }) => {
    const user = `user-${names++}`;
    const body = { to: [user, `${user}-without`], payload: user };
    const key = { "idempotency-key": user };
    await register(user);
    const killed = app.killAt({ to, isIt, when: "after" });
    await expect(app.send(body, key)).rejects.toThrow(); // no answer: nothing was promised
    await killed;
    await app.restart();
    app.advance(16); // its leases are over
    await redeliver();
    await redeliver();

    // Redelivery alone: all of it, or nothing (R92).
    const ids = told(user);
    expect(new Set(ids).size).toBeLessThanOrEqual(1);
    const seen = ["nothing left", "pushed"][ids.length] ?? "pushed twice";
    const isThere = ids.length > 0;
    if (isThere) expect(await standing(ids[0] ?? "")).toEqual({ payloads: 2, outbox: 0 });

    // A try with the same key makes it one notification.
    const sent = await app.send(body, key);
    expect([201, 202], sent.text).toContain(sent.status);
    const id = String(sent.json()["id"]);
    if (isThere) expect(id).toBe(ids[0]);
    await redeliver();
    expect(new Set(told(user))).toEqual(new Set([id]));
    expect(await standing(id)).toEqual({ payloads: 2, outbox: 0 });
    for (const recipient of body.to) {
      const got = await app.as(recipient, "GET", `/api/notifications/${id}`);
      expect([got.status, got.json()["payload"]]).toEqual([200, user]);
    }
    // Devices are listed and payloads written at the same time: what of it comes first is chance.
    const said = findRow(doc, `killed when ${name}`)?.[0] ?? "";
    expect(said.split(" or ")).toContain(seen);
  });
});

test("R152: on SIGTERM the running calls end with their answers, and nothing that was accepted is lost", async () => {
  const users = Array.from({ length: 12 }, () => `user-${names++}`);
  for (const user of users) await register(user);
  // Every push is under way when the signal comes; half of them is then let go, half never comes back.
  const underWay = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  let pushes = 0;
  app.hubProxy.decide = async ({ path }) => {
    if (!path.includes("/messages")) return undefined;
    const n = ++pushes;
    if (n === users.length) underWay.resolve();
    await go.promise;
    return n % 2 === 0 ? { kind: "reset" } : undefined;
  };
  const sending = users.map((user) => app.send({ to: [user], payload: user }));
  await underWay.promise;
  const terminated = app.terminate();
  go.resolve();
  const answers: readonly Answered[] = await Promise.all(sending);
  await terminated;
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
    ...Array.from({ length: 6 }, () => 201),
    ...Array.from({ length: 6 }, () => 202),
  ]);
  app.hubProxy.decide = () => undefined;
  await app.restart();
  await redeliver();
  for (const [i, user] of users.entries()) expect(told(user)).toContain(String(answers[i]?.json()["id"]));
});

test("R152: a pass of redeliverPushes that waits for what falls due ends when the instance is stopped", async () => {
  const user = `user-${names++}`;
  await register(user);
  app.hubProxy.decide = ({ path }) => (path.includes("/messages") ? { kind: "reset" } : undefined);
  const sent = await app.send({ to: [user], payload: 1 });
  expect(sent.status).toBe(202);
  await app.runTimer("redeliverPushes", "push_postponed");
  const before = app.lines.length;
  // The end of the pass takes longer than the moment that a stop always has.
  app.storeProxy.decide = async () => {
    await sleep(300);
    return undefined;
  };
  await app.terminate(); // throws where it did not end in order
  app.storeProxy.decide = () => undefined;
  expect(app.lines.slice(before).join("\n"), "the pass had the time to end").toContain("pushes_redelivered");
  app.hubProxy.decide = () => undefined;
  await app.restart();
  app.advance(60);
  await redeliver();
  expect(told(user)).toEqual([String(sent.json()["id"])]);
});
