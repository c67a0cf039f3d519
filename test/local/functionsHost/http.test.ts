// HTTP through the host.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  openSocket,
  readUntil,
  sendRaw,
  startHost,
  startHostForTest,
  type TestHost,
  writeApp,
} from "./helpers.ts";

const KEYS = { keys: { default: "function-key", other: "other-key" }, masterKey: "master-key" };

describe("HTTP", () => {
  let host: TestHost;

  beforeAll(async () => {
    host = await startHost({
      ...KEYS,
      settings: { FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: "100000" },
      cors: { origins: ["https://app.example"], credentials: true },
    });
  });
  afterAll(async () => {
    await host.kill("SIGKILL");
  });

  test("a POST with a JSON body reaches the handler as it was sent", async () => {
    const response = await fetch(`${host.url}/api/echo/7?a=x%20y`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-mine": "1" },
      body: `{ "n":  1 }`,
    });
    expect(response.status).toBe(201);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toMatchObject({
      method: "POST",
      url: `${host.url}/api/echo/7?a=x%20y`,
      headers: { "content-type": "application/json", "x-mine": "1" },
      params: { id: "7", a: "x y" }, // query values too, as in Azure
      query: { a: "x y" },
      body: `{ "n":  1 }`,
    });
  });

  test.each([
    { path: "items/a%2Fb", name: "item", params: { id: "a%2Fb" } },
    { path: "items/0123", name: "item", params: { id: "0123" } },
    { path: "items/%C3%A4%20b/", name: "item", params: { id: "\u00e4 b" } },
    { path: "ITEMS/x", name: "item", params: { id: "x" } },
    { path: "x/../items/y", name: "item", params: { id: "y" } },
    // Tried in the order of the functions' names, not of how exact a route is.
    { path: "push/status", name: "alpha", params: { id: "status" } },
  ])("/api/$path goes to $name with $params", async ({ path, name, params }) => {
    const answer = await sendRaw(
      host.url,
      `GET /api/${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
    );
    expect(answer).toContain("HTTP/1.1 200 OK");
    expect(answer).toContain(JSON.stringify({ name, params }).slice(0, -1));
  });

  test.each([
    { method: "GET", path: "/api/echo/7" },
    { method: "HEAD", path: "/api/items/1" },
    { method: "OPTIONS", path: "/api/items/1" },
    { method: "GET", path: "/api/unknown" },
    { method: "GET", path: "/items/1" },
    { method: "GET", path: "/" },
    { method: "GET", path: "/api/items" },
    { method: "GET", path: "/api//items/1" },
  ])("$method $path is answered 404 without a body", async ({ method, path }) => {
    const response = await fetch(host.url + path, { method });
    expect(response.status).toBe(404);
    expect(await response.text()).toBe("");
  });

  test("a function without methods takes them all", async () => {
    const response = await fetch(`${host.url}/api/anyMethod`, { method: "DELETE" });
    expect(await response.text()).toBe("DELETE");
  });

  test.each([
    { path: "guarded", headers: {}, status: 401 },
    { path: "guarded", headers: { "x-functions-key": "wrong" }, status: 401 },
    { path: "guarded", headers: { "x-functions-key": "" }, status: 401 },
    { path: "guarded", headers: { "x-functions-key": "function-key" }, status: 200 },
    { path: "guarded", headers: { "x-functions-key": "other-key" }, status: 200 },
    { path: "guarded", headers: { "x-functions-key": "master-key" }, status: 200 },
    { path: "guarded?code=function-key", headers: {}, status: 200 },
    { path: "guarded?code=function-key", headers: { "x-functions-key": "wrong" }, status: 401 },
    { path: "guarded?code=wrong", headers: { "x-functions-key": "function-key" }, status: 200 },
    { path: "operator", headers: { "x-functions-key": "function-key" }, status: 401 },
    { path: "operator", headers: { "x-functions-key": "master-key" }, status: 200 },
    { path: "items/1", headers: { "x-functions-key": "wrong" }, status: 200 },
  ])("/api/$path with the headers $headers is answered $status", async ({ path, headers, status }) => {
    const response = await fetch(`${host.url}/api/${path}`, { headers });
    expect(response.status).toBe(status);
    if (status === 401) expect(await response.text()).toBe("");
  });

  test("a handler that throws is answered 500 without detail, and logged with it", async () => {
    const response = await fetch(`${host.url}/api/throws`);
    expect(response.status).toBe(500);
    expect(await response.text()).toBe("");
    await host.waitForLine(/^error throws .*a secret detail/);
    await host.waitForLine(/^error throws .*FAILED WITHOUT ANSWERING/);
  });

  test("a handler that throws is answered 500 while a body is still being sent", async () => {
    const response = await fetch(`${host.url}/api/throws`, { method: "POST", body: "x".repeat(90_000) });
    expect(response.status).toBe(500);
  });

  test("a handler that returns a text is answered 500", async () => {
    const response = await fetch(`${host.url}/api/text`);
    expect(response.status).toBe(500);
    expect(await response.text()).toBe("");
  });

  test("a handler that returns nothing is answered 500", async () => {
    const response = await fetch(`${host.url}/api/nothing`);
    expect(response.status).toBe(500); // in Azure it is not answered at all
    await host.waitForLine(/^error nothing .*RETURNED NOTHING WITHOUT ANSWERING/);
  });

  test.each([204, 205, 304])("a %i answer has no body", async (code) => {
    const answer = await sendRaw(
      host.url,
      `GET /api/status/${code} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${code} `));
    expect(answer).not.toContain("a body");
  });

  test("HEAD is served where it is registered, without a body, and is a 404 elsewhere", async () => {
    const response = await fetch(`${host.url}/api/head`, { method: "HEAD" });
    expect([response.status, await response.text()]).toEqual([200, ""]);
    expect((await fetch(`${host.url}/api/items/1`, { method: "HEAD" })).status).toBe(404);
  });

  test("bytes go in and out unchanged", async () => {
    const bytes = Uint8Array.from({ length: 70_000 }, (_value, index) => index % 256);
    const response = await fetch(`${host.url}/api/bytes`, { method: "POST", body: bytes });
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  });

  test("two cookies become two set-cookie headers", async () => {
    const response = await fetch(`${host.url}/api/cookies`);
    expect(response.headers.getSetCookie()).toEqual([
      "a=1%202; Max-Age=60; HttpOnly",
      "b=3; Path=/x; Secure; SameSite=None",
    ]);
  });

  test("host.json's custom headers are on every answer, and the app's own win", async () => {
    const missing = await fetch(`${host.url}/api/unknown`);
    expect(missing.headers.get("x-custom")).toBe("of host.json");
    const own = await fetch(`${host.url}/api/answerHeaders`);
    expect(own.headers.get("x-custom")).toBe("of the app");
    expect(own.headers.get("x-own")).toBe("1");
  });

  test("repeated header lines arrive joined, authorization too", async () => {
    const answer = await sendRaw(
      host.url,
      "POST /api/echo/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n" +
        "Authorization: Bearer one\r\nauthorization: Bearer two\r\nx-more: 1\r\nx-more: 2\r\n\r\n",
    );
    // Node's own req.headers would hold the first authorization line only.
    expect(answer).toContain(`"authorization":"Bearer one,Bearer two"`);
    expect(answer).toMatch(/"x-more":"1, ?2"/);
  });

  test("a caller cannot choose the headers or the invocation that the app sees", async () => {
    const answer = await sendRaw(
      host.url,
      "POST /api/echo/7?Headers=%7B%22authorization%22%3A%22no%22%7D HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" +
        "x-ms-invocation-id: mine\r\nx-forwarded-host: evil.example\r\nauthorization: yes\r\ncontent-length: 2\r\n\r\nok",
    );
    expect(answer).toContain(`"url":"http://x/api/echo/7?`);
    expect(answer).toContain(`"authorization":"yes"`);
    expect(answer).not.toMatch(/^x-ms-invocation-id: mine/im);
  });

  test("a path that begins with two slashes does not name another host", async () => {
    const answer = await sendRaw(
      host.url,
      "GET //evil.example/api/items/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1.1 404 /);
  });

  test.each(["POST", "DELETE"])("a chunked body of a %s arrives whole", async (method) => {
    const answer = await sendRaw(
      host.url,
      `${method} /api/echo/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n` +
        "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    expect(answer).toContain(`"body":"hello world"`);
  });

  test("a body of a GET request is dropped", async () => {
    const answer = await sendRaw(
      host.url,
      "GET /api/items/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody",
    );
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
    await host.waitForLine(/^warning item .*the body of a GET request is dropped/);
  });

  test("a body over the limit is answered 413", async () => {
    const response = await fetch(`${host.url}/api/reads`, { method: "POST", body: "x".repeat(100_001) });
    expect(response.status).toBe(413);
  });

  test.each([
    { what: "more than 32 kB of headers", lines: `x-long: ${"x".repeat(33_000)}\r\n`, status: 431 },
    { what: "more than 100 header lines", lines: "x-many: 1\r\n".repeat(101), status: 431 },
    { what: "two host lines", lines: "host: y\r\n", status: 400 },
  ])("a request with $what is answered $status", async ({ lines, status }) => {
    const answer = await sendRaw(
      host.url,
      `GET /api/items/1 HTTP/1.1\r\nhost: x\r\n${lines}connection: close\r\n\r\n`,
    );
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  test.each([
    { request: "GET * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", status: 400 },
    { request: "GET /api/items/1 HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n", status: 400 },
    { request: "GET /1 HTTP/1.1\r\nhost: x/api/items\r\nconnection: close\r\n\r\n", status: 400 },
    { request: "GET /x/api/items/1 HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n", status: 404 },
    { request: "CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\nGET", status: undefined }, // the connection is closed
    { request: "TRACE /api/anyMethod HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", status: 500 },
    {
      request:
        "POST /api/echo/7 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
      status: 100,
    },
    {
      request: `GET /api/items/${"x".repeat(9_000)} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      status: 414,
    },
    { request: "GET /api/items/%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", status: 200 },
    { request: "GET http://other/api/items/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", status: 200 },
    { request: "GET /api/items/1 HTTP/1.0\r\n\r\n", status: 200 },
  ])("an odd request is answered $status", async ({ request, status }) => {
    const answer = await sendRaw(host.url, request);
    expect(answer).toMatch(status === undefined ? /^$/ : new RegExp(`^HTTP/1.1 ${status} `));
    expect((await fetch(`${host.url}/api/items/1`)).status).toBe(200); // and the host goes on
  });

  test("a client that hangs up midway does not harm the next one", async () => {
    const socket = openSocket(host.url);
    socket.write("POST /api/reads HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly a part");
    await host.waitForLine(/reads .*the handler reads/);
    socket.destroy();
    await host.waitForLine(/reads .*the body ended early/);
    expect((await fetch(`${host.url}/api/items/1`)).status).toBe(200);
  });

  test("a client that hangs up while a handler works does not harm the next one", async () => {
    const socket = openSocket(host.url);
    socket.write("GET /api/held HTTP/1.1\r\nhost: x\r\n\r\n");
    await host.waitForLine(/held .*the handler is held/);
    socket.destroy();
    expect((await fetch(`${host.url}/api/release`, { method: "POST" })).status).toBe(202);
    expect((await fetch(`${host.url}/api/items/1`)).status).toBe(200);
  });

  test("a response body that breaks off does not look whole", async () => {
    const response = await fetch(`${host.url}/api/breaks`); // its head is out
    await fetch(`${host.url}/api/release`, { method: "POST" });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow("terminated");
  });

  test("what a handler logs carries function and invocation, and hooks may change it", async () => {
    const id = await (await fetch(`${host.url}/api/log`)).text();
    await host.waitForLine(new RegExp(`^information log ${id}: a changed message$`));
    await host.waitForLine(new RegExp(`^warning log ${id}: a warning$`));
    await host.waitForLine(/ GET \/api\/log 200 /); // comes after all lines of the handler
    expect(host.output.join("\n")).not.toContain("too fine to print");
  });

  test("hooks may replace the handler before and the result after", async () => {
    const response = await fetch(`${host.url}/api/hooked`);
    expect(await response.text()).toBe("of the replaced handler");
    expect(response.headers.get("x-hook")).toBe("pre and post");
  });

  test("a preflight of an allowed origin is answered by the host", async () => {
    const response = await fetch(`${host.url}/api/items/1`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization,x-a",
      },
    });
    expect(response.status).toBe(204);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "access-control-allow-origin": "https://app.example",
      "access-control-allow-credentials": "true",
      "access-control-allow-methods": "GET",
      "access-control-allow-headers": "authorization,x-a",
      vary: "Origin",
    });
  });

  test("a preflight of another origin is allowed nothing", async () => {
    const response = await fetch(`${host.url}/api/items/1`, {
      method: "OPTIONS",
      headers: { origin: "https://evil.example", "access-control-request-method": "GET" },
    });
    expect(response.status).toBe(204);
    expect([...response.headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
  });

  test.each([
    { path: "/api/answerHeaders", origin: "https://app.example", allowed: "https://app.example" },
    { path: "/api/guarded", origin: "https://app.example", allowed: "https://app.example" },
    { path: "/api/items/1", origin: "https://evil.example", allowed: null },
  ])("$path for a page of $origin allows $allowed", async ({ path, origin, allowed }) => {
    const response = await fetch(host.url + path, { headers: { origin } });
    expect(response.headers.get("access-control-allow-origin")).toBe(allowed);
    expect(response.headers.get("access-control-expose-headers")).toBeNull();
    expect(response.headers.get("vary")).toMatch(path.endsWith("Headers") ? /^accept, Origin$/ : /^Origin$/);
  });

  test("an answer goes out while it is being made", async () => {
    const socket = openSocket(host.url);
    socket.write("GET /api/held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    await readUntil(socket, /first/);
    const rest = readUntil(socket, /second/);
    await fetch(`${host.url}/api/release`, { method: "POST" });
    await rest;
    socket.destroy();
  });

  test("a body comes in while it is being sent", async () => {
    const socket = openSocket(host.url);
    socket.write("POST /api/firstChunk HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nbeginning");
    expect(await readUntil(socket, /beginning/)).toMatch(/^HTTP\/1.1 200 /);
    socket.destroy();
  });

  test("a chunked body over the limit is answered 413", async () => {
    const chunk = `${(1_000).toString(16)}\r\n${"x".repeat(1_000)}\r\n`;
    const socket = openSocket(host.url);
    socket.write("POST /api/reads HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    socket.write(chunk.repeat(101)); // it does not end
    expect(await readUntil(socket, /\r\n\r\n/)).toMatch(/^HTTP\/1.1 413 /);
    socket.destroy();
  });

  test("headers over Node's 16 kB are refused by the app's own server, and the host goes on", async () => {
    const answer = await sendRaw(
      host.url,
      `GET /api/items/1 HTTP/1.1\r\nhost: x\r\nx-long: ${"x".repeat(20_000)}\r\nconnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 431 /);
    expect((await fetch(`${host.url}/api/items/1`)).status).toBe(200);
  });

  test("repeated query names arrive joined among the parameters", async () => {
    const response = await fetch(`${host.url}/api/items/1?a=1&a=2`);
    expect(await response.json()).toMatchObject({ params: { id: "1", a: "1,2" } });
  });
});

test("the host closes an idle connection to the app's server before that server does", async () => {
  const appDirectory = writeApp({
    "main.js": `import http from "node:http"; import { app } from "@azure/functions";
      app.setup({ enableHttpStream: true });
      app.http("f", { handler: () => ({ body: "f" }) });
      const emit = http.Server.prototype.emit;
      http.Server.prototype.emit = function (event, ...args) {
        if (event === "connection") this.keepAliveTimeout = 2_000;
        const [request] = args;
        if (event === "request" && request.headers["x-ms-invocation-id"] !== undefined) {
          let closer = "the server";
          request.socket.once("end", () => (closer = "the host"));
          request.socket.once("close", () => console.log("closed by " + closer));
        }
        return emit.call(this, event, ...args);
      };`,
  });
  const host = await startHostForTest({ appDirectory });
  const response = await fetch(`${host.url}/api/f`);
  expect([response.status, await response.text()]).toEqual([200, "f"]);
  expect(await host.waitForLine(/closed by/)).toContain("closed by the host");
});
