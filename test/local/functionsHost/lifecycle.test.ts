// The host's process: what makes a start fail, how it stops, whom it does not outlive.
import { spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { startFunctionsHostProcess } from "../../../local/functionsHost/process.ts";
import { startOnPort } from "../../../local/port.ts";
import { FIXTURE, openSocket, readLines, readUntil, startHostForTest, writeApp } from "./helpers.ts";

const CLI = fileURLToPath(new URL("../../../local/functionsHost/cli.ts", import.meta.url));
const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));
const PARENT = fileURLToPath(new URL("./fixtures/parent.js", import.meta.url));
const ONE_FUNCTION = `import { app } from "@azure/functions"; app.setup({ enableHttpStream: true });
  app.http("f", { handler: () => ({ body: "f" }) });`;

const http = (name: string, options = "") => `app.http("${name}", { handler: () => ({}), ${options} });`;

describe("a start", () => {
  test("tells url and functions, and runs the appStart hooks in the app's directory", async () => {
    const host = await startHostForTest();
    await host.waitForLine(/^listening on /); // the last line of a start; it comes by another way than the URL
    expect(host.output).toContain(`listening on ${host.url}`);
    expect(host.output).toContain(`appStart in ${FIXTURE}`);
    expect(host.output).toContain("information host: item: [GET] /api/items/{id}");
    expect(host.output).toContain("information host: tick: timer 0 0 0 1 1 *");
  });

  test("takes the port that it is given", async () => {
    // Tried again with another one when somebody else takes the free port first.
    await startOnPort(undefined, async (port) => {
      const host = await startHostForTest({ port });
      expect(host.url).toBe(`http://127.0.0.1:${port}`);
    });
  });

  test("gives the app its settings, and nothing of our own environment", async () => {
    process.env["OF_THE_PARENT"] = "1";
    onTestFinished(() => {
      delete process.env["OF_THE_PARENT"];
    });
    const host = await startHostForTest({ settings: { MINE: "1" }, masterKey: "the-master-key" });
    const environment = await (await fetch(`${host.url}/api/environment`)).json();
    expect(environment).toMatchObject({
      MINE: "1",
      FUNCTIONS_WORKER_RUNTIME: "node",
      AZURE_FUNCTIONS_ENVIRONMENT: "Development",
      WEBSITE_HOSTNAME: host.url.replace("http://", ""),
    });
    expect(environment).not.toHaveProperty("OF_THE_PARENT");
    expect(environment).not.toHaveProperty("NODE_CHANNEL_FD");
    expect(JSON.stringify(environment)).not.toContain("the-master-key");
  });
  test.each([
    {
      what: "an entry that throws",
      main: `throw new Error("no such setting");`,
      message: /main\.js could not be loaded: no such setting/,
    },
    {
      what: "an entry that cannot be read",
      main: `this is not code`,
      message: /main\.js could not be loaded/,
    },
    { what: "no function", main: `console.log("nothing here");`, message: /registered no function/ },
    {
      what: "a hook that throws",
      main: `app.hook.appStart(() => { throw new Error("not today"); }); ${http("a")}`,
      message: /not today/,
    },
    {
      what: "a function that is there twice",
      main: `${http("a")} ${http("a")}`,
      message: /"a" has already been registered/,
    },
    {
      what: "HTTP functions that do not stream",
      main: http("a"),
      message: /HTTP functions but does not stream them.*enableHttpStream/,
    },
    { what: "a name that is not allowed", main: http("1st"), message: /1st: the name is not allowed/ },
    { what: "a function named host", main: http("Host"), message: /the name is not allowed/ },
    { what: "a reserved route", main: http("a", `route: "Admin/x"`), message: /reserved/ },
    { what: "another reserved route", main: http("a", `route: "runtime"`), message: /reserved/ },
    {
      what: "a route that begins with a slash",
      main: http("a", `route: "/x"`),
      message: /must not begin with/,
    },
    {
      what: "a route that this host does not support",
      main: http("a", `route: "x/{y:int}"`),
      message: /a: The route "api\/x\/\{y:int\}" is not valid: this host supports literals and \{name\}/,
    },
    {
      what: "a route that is there twice",
      main: `${http("a", `route: "x", methods: ["GET", "POST"]`)} ${http("b", `route: "X", methods: ["POST"]`)}`,
      message: /b: the route "X" is taken by "a"/,
    },
    {
      what: "a schedule that cannot be read",
      main: `app.timer("t", { schedule: "daily", handler() {} });`,
      message: /t: The schedule "daily"/,
    },
    {
      what: "a schedule whose setting is missing",
      main: `app.timer("t", { schedule: "%WHEN%", handler() {} });`,
      message: /"WHEN"/,
    },
  ])("with $what fails and says so", async ({ main, message }) => {
    const appDirectory = writeApp({ "main.js": `import { app } from "@azure/functions"; ${main}` });
    await expect(startFunctionsHostProcess({ appDirectory, settings: {} })).rejects.toThrow(message);
  });

  test.each([
    {
      what: "main that matches nothing",
      files: { "package.json": `{ "main": "gone/*.js" }` },
      message: /Nothing matches "main"/,
    },
    { what: "no main", files: { "package.json": `{}` }, message: /registered no function/ },
    { what: "a host.json that is no JSON", files: { "host.json": "{" }, message: /did not start/ },
  ])("with $what fails and says so", async ({ files, message }) => {
    const appDirectory = writeApp({ "main.js": ONE_FUNCTION, ...files });
    await expect(startFunctionsHostProcess({ appDirectory, settings: {} })).rejects.toThrow(message);
  });

  test("with a port that is taken fails and says so", async () => {
    const host = await startHostForTest();
    const port = Number(new URL(host.url).port);
    const second = startFunctionsHostProcess({
      appDirectory: FIXTURE,
      settings: { TICK: "0 0 0 1 1 *" },
      port,
    });
    await expect(second).rejects.toThrow("EADDRINUSE");
  });

  test("with any origin and credentials fails and says so", async () => {
    const start = startFunctionsHostProcess({
      appDirectory: FIXTURE,
      settings: {},
      cors: { origins: ["*"], credentials: true },
    });
    await expect(start).rejects.toThrow("credentials");
  });

  test("takes the same route twice when the methods differ, several files, and CommonJS", async () => {
    const appDirectory = writeApp({
      "package.json": `{ "main": "dist/*.{cjs,mjs}" }`,
      "host.json": `{ "version": "2.0", "extensions": { "http": { "routePrefix": "" } } }`,
      "dist/a.cjs": `const { app } = require("@azure/functions".replace("file://", ""));
        app.setup({ enableHttpStream: true });
        app.http("a", { route: "x", methods: ["GET"], handler: () => ({ body: "a" }) });`,
      "dist/b.mjs": `import { app } from "@azure/functions"; await Promise.resolve();
        app.http("b", { route: "x", methods: ["post"], handler: () => ({ body: "b" }) });`,
    });
    const host = await startHostForTest({ appDirectory });
    expect(await (await fetch(`${host.url}/x`)).text()).toBe("a");
    expect(await (await fetch(`${host.url}/x`, { method: "POST" })).text()).toBe("b");
  });

  test("takes an app that has only timers and does not stream", async () => {
    const appDirectory = writeApp({
      "main.js": `import { app } from "@azure/functions";
        app.timer("t", { schedule: "0 0 0 1 1 *", handler() {} });`,
    });
    const host = await startHostForTest({ appDirectory });
    await host.waitForLine(/^information host: t: timer 0 0 0 1 1 \*$/);
    expect((await fetch(`${host.url}/api/t`)).status).toBe(404);
  });

  test("leaves a disabled function out", async () => {
    const host = await startHostForTest({ settings: { "AzureWebJobs.item.Disabled": "true" } });
    expect((await fetch(`${host.url}/api/items/1`)).status).toBe(404);
  });

  test("closes registration", async () => {
    const appDirectory = writeApp({
      "main.js": `import { app } from "@azure/functions"; app.setup({ enableHttpStream: true });
        app.http("late", { handler: () => app.http("more", { handler: () => ({}) }) });`,
    });
    const host = await startHostForTest({ appDirectory });
    expect((await fetch(`${host.url}/api/late`)).status).toBe(500);
    await host.waitForLine(/can only be registered during app startup/);
  });

  test("without any key lets nobody in where a key is wanted", async () => {
    const host = await startHostForTest();
    const answers = ["", "?code=", "?code=undefined"].map((query) =>
      fetch(`${host.url}/api/guarded${query}`),
    );
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([401, 401, 401]);
    await host.waitForLine(/^warning host: no key is configured/);
  });
});

describe("the command line", () => {
  test.each([
    { args: [], input: "", message: "--app" },
    { args: ["--app", FIXTURE, "--port", "x"], input: "", message: `"x" is no port` },
    { args: ["--app", FIXTURE, "--what"], input: "", message: "--what" },
    {
      args: ["--app", FIXTURE, "--settings", "-"],
      input: `{ "Values": { "A": "hunter2"`,
      message: "not JSON",
    },
    { args: ["--app", FIXTURE, "--settings", "-"], input: `{ "Values": { "A": 2 } }`, message: "Values.A" },
    { args: ["--app", FIXTURE, "--settings", "-"], input: `{ "IsEncrypted": true }`, message: "IsEncrypted" },
    { args: ["--app", "/nowhere"], input: "", message: "host.json" },
  ])("$args with $input ends with 1 and says $message", async ({ args, input, message }) => {
    const child = spawn(process.execPath, [CLI, ...args], { stdio: ["pipe", "ignore", "pipe"], env: {} });
    onTestFinished(() => void child.kill("SIGKILL"));
    child.stdin.on("error", () => undefined).end(input);
    const [output, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
    expect(output).toContain(message);
    expect(output).not.toContain("hunter2");
    expect(code).toBe(1);
  });

  test("takes a file of settings with keys and port 0, and ends on SIGINT with 0", async () => {
    const settings = {
      IsEncrypted: false,
      Values: { TICK: "0 0 0 1 1 *" },
      Host: { LocalHttpPort: 0, CORS: "https://a.example, https://b.example" },
      LocalKeys: { function: { default: "k1" }, master: "k2" },
    };
    const appDirectory = writeApp({ "local.settings.json": JSON.stringify(settings) });
    const args = ["--app", FIXTURE, "--settings", `${appDirectory}/local.settings.json`, "--no-timers"];
    const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "inherit"], env: {} });
    onTestFinished(() => void child.kill("SIGKILL"));
    const closed = once(child, "close"); // "exit" may come before the last of the output
    const { lines, waitForLine } = readLines(child.stdout);
    const url = (await waitForLine(/^listening on /)).replace("listening on ", "");
    const response = await fetch(`${url}/api/guarded?code=k1`, { headers: { origin: "https://b.example" } });
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe("https://b.example");
    child.kill("SIGINT");
    expect(await closed).toEqual([0, null]);
    expect(lines).toContain("appTerminate, started: yes");
  });
});

describe("a stop", () => {
  test("lets a running invocation end, takes no new one, and runs the appTerminate hooks", async () => {
    const host = await startHostForTest();
    const socket = openSocket(host.url);
    socket.write("POST /api/held HTTP/1.1\r\nhost: x\r\n\r\n"); // wrong method: the connection stays open
    await readUntil(socket, /404/);
    const answer = readUntil(socket, /second/);
    socket.write("GET /api/held HTTP/1.1\r\nhost: x\r\n\r\n");
    await host.waitForLine(/held .*the handler is held/);
    const releasing = openSocket(host.url);
    releasing.write("POST /api/release HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nx"); // its last byte is to come
    await host.waitForLine(/release .*the handler waits for the body/);

    const closed = host.close();
    await expectRefused(host.url);
    expect(host.output.join("\n")).not.toContain("appTerminate");
    releasing.write("x");
    expect(await answer).toContain("second");
    await closed;
    expect(await host.exited).toEqual({ code: 0, signal: null });
    expect(host.output.at(-1)).toBe("appTerminate, started: yes");
    releasing.destroy();
  });

  test("tells what waits by itself to end, through the appTerminate hooks, and waits for nothing else", async () => {
    const host = await startHostForTest();
    for (const name of ["lingering", "endless"])
      await fetch(`${host.url}/admin/functions/${name}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"input":""}',
      });
    await host.waitForLine(/the timer lingers/);
    await host.waitForLine(/the timer never ends/);
    await host.close();
    expect(host.output.join("\n")).toContain("the timer was told to end");
    expect(await host.exited).toEqual({ code: 0, signal: null });
  });

  test("that is asked for twice comes at once", async () => {
    const host = await startHostForTest();
    const socket = openSocket(host.url);
    socket.write("GET /api/held HTTP/1.1\r\nhost: x\r\n\r\n");
    await host.waitForLine(/held .*the handler is held/);
    const closed = host.close();
    await expectRefused(host.url);
    await host.kill("SIGTERM");
    await closed;
    expect((await host.exited).code).toBe(1);
    expect(host.output.join("\n")).not.toContain("gives up waiting"); // which would have ended it with 1 in the end
  });

  test("by a kill leaves nothing to wait for", async () => {
    const host = await startHostForTest();
    await host.kill("SIGKILL");
    expect(await host.exited).toEqual({ code: null, signal: "SIGKILL" });
    await host.close(); // a second time does no harm
  });
});

/** Until nobody listens there any more. */
async function expectRefused(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  for (;;) {
    const socket = connect(Number(port), hostname);
    const refused = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(false)).once("error", () => resolve(true));
    });
    socket.destroy();
    if (refused) return;
  }
}

test("a rejection that nobody handles ends the process", async () => {
  const host = await startHostForTest();
  await fetch(`${host.url}/api/rejects`).catch(() => undefined);
  expect((await host.exited).code).toBe(1);
  expect(host.output.join("\n")).toContain("nobody waits for this");
});

test.each([
  { what: "is killed", end: "live" },
  { what: "exits", end: "exit" },
])("the host ends when the process that started it $what", async ({ end }) => {
  const parent = spawn(process.execPath, [PARENT, FIXTURE, end], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void parent.kill("SIGKILL"));
  const url = await readLines(parent.stdout).waitForLine(/^http:/);
  const socket = openSocket(url);
  await once(socket, "connect");
  const closed = new Promise((resolve) => socket.once("close", resolve)); // comes only when the host has gone: it keeps idle connections
  if (end === "exit") parent.stdin.write("now");
  else parent.kill("SIGKILL");
  await closed;
  await expectRefused(url);
});

describe("the project's own bundle", () => {
  test("does not start without its settings, and names them", async () => {
    const start = startFunctionsHostProcess({ appDirectory: PROJECT, settings: {} });
    await expect(start).rejects.toThrow(/AUTH_ISSUER: is missing/);
  });

  const createSettings = () => ({
    STORAGE_CONNECTION_STRING: inject("storageConnectionString"),
    TABLE_PREFIX: `t${randomUUID().replaceAll("-", "").slice(0, 20)}`,
    NOTIFICATION_HUB_CONNECTION_STRING: "Endpoint=sb://127.0.0.1;SharedAccessKeyName=x;SharedAccessKey=eA==",
    NOTIFICATION_HUB_NAME: "hub",
    AUTH_ISSUER: "http://127.0.0.1:1",
    AUTH_AUDIENCE: "api://push",
    PAYLOAD_LOCAL_KEK: randomBytes(32).toString("base64"),
    ALLOW_LOOPBACK: "true",
  });

  test("R154: ends when an SDK cannot work with a setting, and names it without its value", async () => {
    const lines: string[] = [];
    const host = await startFunctionsHostProcess({
      appDirectory: PROJECT,
      settings: { ...createSettings(), NOTIFICATION_HUB_CONNECTION_STRING: "no connection string" },
      onLine: (line) => lines.push(line),
    }).catch(() => undefined); // it may end before it listens, or just after
    await host?.exited;
    const line = lines.find((one) => one.includes("start_failed"));
    expect(line).toContain("NOTIFICATION_HUB_CONNECTION_STRING: is not a hub's connection string");
    expect(lines.join()).not.toContain("no connection string");
  });

  test("answers with all of them", async () => {
    const host = await startHostForTest({
      appDirectory: PROJECT,
      keys: { default: "function-key" },
      settings: createSettings(),
    });
    const health = await fetch(`${host.url}/api/health`);
    expect([200, 503]).toContain(health.status);
    expect(health.headers.get("x-correlation-id")).not.toBeNull(); // answered by the app
    const send = await fetch(`${host.url}/api/notifications`, { method: "POST", body: "{}" });
    expect(send.status).toBe(401);
    expect(send.headers.get("x-correlation-id")).toBeNull(); // answered by the host
  });
});
