// Question: what CPU do getNotification and sendSecure cost, beside handlers as one writes them after the SDKs' READMEs
// (helpers/naive.ts) and beside the bare HTTP requests that they make (the floor)?
// The handlers run in process, without a Functions host; making their requests is not counted. Azurite and a hub that
// answers 201 run in processes of their own, and only this process's CPU counts. Tokens have been seen before, payloads have
// 1 KB, users have one device that a tag reaches, and 32 calls are in progress. Variants alternate, each round in fresh
// processes. Run: npm run bench -- handlers
import { randomBytes, randomUUID } from "node:crypto";
import { Agent, request as startRequest } from "node:http";
import { AzureNamedKeyCredential, generateTableSas, TableClient } from "@azure/data-tables";
import type { HttpRequest } from "@azure/functions";
import { createAzurite } from "../local/azurite.ts";
import { createIssuer, type Issuer } from "../local/issuer.ts";
import { toConnectionParts } from "../shared/config/storage.ts";
import { runChild } from "./helpers/children.ts";
import { createNaive } from "./helpers/naive.ts";
import { CONTEXT, createProduct, type Product, toId, toRegistration, toRequest } from "./helpers/product.ts";
import { reportAtMost, toRatios, toSummary } from "./helpers/report.ts";
import { startHub } from "./helpers/servers.ts";

const ROUNDS = 5;
const VARIANTS = ["floor", "naive", "product"] as const;
const OPERATIONS = ["get", "send", "send, token", "send, key"] as const;
const USERS = 20;
/** Each operation in turn makes a slice of so many calls. The first slices warm up and are not counted. */
const SLICE_CALLS = 500;
const SLICES = 12;
const WARM_UP_SLICES = 6;
const IN_PROGRESS = 32;
const PAYLOAD = "s".repeat(1024);
type Variant = (typeof VARIANTS)[number];
type Operation = (typeof OPERATIONS)[number];
/** One call, for which everything is prepared. */
type Prepared = () => Promise<unknown>;
type Operations = Partial<Record<Operation, (i: number) => Prepared>>;
/** Microseconds of CPU for one call. */
type Costs = Readonly<Partial<Record<Operation, number>>>;

const variant = VARIANTS.find((one) => one === process.argv[2]);
const [, , , storage = "", hub = ""] = process.argv;
if (variant === undefined) await compare();
else {
  const issuer = await createIssuer();
  const create = { floor, naive, product }[variant];
  process.send?.(await measure(await create(issuer)), () => process.exit());
}

async function measure(operations: Operations): Promise<Costs> {
  const costs = new Map<Operation, number[]>();
  let made = 0;
  for (let slice = 0; slice < SLICES; slice++)
    for (const name of OPERATIONS) {
      const prepare = operations[name];
      if (prepare === undefined) continue;
      const calls = Array.from({ length: SLICE_CALLS }, () => prepare(made++)).values();
      const before = process.cpuUsage();
      await Promise.all(
        Array.from({ length: IN_PROGRESS }, async () => {
          for (const call of calls) await call();
        }),
      );
      const { user, system } = process.cpuUsage(before);
      if (slice >= WARM_UP_SLICES)
        costs.set(name, [...(costs.get(name) ?? []), (user + system) / SLICE_CALLS]);
    }
  // The mean: garbage of one slice may be collected in another.
  return Object.fromEntries(
    [...costs].map(([name, values]) => [name, values.reduce((sum, value) => sum + value) / values.length]),
  );
}

/** The requests alone, to addresses that are signed: the GET of a row, and the five requests that a send makes. */
async function floor(): Promise<Operations> {
  const toTableUrl = await createSignedTable();
  const rows = toTableUrl("");
  const row = toTableUrl("(PartitionKey='user',RowKey='id')");
  const hubUrl = new URL("hub/messages?api-version=2020-06", /Endpoint=([^;]+)/.exec(hub)?.[1]);
  const agent = new Agent({ keepAlive: true, maxSockets: IN_PROGRESS });
  const insert = () =>
    exchange(rows, agent, JSON.stringify({ PartitionKey: "user", RowKey: randomUUID(), sealed: PAYLOAD }));
  const send = async () => {
    await Promise.all([insert(), exchange(row, agent)]); // the outbox row beside the device list
    await insert(); // the payload
    await exchange(hubUrl, agent, '{"message":{"data":{"id":"0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4"}}}');
    await insert(); // the end of the outbox row
  };
  return { get: () => () => exchange(row, agent), send: () => send, "send, token": () => send };
}

/** Makes a table with one row; answers the addresses below it. */
async function createSignedTable(): Promise<(path: string) => URL> {
  const name = `floor${randomBytes(8).toString("hex")}`;
  const table = TableClient.fromConnectionString(storage, name, { allowInsecureConnection: true });
  await table.createTable();
  await table.createEntity({ partitionKey: "user", rowKey: "id", sealed: randomBytes(1052) });
  const parts = toConnectionParts(storage);
  const credential = new AzureNamedKeyCredential(
    parts.get("accountname") ?? "",
    parts.get("accountkey") ?? "",
  );
  const signature = generateTableSas(name, credential, { permissions: { query: true, add: true } });
  return (path) => new URL(`${parts.get("tableendpoint")}/${name}${path}?${signature}`);
}

/** A GET, or a POST of a body. */
function exchange(url: URL, agent: Agent, body?: string): Promise<string> {
  const headers = {
    accept: "application/json;odata=minimalmetadata",
    "x-ms-version": "2020-12-06",
    ...(body === undefined ? {} : { "content-type": "application/json", prefer: "return-no-content" }),
  };
  const method = body === undefined ? "GET" : "POST";
  return new Promise((resolve, reject) => {
    const outgoing = startRequest(url, { agent, method, headers }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        if (Math.trunc((incoming.statusCode ?? 0) / 100) === 2) resolve(Buffer.concat(chunks).toString());
        else reject(new Error(`the floor's ${method}: ${incoming.statusCode}`));
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

async function naive(issuer: Issuer): Promise<Operations> {
  const handlers = await createNaive({
    storageConnectionString: storage,
    hubConnectionString: hub,
    issuer,
  });
  const { toGet, toSend } = await createRequests(issuer);
  const ids = await Promise.all(
    Array.from({ length: USERS }, async (_, i) => {
      const answer = await handlers.sendSecure(toSend(i), CONTEXT);
      return (answer as { readonly jsonBody: { readonly id: string } }).jsonBody.id;
    }),
  );
  const prepare = (name: keyof typeof handlers, request: HttpRequest) => async () =>
    handlers[name](request, CONTEXT);
  return {
    get: (i) => prepare("getNotification", toGet(i, ids[i % USERS])),
    send: (i) => prepare("sendSecure", toSend(i)),
    "send, token": (i) => prepare("sendSecureWithToken", toSend(i)),
  };
}

async function product(issuer: Issuer): Promise<Operations> {
  const { tokens, toGet, toSend } = await createRequests(issuer);
  const create = async (settings: Readonly<Record<string, string>>): Promise<Product> => {
    const made = createProduct({
      storageConnectionString: storage,
      hubConnectionString: hub,
      issuer,
      settings,
    });
    for (const [i, token] of tokens.entries())
      await made.call("registerInstallation", toRegistration(`user-${i}`, token));
    made.advance(300);
    return made;
  };
  const withKeys = await create({});
  const withTokens = await create({ SEND_AUTH: "token" });
  const ids = await Promise.all(
    Array.from({ length: USERS }, async (_, i) => toId(await withKeys.call("sendSecure", toSend(i)))),
  );
  return {
    get: (i) => {
      const request = toGet(i, ids[i % USERS]);
      return () => withKeys.call("getNotification", request);
    },
    send: (i) => {
      const request = toSend(i);
      return () => withKeys.call("sendSecure", request);
    },
    "send, token": (i) => {
      const request = toSend(i);
      return () => withTokens.call("sendSecure", request);
    },
    "send, key": (i) => {
      const request = toSend(i, { "idempotency-key": randomUUID() });
      return () => withKeys.call("sendSecure", request);
    },
  };
}

async function createRequests(issuer: Issuer) {
  const tokens = await Promise.all(
    Array.from({ length: USERS }, (_, i) => issuer.buildUserToken(`user-${i}`)),
  );
  const granted = await fetch(`${issuer.url}/token`, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "client_credentials", client_id: "back-end" }),
  });
  const { access_token: senderToken } = (await granted.json()) as { readonly access_token: string };
  return {
    tokens,
    toGet: (i: number, id = "") =>
      toRequest("GET", `/notifications/${id}`, {
        params: { id },
        headers: { authorization: `Bearer ${tokens[i % USERS]}` },
      }),
    toSend: (i: number, headers: Readonly<Record<string, string>> = {}) =>
      toRequest("POST", "/notifications", {
        headers: { authorization: `Bearer ${senderToken}`, "x-functions-key": "k".repeat(40), ...headers },
        body: { to: [`user-${i % USERS}`], payload: PAYLOAD },
      }),
  };
}

async function compare(): Promise<void> {
  const azurite = await createAzurite();
  const server = await startHub();
  try {
    const costs = new Map<Variant, Costs[]>(VARIANTS.map((name) => [name, []]));
    for (let round = 0; round < ROUNDS; round++)
      for (const name of round % 2 === 0 ? VARIANTS : VARIANTS.toReversed()) {
        const args = [name, azurite.connectionString, server.connectionString];
        costs.get(name)?.push((await runChild(import.meta.url, args)) as Costs); // what measure() made
      }
    print((name, operation) => (costs.get(name) ?? []).map((one) => one[operation] ?? NaN));
  } finally {
    server.close();
    await azurite.close();
  }
}

function print(of: (variant: Variant, operation: Operation) => readonly number[]): void {
  for (const operation of OPERATIONS)
    for (const name of VARIANTS)
      if (!of(name, operation).some(Number.isNaN))
        console.log(`${operation}, ${name}, µs of CPU: ${toSummary(of(name, operation), 0)}`);
  const ratio = (operation: Operation, other: Variant) =>
    toRatios(of("product", operation), of(other, operation));
  reportAtMost(
    { what: "getNotification, 1 KB, CPU to the naive handler's", values: ratio("get", "naive") },
    0.33,
  );
  reportAtMost(
    { what: "getNotification, 1 KB, CPU to the HTTP call alone", values: ratio("get", "floor") },
    2.5,
  );
  reportAtMost(
    { what: "sendSecure, sender's token, CPU to the naive handler's", values: ratio("send, token", "naive") },
    0.75,
  );
  const others = {
    "sendSecure, function key, CPU to the naive handler's": ratio("send", "naive"),
    "sendSecure, sender's token, CPU to its five requests alone": ratio("send, token", "floor"),
    "sendSecure's five requests alone, CPU to the naive handler with a token, which makes two": toRatios(
      of("floor", "send, token"),
      of("naive", "send, token"),
    ),
    "getNotification's request alone, CPU to the naive handler": toRatios(
      of("floor", "get"),
      of("naive", "get"),
    ),
  };
  for (const [what, values] of Object.entries(others)) console.log(`${what}: ${toSummary(values, 2)}`);
  reportAtMost(
    {
      what: "sendSecure, CPU with an Idempotency-Key to that without",
      values: toRatios(of("product", "send, key"), of("product", "send")),
    },
    1.15,
  );
}
