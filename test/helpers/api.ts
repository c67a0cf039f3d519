// The API as callers meet it, over HTTP, in two ways: in this process, where time can be moved and the store or the
// hub replaced, and as the built bundle under the local Functions host.
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { HttpRequest, InvocationContext } from "@azure/functions";
import { inject } from "vitest";
import { toPort } from "../../local/server.ts";
import { type App, createApp } from "../../functions/app.ts";
import { type Route, toHttpHandler } from "../../functions/http/handler.ts";
import { toOpenApi } from "../../functions/openapi/openApi.ts";
import type { OpenApi } from "../../functions/openapi/openApiDocument.ts";
import { createHubEmulator, type HubEmulator } from "../../packages/notification-hubs-emulator/emulator.ts";
import { startFunctionsHostProcess } from "../../local/functionsHost/process.ts";
import { createIssuer, type Issuer } from "../../local/issuer.ts";
import { root } from "../../scripts/root.ts";
import { createClock } from "../../shared/base/clock.ts";
import { parseConfig, toConfigErrorText } from "../../shared/config/config.ts";
import { createLog } from "../../shared/base/log.ts";
import type { Sender } from "../../shared/push/sender.ts";
import { type Calls, createCalls, createSettings, fireTimer } from "./calls.ts";
import { type Contract, createContract } from "./contract.ts";
import { createStoreProxy, type StoreProxy } from "./store.ts";

export type { Answered } from "./calls.ts";

export const WAYS = ["in process", "through the local host"] as const;
export type Way = (typeof WAYS)[number];

export interface Api extends Calls {
  readonly url: string;
  readonly hub: HubEmulator;
  readonly issuer: Issuer;
  readonly functionKey: string;
  readonly tablePrefix: string;
  /** For another instance that is to open what this one sealed. */
  readonly keySettings: Readonly<Record<string, string>>;
  /** Every line that the app logged, or its host printed. */
  readonly lines: readonly string[];
  /** What the app says of itself. */
  readonly document: OpenApi;
  /** In process only: how far ahead the clock of this deployment's instances is. */
  readonly time: { aheadMs: number };
  /** In process only: moves that clock. */
  readonly advance: (seconds: number) => void;
  /** Runs a timer function once, to its end in process; through the local host it has begun. */
  readonly runTimer: (name: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface ApiOptions {
  readonly settings?: Readonly<Record<string, string>>;
  /** In place of the run's Azurite. */
  readonly storageConnectionString?: string;
  readonly hub?: HubEmulator;
  /** Another instance of the same deployment: its tables, keys, issuer and time, and its hub. */
  readonly beside?: Api;
  /** Through the local host: where the app lies; default: here. */
  readonly appDirectory?: string;
  /** In process: these in place of the senders of the settings, before the hub. Another instance needs them too. */
  readonly senders?: readonly Sender[];
  /** In process: time passes only where `advance` says so. */
  readonly standsStill?: boolean;
  /** In process: the store's Date corrects the clock, which else would undo what a test moves. */
  readonly listensToStore?: boolean;
}

/** Of every issuer here: making one takes as long as starting the app. */
let signingKey: Issuer["signingKey"] | undefined;

export async function createApi(way: Way, options: ApiOptions = {}): Promise<Api> {
  const { beside } = options;
  const issuer = beside?.issuer ?? (await createIssuer(signingKey === undefined ? {} : { signingKey }));
  signingKey ??= issuer.signingKey;
  const givenHub = options.hub ?? beside?.hub;
  const hub = givenHub ?? (await createHubEmulator());
  const functionKey = beside?.functionKey ?? randomBytes(16).toString("hex");
  const own = createSettings({
    storageConnectionString: options.storageConnectionString ?? inject("storageConnectionString"),
    hubConnectionString: hub.connectionString,
    hubName: hub.hubName,
    issuer,
  });
  const tablePrefix = beside?.tablePrefix ?? own.TABLE_PREFIX;
  const keySettings = beside?.keySettings ?? { PAYLOAD_LOCAL_KEK: own.PAYLOAD_LOCAL_KEK };
  const settings = { ...own, TABLE_PREFIX: tablePrefix, ...keySettings, ...options.settings };
  const lines: string[] = [];
  const startedMs = Date.now();
  const time = beside?.time ?? { aheadMs: 0 };
  const readMs = () => (options.standsStill === true ? startedMs : Date.now()) + time.aheadMs;
  const write = (line: string) => void lines.push(line);
  const config = parseConfig(settings);
  if (!config.ok) throw new Error(toConfigErrorText(config.error));
  const log = createLog((_level, line) => write(line));
  const clock = createClock(log, readMs);
  const observe = options.listensToStore === true ? clock.observe : () => undefined;
  // A timer that waits has its time at once.
  const sleep = (ms: number) => {
    time.aheadMs += ms;
    return Promise.resolve();
  };
  // Through the local host it serves nobody, and is asked for its document alone.
  const app = createApp({
    config: config.value,
    clock: { ...clock, observe },
    log,
    sleep,
    ...(options.senders && { senders: options.senders }),
  });
  const document = toOpenApi(app.routes, config.value);
  const host =
    way === "in process"
      ? await serveInProcess(app, functionKey, write)
      : await startFunctionsHostProcess({
          appDirectory: options.appDirectory ?? root,
          settings,
          keys: { default: functionKey },
          onLine: write,
        });

  const { check } = toContract(document);
  const calls = createCalls({ url: () => host.url, issuer, functionKey, check });
  return {
    ...calls,
    url: host.url,
    hub,
    issuer,
    functionKey,
    tablePrefix,
    keySettings,
    lines,
    document,
    time,
    advance: (seconds) => {
      time.aheadMs += seconds * 1000;
    },
    runTimer: (name) => ("runTimer" in host ? host.runTimer(name) : fireTimer(calls, name)),
    close: async () => {
      await host.close();
      if (beside === undefined) await issuer.close();
      if (givenHub === undefined) await hub.close();
    },
  };
}

/** An app in this process that reaches its store through a proxy. Closing the app closes both. */
export async function createProxiedApi(
  options: Omit<ApiOptions, "storageConnectionString"> = {},
): Promise<{ readonly api: Api; readonly proxy: StoreProxy }> {
  const proxy = await createStoreProxy();
  const api = await createApi("in process", {
    ...options,
    storageConnectionString: proxy.connectionString,
  });
  const close = async () => {
    await api.close();
    await proxy.close();
  };
  return { proxy, api: { ...api, close } };
}

const contracts = new Map<string, Contract>();
/** Compiled once for all apps that say the same of themselves. */
function toContract(document: OpenApi): Contract {
  const text = JSON.stringify(document);
  const known = contracts.get(text) ?? createContract(document);
  contracts.set(text, known);
  return known;
}

/** The app's own routes behind Node's HTTP server: what a Functions host does, without one. */
async function serveInProcess(app: App, functionKey: string, write: (line: string) => void) {
  const handlers = app.routes.map((route) => ({ route, handle: toHttpHandler(route, app) }));

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", `http://${request.headers.host ?? "localhost"}`);
    const found = handlers
      .map(({ route, handle }) => ({
        route,
        handle,
        params: match(route, request.method ?? "", url.pathname),
      }))
      .find(({ params }) => params !== undefined);
    if (found?.params === undefined) return void response.writeHead(404).end();
    const isKeyed = found.route.caller === "sender" && app.senderAuth === "functionKey";
    if (isKeyed && request.headers["x-functions-key"] !== functionKey)
      return void response.writeHead(401).end();
    const answer = await found.handle(toHttpRequest(request, url, found.params), toContext(write));
    response.writeHead(answer?.status ?? 204, answer?.headers as Record<string, string>);
    response.end(answer?.body);
  }
  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => response.destroy(error as Error));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${toPort(server)}`,
    runTimer: async (name: string) => {
      const timer = app.timers.find((known) => known.name === name);
      if (timer === undefined) throw new Error(`no timer ${name}`);
      await timer.run(
        createLog((_level, line) => write(line)),
        new AbortController().signal,
      );
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function match(
  { methods, path }: Route,
  method: string,
  pathname: string,
): Record<string, string> | undefined {
  const pattern = new RegExp(`^/api/${path.replaceAll(/\{(\w+)\}/g, "(?<$1>[^/]+)")}/?$`, "i");
  const found = pattern.exec(pathname);
  if (found === null || !methods.some((known) => known === method)) return undefined;
  try {
    return Object.fromEntries(
      Object.entries(found.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]),
    );
  } catch {
    return undefined; // not UTF-8
  }
}

/** The part of the runtime's request that the app reads. */
function toHttpRequest(request: IncomingMessage, url: URL, params: Record<string, string>): HttpRequest {
  const headers = new Headers();
  // As the host does it: every line counts, also those that Node's own parser would leave out.
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2)
    headers.append(request.rawHeaders[i] ?? "", request.rawHeaders[i + 1] ?? "");
  const hasBody = request.method !== "GET" && request.method !== "HEAD";
  // As the library does it, which leaves alone what nobody reads.
  const init = { method: "POST", body: request, duplex: "half" } as unknown as RequestInit;
  const body = hasBody ? new Request(url, init).body : null;
  return { url: url.href, method: request.method, headers, params, body } as unknown as HttpRequest;
}

function toContext(write: (line: string) => void): InvocationContext {
  return {
    invocationId: randomUUID(),
    info: write,
    warn: write,
    error: write,
  } as unknown as InvocationContext;
}
