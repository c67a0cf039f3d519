// Question: how long does a caller wait for each route, on this machine?
// The built bundle runs under the local Functions host, with Azurite and a hub that answers 201 at once, each in a process
// of its own. A caller with one connection makes one call at a time: each user lives through all routes in turn. Each round
// starts a fresh host. `getPushConfig` calls neither table nor hub, so it is the host's own share.
// Run: npm run bench -- latency
import { randomUUID } from "node:crypto";
import { Agent, request } from "node:http";
import { createAzurite } from "../local/azurite.ts";
import { startFunctionsHostProcess } from "../local/functionsHost/process.ts";
import { createIssuer, type Issuer } from "../local/issuer.ts";
import { bundleApp } from "../scripts/bundle.ts";
import { root } from "../scripts/root.ts";
import { createSettings } from "../test/helpers/calls.ts";
import { printTable, toCell, toPercentile } from "./helpers/report.ts";
import { startHub } from "./helpers/servers.ts";

const ROUNDS = 3;
const USERS = 250;
/** Not counted. */
const WARM_UP_USERS = 30;
const SHARES = [0.5, 0.95, 0.99] as const;
const FUNCTION_KEY = "k".repeat(40);

interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

type Send = (name: string, call: Call) => Promise<string>;

/** One user's life: every route once, a few in two situations. */
async function live(send: Send, user: string, token: string): Promise<void> {
  const device = { authorization: `Bearer ${token}` };
  const sender = { "x-functions-key": FUNCTION_KEY };
  const installation: Call = {
    method: "PUT",
    path: "/installations/phone",
    headers: device,
    body: { platform: "fcmv1", pushChannel: user },
  };
  const notification = { to: [user], payload: "s".repeat(1024) };
  const toSend = (headers: Readonly<Record<string, string>>): Call => ({
    method: "POST",
    path: "/notifications",
    headers: { ...sender, ...headers },
    body: notification,
  });
  await send("registerInstallation, new", installation);
  await send("registerInstallation, unchanged", installation);
  const { id } = JSON.parse(await send("sendSecure", toSend({}))) as { readonly id: string };
  await send("sendSecure, Idempotency-Key", toSend({ "idempotency-key": randomUUID() }));
  const path = `/notifications/${id}`;
  await send("getNotification, first", { method: "GET", path, headers: device });
  await send("getNotification, later", { method: "GET", path, headers: device });
  await send("listNotifications", { method: "GET", path: "/notifications", headers: device });
  await send("getReceipts", { method: "POST", path: "/receipts", headers: sender, body: { id, to: [user] } });
  await send("markRead", { method: "PUT", path: `${path}/read`, headers: device });
  await send("deleteNotification", { method: "DELETE", path, headers: device });
  await send("removeInstallation", { ...installation, method: "DELETE", body: undefined });
  await send("eraseRecipient", {
    method: "POST",
    path: "/recipients/erase",
    headers: sender,
    body: { to: [user] },
  });
  await send("health", { method: "GET", path: "/health" });
  await send("getOpenApi", { method: "GET", path: "/openapi.json" });
  await send("getPushConfig", { method: "GET", path: "/push-config" });
}

/** Milliseconds of each call, by route. */
type Times = Map<string, number[]>;

function createSend(url: string, times: Times): Send {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return async (name, call) => {
    const startedMs = performance.now();
    const { status, text } = await exchange(agent, `${url}/api${call.path}`, call);
    const elapsedMs = performance.now() - startedMs;
    if (!(status >= 200 && status < 300)) throw new Error(`${name} answered ${status} ${text}`);
    times.set(name, [...(times.get(name) ?? []), elapsedMs]);
    return text;
  };
}

function exchange(
  agent: Agent,
  url: string,
  { method, headers, body }: Call,
): Promise<{ readonly status: number; readonly text: string }> {
  const content = body === undefined ? "" : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method,
        agent,
        headers: {
          ...headers,
          ...(body === undefined
            ? {}
            : { "content-type": "application/json", "content-length": content.length }),
        },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("end", () =>
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      },
    );
    outgoing.on("error", reject);
    outgoing.end(content);
  });
}

async function measure(issuer: Issuer, storageConnectionString: string, hub: string): Promise<Times> {
  const settings = createSettings({
    storageConnectionString,
    hubConnectionString: hub,
    hubName: "hub",
    issuer,
  });
  const host = await startFunctionsHostProcess({
    appDirectory: root,
    settings,
    keys: { default: FUNCTION_KEY },
    timers: false, // a pass in the middle would be another question
  });
  try {
    const times: Times = new Map();
    const send = createSend(host.url, times);
    for (let i = -WARM_UP_USERS; i < USERS; i++) {
      if (i === 0) times.clear();
      const user = randomUUID();
      await live(send, user, await issuer.buildUserToken(user));
    }
    return times;
  } finally {
    await host.close();
  }
}

await bundleApp();
const issuer = await createIssuer();
const azurite = await createAzurite();
const hub = await startHub();
try {
  const rounds: Times[] = [];
  for (let round = 0; round < ROUNDS; round++)
    rounds.push(await measure(issuer, azurite.connectionString, hub.connectionString));
  print(rounds);
} finally {
  hub.close();
  await azurite.close();
  await issuer.close();
}

/** Of each percentile the median of the rounds, and in brackets each round's. */
function print(rounds: readonly Times[]): void {
  const names = [...(rounds[0]?.keys() ?? [])];
  const cell = (name: string, share: number) => {
    const values = rounds.map((times) => toPercentile(times.get(name) ?? [], share));
    return toCell(values, 1);
  };
  printTable(
    ["route", "p50, ms", "p95, ms", "p99, ms"],
    names.map((name) => [name, ...SHARES.map((share) => cell(name, share))]),
  );
  console.log(`\n${USERS} calls of each route in each of ${rounds.length} rounds.`);
}
