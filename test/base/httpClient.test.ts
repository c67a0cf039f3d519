// The HTTP client under the SDKs' pipelines, against a real server.
import { getEventListeners, once } from "node:events";
import { createServer, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { createHttpHeaders, createPipelineRequest } from "@azure/core-rest-pipeline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCertificateAuthority } from "../../local/certificateAuthority.ts";
import { toPort } from "../../local/server.ts";
import { createHttpClient } from "../../shared/base/httpClient.ts";

let server: Server;
let url: string;
const seen: string[] = [];
const fields: string[][] = [];
beforeAll(async () => {
  server = createServer((request, response) => {
    seen.push(request.url ?? "");
    fields.push(request.rawHeaders);
    if (request.url === "/cut")
      response.writeHead(200, { "content-length": "9" }).write("part", () => response.destroy());
    else if (request.url === "/slow") response.writeHead(200, { "content-length": "9" }).write("part");
    else if (request.url !== "/hang") response.end("answered");
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

test("R115: a call ends with its signal while its answer arrives", async () => {
  const ending = new AbortController();
  const call = get("/slow", ending.signal);
  await expect.poll(() => seen).toContain("/slow");
  setTimeout(() => ending.abort(), 50); // by now the answer has begun, or will not be waited for
  await expect(call).rejects.toMatchObject({ name: "AbortError" });
  await expect.poll(() => getEventListeners(ending.signal, "abort")).toEqual([]);
});

test("a call that its signal lets be is answered", async () => {
  const answer = await get("/", new AbortController().signal);
  expect([answer.status, answer.bodyAsText]).toEqual([200, "answered"]);
});

test("an address without a path is that of the root", async () => {
  await get("?a=1", new AbortController().signal);
  expect(seen).toContain("/?a=1");
});

test("each header field is sent once, the length among them", async () => {
  const headers = createHttpHeaders({ "Content-Length": "7", host: "elsewhere", "X-Name": "value" });
  const request = {
    url: `${url}/fields`,
    method: "POST",
    headers,
    body: "pä",
    allowInsecureConnection: true,
  } as const;
  await createHttpClient().sendRequest(createPipelineRequest(request));
  const sent = fields[seen.indexOf("/fields")] ?? [];
  const names = sent.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  expect(names.toSorted()).toEqual(["connection", "content-length", "host", "x-name"]);
  const valueOf = (name: string) => sent[2 * names.indexOf(name) + 1];
  expect([valueOf("content-length"), valueOf("host"), valueOf("x-name")]).toEqual([
    "3",
    new URL(url).host,
    "value",
  ]);
});

test("https is verified against the authorities of the process, and the name of the host", async () => {
  const authority = await createCertificateAuthority("authority of the HTTP client's test");
  const own = await authority.issue({ commonName: "localhost", usages: ["server"] });
  const secure = createSecureServer({ cert: own.certificate, key: own.privateKey }, (_, response) =>
    response.end("secure"),
  ).listen(0, "127.0.0.1");
  await once(secure, "listening");
  const call = (host: string) =>
    createHttpClient().sendRequest(createPipelineRequest({ url: `https://${host}:${toPort(secure)}/` }));
  const before = getCACertificates("default");
  try {
    await expect(call("localhost")).rejects.toMatchObject({ name: "RestError" });
    setDefaultCACertificates([...before, authority.certificate]);
    expect((await call("localhost")).bodyAsText).toBe("secure");
    await expect(call("127.0.0.1")).rejects.toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  } finally {
    setDefaultCACertificates(before);
    secure.closeAllConnections();
    secure.close();
  }
});

test("an answer that is cut off is an error that the SDKs retry", async () => {
  await expect(get("/cut", new AbortController().signal)).rejects.toMatchObject({
    name: "RestError",
    code: "ECONNRESET",
  });
});

test("an address of IPv6 is called", async () => {
  const other = createServer((_, response) => response.end("six")).listen(0, "::1");
  await once(other, "listening");
  const request = { url: `http://[::1]:${toPort(other)}/`, allowInsecureConnection: true };
  const answer = await createHttpClient().sendRequest(createPipelineRequest(request));
  expect(answer.bodyAsText).toBe("six");
  other.closeAllConnections();
  other.close();
});
