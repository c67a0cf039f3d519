// Question: how many calls does each operation make, and how many of them in sequence?
// The table server answers after a fixed delay that is far longer than everything else. The time of an operation, divided by the
// delay, is the number of table calls that waited for each other; for a send, the time until the hub is called counts. In process,
// without a Functions host, with keys and tables made before. Run: npm run bench -- calls
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createAzurite } from "../local/azurite.ts";
import { createIssuer } from "../local/issuer.ts";
import { createProduct, type Product, toId, toRegistration, toRequest } from "./helpers/product.ts";
import { printTable, reportResult } from "./helpers/report.ts";
import { startSlowStore } from "./helpers/servers.ts";

const DELAY_MS = 250;
const ROUNDS = 3;

const MEMBERS = [
  ["calls", "table calls"],
  ["inSequence", "in sequence"],
  ["hubCalls", "hub calls"],
] as const;

interface Counted {
  readonly calls: number;
  readonly inSequence: number;
  readonly hubCalls: number;
}

interface Row {
  readonly what: string;
  /** The most that the goal allows. */
  readonly goal: Partial<Counted>;
  readonly work: () => Promise<unknown>;
}

const azurite = await createAzurite();
const issuer = await createIssuer();
const store = await startSlowStore(azurite.connectionString, DELAY_MS);
/** When the hub was called, in milliseconds. */
const hubCalls: number[] = [];
const hub = createServer((incoming, outgoing) => {
  hubCalls.push(performance.now());
  incoming.resume();
  incoming.once("end", () => outgoing.writeHead(incoming.method === "PUT" ? 200 : 201).end());
}).listen(0, "127.0.0.1");
await once(hub, "listening");
const address = hub.address();
if (address === null || typeof address === "string") throw new Error("not listening on a port");

const product = createProduct({
  storageConnectionString: store.connectionString,
  hubConnectionString: `Endpoint=http://127.0.0.1:${address.port}/;SharedAccessKeyName=n;SharedAccessKey=${"k".repeat(44)}`,
  issuer,
});
try {
  await compare(product);
} finally {
  hub.closeAllConnections();
  hub.close();
  store.close();
  await issuer.close();
  await azurite.close();
}

async function compare({ call, advance }: Product): Promise<void> {
  const register = async (user: string) =>
    call("registerInstallation", toRegistration(user, await issuer.buildUserToken(user)));
  const send = (headers: Readonly<Record<string, string>> = {}) =>
    call(
      "sendSecure",
      toRequest("POST", "/notifications", { headers, body: { to: ["ada"], payload: "secret" } }),
    );
  const token = await issuer.buildUserToken("ada");
  const get = (id: string) =>
    call(
      "getNotification",
      toRequest("GET", `/notifications/${id}`, {
        params: { id },
        headers: { authorization: `Bearer ${token}` },
      }),
    );
  const keyed = () => send({ "x-functions-key": "k", "idempotency-key": randomUUID() });
  await register("ada");
  advance(300);
  await keyed();
  let id = toId(await send());
  await get(id);
  const rows: readonly Row[] = [
    { what: "sendSecure, one device", goal: { inSequence: 2 }, work: async () => (id = toId(await send())) },
    { what: "sendSecure with an Idempotency-Key", goal: { inSequence: 2 }, work: keyed },
    { what: "getNotification, first", goal: { inSequence: 2 }, work: () => get(id) },
    { what: "getNotification, later", goal: { inSequence: 1 }, work: () => get(id) },
    { what: "renewing an unchanged one", goal: { calls: 2, hubCalls: 0 }, work: () => register("ada") },
    {
      what: "registering a new device",
      goal: { calls: 7, inSequence: 4 },
      work: () => register(randomUUID()),
    },
  ];
  const counted = new Map<Row, Counted[]>(rows.map((row) => [row, []]));
  for (let round = 0; round < ROUNDS; round++)
    for (const row of rows) counted.get(row)?.push(await count(row));
  print(counted);
}

async function count({ what, work }: Row): Promise<Counted> {
  const before = product.counts.calls;
  hubCalls.length = 0;
  const startedMs = performance.now();
  await work();
  // A send is over for its caller's device when the ID is at the hub; what a registration tells the hub comes last.
  const untilMs = what.startsWith("send") ? hubCalls[0] : undefined;
  const elapsedMs = (untilMs ?? performance.now()) - startedMs;
  return {
    calls: product.counts.calls - before,
    inSequence: Math.floor(elapsedMs / DELAY_MS),
    hubCalls: hubCalls.length,
  };
}

function print(counted: ReadonlyMap<Row, readonly Counted[]>): void {
  // On a busy machine a round may take longer, but none makes fewer steps.
  const least = (values: readonly Counted[], member: keyof Counted) =>
    Math.min(...values.map((one) => one[member]));
  printTable(
    ["operation", "table calls", "in sequence (a send: until the push)", "hub calls"],
    [...counted].map(([{ what }, values]) => [
      what,
      ...MEMBERS.map(([member]) => `${least(values, member)}`),
    ]),
  );
  for (const [{ what, goal }, values] of counted)
    for (const [member, name] of MEMBERS) {
      const limit = goal[member];
      const measured = least(values, member);
      if (limit !== undefined)
        reportResult({
          what: `${what}: ${name}`,
          goal: `≤ ${limit}`,
          measured: String(measured),
          isMet: measured <= limit,
        });
    }
}
