// The table calls that docs/deployment.md states, against those of the running product; and the log lines of the same
// calls, which the alerts query.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createProxiedApi } from "../helpers/api.ts";

const deployment = readFileSync(new URL("../../docs/deployment.md", import.meta.url), "utf8");

test("the table calls in docs/deployment.md are those of the running product", async () => {
  const documented = readDocumentedCalls();
  const { proxy, api } = await createProxiedApi({ standsStill: true });
  const counted = new Map<string, number>();
  const count = async <T>(work: () => Promise<T>, what?: string, without = 0): Promise<T> => {
    const before = proxy.requests.length;
    const result = await work();
    if (what !== undefined) counted.set(what, proxy.requests.length - before - without);
    return result;
  };
  const register = (user: string) =>
    api.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
  const send = (...to: readonly string[]) => api.send({ to, payload: 1 });
  const sendKeyed = (to: string) =>
    api.send({ to: [to], payload: 1 }, { "idempotency-key": randomBytes(8).toString("hex") });
  const dropExpired = () => api.runTimer("dropExpired");
  const redeliver = () => api.runTimer("redeliverPushes");
  const ofSend = documented.get("a send to one recipient, who has a device") ?? 0;
  const ofIdlePass = documented.get("`redeliverPushes`, every minute, with nothing to do") ?? 0;
  const ofPass = ofIdlePass + (documented.get("while the outbox holds anything") ?? 0);
  const ofDropExpired = documented.get("`dropExpired`, hourly") ?? 0;

  await count(dropExpired, "the very first, which makes 31 days");
  await count(dropExpired, "`dropExpired`, hourly");
  await register("warm"); // makes tables and the root key
  await count(() => register("ada"), "registering a new device");
  await count(() => register("ada"), "renewing one");
  await send("ada"); // the day's key
  await count(() => send("ada"), "to a device registered less than two minutes ago", ofSend);
  for (const name of ["one", "two"])
    await api.as("duo", "PUT", `/api/installations/${name}`, { platform: "fcmv1", pushChannel: name });
  await count(() => send("duo"), "each further device", ofSend);
  api.advance(300);
  await dropExpired(); // it may be the next day by now
  await send("ada");
  const sent = await count(() => send("ada"), "a send to one recipient, who has a device");
  expect(sent.json()).toMatchObject({ push: "accepted" });
  await count(() => send("nobody"), "to a recipient without devices");
  await count(() => send("ada", "warm"), "each further recipient, with a device", ofSend);
  const path = `/api/notifications/${String(sent.json()["id"])}`;
  await count(() => api.as("ada", "GET", path), "the first fetch");
  await count(() => api.as("ada", "GET", path), "a later fetch of the same");
  await count(() => api.as("ada", "GET", "/api/notifications"), "a page of the list");
  await count(() => api.as("ada", "PUT", `${path}/read`), "marking one read");
  const receipts = (...to: readonly string[]) =>
    api.post("/api/receipts", { id: String(sent.json()["id"]), to });
  await count(() => receipts("ada"), "receipts of one recipient");
  await count(() => receipts("ada", "warm"), "each further receipt", 2);
  await count(() => api.as("ada", "DELETE", path), "deleting one");

  await count(redeliver, "`redeliverPushes`, every minute, with nothing to do");
  api.hub.fail({ on: "send", times: Infinity, answer: { status: 503 } });
  const pending = await count(() => send("ada"), "that the hub does not take (202)", ofSend);
  expect(pending.status).toBe(202);
  for (let pass = 0; pass < 3; pass++) {
    api.advance(130);
    await redeliver(); // each waits longer: in the end, for longer than a pass
  }
  await count(redeliver, "while the outbox holds anything", ofIdlePass);
  api.hub.clearFaults();
  api.advance(300);
  await count(redeliver, "each push that it makes", ofPass);
  await send("ada");
  api.advance(60);
  const erasing = async () => {
    await api.post("/api/recipients/erase", { to: ["eve"] });
    api.advance(60);
    await redeliver();
  };
  await register("eve");
  api.advance(300);
  await send("eve");
  api.advance(60);
  await count(erasing, "erasing a recipient with one notification and one device", ofPass);
  const erased = api.lines.filter((line) => line.includes('"recipients_erased"'));
  expect(erased.filter((line) => line.includes('"notifications":1'))).toHaveLength(1);

  await count(() => api.call("GET", "/api/health"), "health, at most once in 10 s");
  await count(() => api.as("ada", "DELETE", "/api/installations/phone"), "removing one");
  api.advance(86_400);
  await dropExpired(); // also removes the rows of what was removed
  await send("warm"); // the day's key
  await sendKeyed("warm"); // makes the table
  await count(() => sendKeyed("warm"), "with an `Idempotency-Key`", ofSend);
  api.advance(86_400);
  await count(dropExpired, "once a day, for the day that is over and the one that is new", ofDropExpired);
  await api.close();

  expect(Object.fromEntries(counted)).toEqual(Object.fromEntries(documented));
  expectAlertFields(api.lines);
});

/** The rows of the costs table: what is done, and its table calls. Rows that begin with a dash add to the row above. */
function readDocumentedCalls(): ReadonlyMap<string, number> {
  const [, section = ""] = deployment.split("## What it costs");
  const [table = ""] = section.split("\n## ");
  const rows = table.matchAll(/^\| (?:– )?([^|]+?) +\| \+?(\d+) +\|/gm);
  return new Map([...rows].map(([, what = "", calls]) => [what, Number(calls)]));
}

/** Alerts compare these fields (infra/modules/alerts.bicep). */
function expectAlertFields(lines: readonly string[]): void {
  const lastOf = (event: string) => lines.findLast((line) => line.includes(`"event":"${event}"`)) ?? "{}";
  expect(JSON.parse(lastOf("pushes_redelivered"))).toMatchObject({
    open: expect.any(Number),
    oldestSeconds: expect.any(Number),
  });
  expect(JSON.parse(lastOf("expired_dropped"))).toMatchObject({ event: "expired_dropped" });
}
