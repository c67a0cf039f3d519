// /admin, timers and other triggers through the running host.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startHost, startHostForTest, type TestHost, writeApp } from "./helpers.ts";

describe("/admin", () => {
  let host: TestHost;
  const key = { "x-functions-key": "master-key" };
  const json = { "content-type": "application/json" };

  beforeAll(async () => {
    host = await startHost({ masterKey: "master-key", keys: { default: "function-key" } });
  });
  afterAll(async () => {
    await host.kill("SIGKILL");
  });

  test.each([
    { path: "functions/tick", headers: { ...key, ...json }, body: `{"input":""}`, status: 202 },
    { path: "functions/TICK", headers: { ...key, ...json }, body: `{}`, status: 202 },
    { path: "functions/tick?code=master-key", headers: json, body: `{"input":""}`, status: 202 },
    { path: "functions/tick", headers: json, body: `{"input":""}`, status: 401 },
    {
      path: "functions/tick",
      headers: { ...json, "x-functions-key": "function-key" },
      body: `{"input":""}`,
      status: 401,
    },
    { path: "functions/gone", headers: { ...key, ...json }, body: `{"input":""}`, status: 404 },
    { path: "functions/tick", headers: { ...key, "content-type": "text/plain" }, body: `{}`, status: 415 },
    { path: "functions/tick", headers: { ...key, ...json }, body: "", status: 400 },
    { path: "functions/tick", headers: { ...key, ...json }, body: "no JSON", status: 400 },
    { path: "functions/item", headers: { ...key, ...json }, body: `{"input":""}`, status: 400 }, // has a route
    { path: "elsewhere", headers: { ...key, ...json }, body: `{}`, status: 404 },
  ])("POST /admin/$path with $headers and $body is answered $status", async (row) => {
    const response = await fetch(`${host.url}/admin/${row.path}`, {
      method: "POST",
      headers: row.headers,
      body: row.body,
    });
    expect(response.status).toBe(row.status);
    expect(await response.text()).toBe("");
  });

  test("a timer that is asked for runs", async () => {
    await fetch(`${host.url}/admin/functions/tick`, {
      method: "POST",
      headers: { ...key, ...json },
      body: "{}",
    });
    const line = await host.waitForLine(/^information tick .*: tick /);
    expect(JSON.parse(line.replace(/^.*: tick /, ""))).toMatchObject({
      isPastDue: false,
      schedule: { adjustForDST: true },
      scheduleStatus: { next: expect.stringMatching(/^\d{4}-01-01T00:00:00/) },
    });
  });

  test("a timer that fails is logged and does no harm", async () => {
    const run = { method: "POST", headers: { ...key, ...json }, body: "{}" };
    expect((await fetch(`${host.url}/admin/functions/failing`, run)).status).toBe(202);
    await host.waitForLine(/^error failing .*the timer failed/);
    expect((await fetch(`${host.url}/api/items/1`)).status).toBe(200);
  });

  test("another trigger gets the input", async () => {
    const run = { method: "POST", headers: { ...key, ...json }, body: JSON.stringify({ input: `{"n":1}` }) };
    expect((await fetch(`${host.url}/admin/functions/worker`, run)).status).toBe(202);
    await host.waitForLine(/^information worker .*: worker got \{"n":1\}$/);
  });

  test("the host's state and functions are told to those with the master key", async () => {
    expect((await fetch(`${host.url}/admin/host/status`)).status).toBe(401);
    const status = await fetch(`${host.url}/admin/host/status`, { headers: key });
    expect(await status.json()).toEqual({ state: "Running" });
    const functions = await fetch(`${host.url}/admin/functions`, { headers: key });
    expect(await functions.json()).toEqual(
      expect.arrayContaining([
        { name: "item", route: "api/items/{id}", methods: ["GET"] },
        { name: "anyMethod", route: "api/anyMethod" },
        { name: "tick", schedule: "0 0 0 1 1 *" },
        { name: "worker" },
      ]),
    );
  });
});

test("without a master key /admin wants none", async () => {
  const host = await startHostForTest();
  expect((await fetch(`${host.url}/admin/host/status`)).status).toBe(200);
});

test("timers run by the clock, and one that wants to on start-up", async () => {
  const host = await startHostForTest({ timers: true, settings: { TICK: "* * * * * *" } });
  await host.waitForLine(/^information tick .*: tick /);

  const appDirectory = writeApp({
    "main.js": `import { app } from "@azure/functions";
      app.timer("early", { schedule: "0 0 0 1 1 *", runOnStartup: true, handler: (_timer, context) => context.log("ran") });`,
  });
  const other = await startHostForTest({ appDirectory, timers: true });
  await other.waitForLine(/^information early .*: ran$/);
});
