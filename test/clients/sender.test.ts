// The client for back ends, against the service itself, and against a server that answers as a test says.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toPort } from "../../local/server.ts";
import { createSender, SecurePushError, type SenderOptions } from "../../clients/sender/sender.ts";
import { root } from "../../scripts/root.ts";
import { type Api, createApi } from "../helpers/api.ts";

let api: Api;
beforeAll(async () => {
  api = await createApi("in process");
});
afterAll(() => api.close());

const KEY = "a-function-key";

interface Seen {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

type Reply = (response: ServerResponse) => void;

/** A service that gives these answers in turn, and the waits that its client made. */
async function createScripted(replies: readonly Reply[], options: Partial<SenderOptions> = {}) {
  const seen: Seen[] = [];
  const waits: number[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => void chunks.push(chunk));
    request.on("end", () => {
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
      seen.push({ path: request.url ?? "", headers: request.headers, body });
      const reply = replies[seen.length - 1];
      if (reply === undefined) response.writeHead(500).end();
      else reply(response);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = toPort(server);
  const sender = createSender({
    url: `http://127.0.0.1:${port}/`,
    credential: { functionKey: KEY },
    sleep: (ms) => {
      waits.push(ms);
      return Promise.resolve();
    },
    ...options,
  });
  return {
    url: `http://127.0.0.1:${port}`,
    sender,
    seen,
    waits,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const sent = {
  id: "0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4",
  createdAt: "2026-11-25T08:30:00.000Z",
  expiresAt: "2026-12-02T08:30:00.000Z",
  push: "accepted",
};

const answer =
  (status: number, body: unknown, headers: Record<string, string> = {}): Reply =>
  (response) =>
    void response.writeHead(status, headers).end(JSON.stringify(body));

const refuse = (status: number, reason: string, headers: Record<string, string> = {}): Reply =>
  answer(status, { type: "about:blank", title: "A title", status, reason }, headers);

test("it sends, reads receipts and erases, against the service", async () => {
  const sender = createSender({ url: api.url, credential: { functionKey: api.functionKey } });
  const created = await sender.sendSecure({ to: ["ada", "ben"], payload: { text: "Hello" }, ttl: 300 });
  expect(created).toMatchObject({ id: expect.stringMatching(/^[0-9A-Z]{32}$/), push: "noDevices" });
  expect(await sender.getReceipts(created.id, ["ada", "ben"])).toEqual({
    id: created.id,
    receipts: [
      { to: "ada", push: "noDevices" },
      { to: "ben", push: "noDevices" },
    ],
  });
  await expect(sender.eraseRecipients(["ada"])).resolves.toBeUndefined();
});

test("a short time limit is one: attempts within it are made, and repeated", async () => {
  await using scripted = await createScripted([answer(503, {}), answer(201, sent)], { timeoutMs: 5_000 });
  expect(await scripted.sender.sendSecure({ to: ["ada"], payload: 1 })).toEqual(sent);
  expect(scripted.seen).toHaveLength(2);
});

test("an erasure is accepted with 202, and with nothing that a proxy answers in its place", async () => {
  await using scripted = await createScripted([answer(200, "<html>"), answer(202, {})]);
  await expect(scripted.sender.eraseRecipients(["ada"])).rejects.toThrow("not one of this service");
  await expect(scripted.sender.eraseRecipients(["ada"])).resolves.toBeUndefined();
});

test("two calls are two notifications; two calls with one key of the caller are one (P4)", async () => {
  const sender = createSender({ url: api.url, credential: { functionKey: api.functionKey } });
  const request = { to: ["ada"], payload: 1 };
  const ids = [
    await sender.sendSecure(request),
    await sender.sendSecure(request),
    await sender.sendSecure(request, { idempotencyKey: "order-17" }),
    await sender.sendSecure(request, { idempotencyKey: "order-17" }),
  ].map(({ id }) => id);
  expect(new Set(ids).size).toBe(3);
  expect(ids[2]).toBe(ids[3]);
});

test("a refusal is thrown with its reason, its detail and the correlation id, and without the payload", async () => {
  const sender = createSender({ url: api.url, credential: { functionKey: api.functionKey } });
  const error = await sender
    .sendSecure({ to: ["ada"], payload: "SECRET", ttl: 1 })
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SecurePushError);
  expect(error).toMatchObject({
    status: 400,
    reason: "body_invalid",
    message: expect.stringContaining("ttl"),
    correlationId: expect.stringMatching(/./),
  });
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("SECRET");
});

test("a wrong function key is refused at once, by the host, without a problem", async () => {
  const sender = createSender({ url: api.url, credential: { functionKey: "wrong" } });
  await expect(sender.sendSecure({ to: ["ada"], payload: 1 })).rejects.toMatchObject({
    status: 401,
    problem: undefined,
  });
});

test("every attempt of one send has the same Idempotency-Key; the next send has another (P4)", async () => {
  await using scripted = await createScripted([
    refuse(503, "store_unavailable", { "retry-after": "7" }),
    (response) => void response.socket?.destroy(),
    answer(201, sent),
    answer(201, sent),
  ]);
  await scripted.sender.sendSecure({ to: ["ada"], payload: 1 });
  await scripted.sender.sendSecure({ to: ["ada"], payload: 1 });
  const keys = scripted.seen.map(({ headers }) => headers["idempotency-key"]);
  expect(new Set(keys.slice(0, 3)).size).toBe(1);
  expect(keys[3]).not.toBe(keys[0]);
  expect(scripted.seen[0]?.headers).toMatchObject({
    "x-functions-key": KEY,
    "content-type": "application/json",
  });
  expect(scripted.waits[0]).toBe(7000);
});

test.each([
  { status: 429, reason: "busy", headers: { "retry-after": "3" } },
  { status: 409, reason: "request_in_progress", headers: { "retry-after": "3" } },
  { status: 503, reason: "store_unavailable", headers: { "retry-after": "3" } },
])("$status $reason is repeated after Retry-After", async ({ status, reason, headers }) => {
  await using scripted = await createScripted([refuse(status, reason, headers), answer(201, sent)]);
  expect(await scripted.sender.sendSecure({ to: ["ada"], payload: 1 })).toEqual(sent);
  expect(scripted.waits).toEqual([3000]);
});

test("without Retry-After the waits grow and stay under ten seconds", async () => {
  await using scripted = await createScripted([
    ...Array.from({ length: 8 }, () => refuse(500, "internal")),
    answer(201, sent),
  ]);
  await scripted.sender.sendSecure({ to: ["ada"], payload: 1 });
  expect(scripted.waits).toHaveLength(8);
  scripted.waits.forEach((wait, index) => {
    const ceiling = Math.min(10_000, 500 * 2 ** index);
    expect(wait).toBeGreaterThanOrEqual(ceiling / 2);
    expect(wait).toBeLessThanOrEqual(ceiling);
  });
});

test.each([
  { status: 400, reason: "body_invalid" },
  { status: 409, reason: "something_else" },
  { status: 422, reason: "idempotency_key_reused" },
  { status: 413, reason: "payload_too_large" },
])("$status $reason is final", async ({ status, reason }) => {
  await using scripted = await createScripted([refuse(status, reason), answer(201, sent)]);
  await expect(scripted.sender.sendSecure({ to: ["ada"], payload: 1 })).rejects.toMatchObject({
    status,
    reason,
  });
  expect(scripted.seen).toHaveLength(1);
});

test("a Retry-After that ends after the call's time limit is not waited for", async () => {
  await using scripted = await createScripted([refuse(503, "store_unavailable", { "retry-after": "3600" })]);
  await expect(scripted.sender.sendSecure({ to: ["ada"], payload: 1 })).rejects.toMatchObject({
    status: 503,
  });
  expect(scripted.waits).toEqual([]);
});

test("a redirect is not followed: it would carry the key to another address", async () => {
  await using other = await createScripted([answer(201, sent)]);
  await using scripted = await createScripted([
    answer(307, {}, { location: `${other.url}/api/notifications` }),
  ]);
  await expect(scripted.sender.sendSecure({ to: ["ada"], payload: 1 })).rejects.toMatchObject({
    status: 307,
  });
  expect(other.seen).toEqual([]);
});

test("an answer that is not the service's own is an error", async () => {
  await using scripted = await createScripted([answer(200, "a proxy's page"), answer(200, { id: "x" })]);
  await expect(scripted.sender.sendSecure({ to: ["ada"], payload: 1 })).rejects.toThrow(
    "not one of this service",
  );
  await expect(scripted.sender.getReceipts("x", ["ada"])).rejects.toThrow("not one of this service");
});

test("the caller's signal ends a call that waits", async () => {
  const ended = new AbortController();
  await using scripted = await createScripted([refuse(503, "store_unavailable", { "retry-after": "5" })], {
    sleep: (_ms, signal) => {
      ended.abort(new Error("ended by the caller"));
      return Promise.reject(signal.reason as Error);
    },
  });
  const call = scripted.sender.sendSecure({ to: ["ada"], payload: 1 }, { signal: ended.signal });
  await expect(call).rejects.toThrow("ended by the caller");
});

test("with tokens each attempt asks for one", async () => {
  let made = 0;
  await using scripted = await createScripted([refuse(503, "keys_unavailable"), answer(201, sent)], {
    credential: { getToken: () => Promise.resolve(`token-${++made}`) },
  });
  await scripted.sender.sendSecure({ to: ["ada"], payload: 1 });
  expect(scripted.seen.map(({ headers }) => headers.authorization)).toEqual([
    "Bearer token-1",
    "Bearer token-2",
  ]);
});

test.each(["http://example.com", "ftp://example.com", "not a URL"])("the address %s is refused", (url) => {
  expect(() => createSender({ url, credential: { functionKey: KEY } })).toThrow(TypeError);
});

test("the client's types are those of the running service's document, as openapi-typescript reads it", async () => {
  const response = await fetch(`${api.url}/api/openapi.json`);
  const generated = spawnSync(process.execPath, [join(root, "scripts/openApiTypes.ts")], {
    input: await response.text(),
    encoding: "utf8",
  });
  expect(generated.stderr).toBe("");
  const directory = await mkdtemp(join(root, "node_modules/.sender-types-"));
  try {
    await writeFile(join(directory, "api.ts"), generated.stdout);
    await writeFile(join(directory, "check.ts"), TYPE_CHECK);
    const files = ["api.ts", "check.ts"];
    await writeFile(
      join(directory, "tsconfig.json"),
      JSON.stringify({
        extends: join(root, "tsconfig.json"),
        compilerOptions: { types: [] },
        include: [],
        files,
      }),
    );
    const compiled = spawnSync(
      process.execPath,
      [join(root, "node_modules/typescript/bin/tsc"), "-p", directory],
      {
        encoding: "utf8",
      },
    );
    expect(compiled.stdout).toBe("");
    expect(compiled.status).toBe(0);
  } finally {
    await rm(directory, { recursive: true });
  }
});

/** What the client sends is what the service takes, and what the service answers is what the client reads. */
const TYPE_CHECK = `
import type { components, operations } from "./api.ts";
import type { Problem, Receipts, SendRequest, Sent } from "${join(root, "clients/sender/types.ts")}";

type Schemas = components["schemas"];
type Body<Name extends keyof operations> = operations[Name] extends {
  readonly requestBody: { readonly content: { readonly "application/json": infer Content } };
} ? Content : never;

const send = (request: SendRequest): Body<"sendSecure"> => request;
const ask = (request: { readonly id: string; readonly to: readonly string[] }): Body<"getReceipts"> => request;
const erase = (request: { readonly to: readonly string[] }): Body<"eraseRecipient"> => request;
const created = (body: Schemas["Sent"]): Sent => body;
const receipts = (body: Schemas["ReceiptsResponse"]): Receipts => body;
const problem = (body: Schemas["Problem"]): Problem => body;
// Neither side knows a member that the other does not.
type Same<A, B> = [keyof A] extends [keyof B] ? ([keyof B] extends [keyof A] ? true : never) : never;
const same: readonly true[] = [
  true satisfies Same<SendRequest, Schemas["SendRequest"]>,
  true satisfies Same<Sent, Schemas["Sent"]>,
  true satisfies Same<Receipts["receipts"][number], Schemas["Receipt"]>,
];
export { ask, created, erase, problem, receipts, same, send };
`;
