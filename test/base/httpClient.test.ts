// The HTTP client under the SDKs' pipelines, against a real server.
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { createPipelineRequest } from "@azure/core-rest-pipeline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toPort } from "../../local/server.ts";
import { createHttpClient } from "../../shared/base/httpClient.ts";

let server: Server;
let url: string;
const seen: string[] = [];
beforeAll(async () => {
  server = createServer((request, response) => {
    seen.push(request.url ?? "");
    if (request.url !== "/hang") response.end("answered");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${toPort(server)}`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, "close");
});

const get = (path: string, abortSignal: AbortSignal) =>
  createHttpClient().sendRequest(
    createPipelineRequest({ url: url + path, allowInsecureConnection: true, abortSignal }),
  );

test("R115: a call whose signal has ended is not made", async () => {
  await expect(get("/ended", AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
  expect(seen).not.toContain("/ended");
});

test("R115: a call ends with its signal", async () => {
  const ending = new AbortController();
  const call = get("/hang", ending.signal);
  await expect.poll(() => seen).toContain("/hang");
  ending.abort();
  await expect(call).rejects.toMatchObject({ name: "AbortError" });
});

test("a call that its signal lets be is answered", async () => {
  const answer = await get("/", new AbortController().signal);
  expect([answer.status, answer.bodyAsText]).toEqual([200, "answered"]);
});
