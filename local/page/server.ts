// The page that `npm start` ends with. It plays the back end and the push networks; its devices are the browser's own
// service workers. Served on this machine only, for trying the service out. I/O: HTTP.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createSender, SecurePushError, type Sender } from "../../clients/sender/sender.ts";
import type { HubEmulator } from "../../packages/notification-hubs-emulator/emulator.ts";
import type { Issuer } from "../issuer.ts";
import { startOnPort } from "../port.ts";
import { closeServer } from "../server.ts";
import type { WebPushService } from "../webPushService.ts";
import { type Asset, loadAssets } from "./assets.ts";
import type { Answers, NetworkEvent, Settings } from "./messages.ts";
import { createPushNetwork, type PushNetwork } from "./network.ts";
import { parseRequest, type PageRequest } from "./requests.ts";
import { readStored } from "./stored.ts";

export interface PageOptions {
  readonly azurite: { readonly connectionString: string };
  readonly issuer: Issuer;
  readonly hub: HubEmulator;
  readonly webPush?: WebPushService;
  readonly host: { readonly url: string };
  readonly functionKey: string;
  /** The port wanted; one that is taken is replaced. Default: a free one. */
  readonly port?: number;
}

export interface Page {
  /** With a slash at the end. */
  readonly url: string;
  readonly close: () => Promise<void>;
}

interface State {
  readonly options: PageOptions;
  readonly sender: Sender;
  readonly network: PushNetwork;
  readonly assets: ReadonlyMap<string, Asset>;
  /** Pages that listen to events. */
  readonly listeners: Set<ServerResponse>;
  readonly policy: string;
  url: string;
}

const MAX_BODY_BYTES = 1024 * 1024;
const SEND_TIMEOUT_MS = 20_000;

export async function servePage(options: PageOptions): Promise<Page> {
  const { hub, webPush, host, issuer, functionKey } = options;
  const listeners = new Set<ServerResponse>();
  const onEvent = (event: NetworkEvent) => {
    for (const listener of listeners) listener.write(`data: ${JSON.stringify(event)}\n\n`);
  };
  const state: State = {
    options,
    sender: createSender({ url: host.url, credential: { functionKey }, timeoutMs: SEND_TIMEOUT_MS }),
    network: createPushNetwork({ hub, webPush, onEvent }),
    assets: await loadAssets(),
    listeners,
    policy: toPolicy([host.url, issuer.url]),
    url: "",
  };
  const server = createServer((request, response) => {
    serve(state, request, response).catch((error: unknown) => {
      if (!response.headersSent)
        answer(response, 500, { title: error instanceof Error ? error.message : "failed" });
      else response.destroy();
    });
  });
  const port = await startOnPort(options.port, async (free) => {
    server.listen(free, "127.0.0.1");
    await once(server, "listening");
    return free;
  });
  // `localhost` is a secure context in every browser, and has service workers.
  state.url = `http://localhost:${port}/`;
  return {
    url: state.url,
    close: async () => {
      state.network.switch(false);
      state.network.close();
      await closeServer(server);
    },
  };
}

/** Scripts and styles of our own alone; connections to the service and the issuer. */
function toPolicy(urls: readonly string[]): string {
  const origins = urls.map((url) => new URL(url).origin);
  return [
    "default-src 'none'",
    "script-src 'self'",
    "worker-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src 'self' ${origins.join(" ")}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

async function serve(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = "GET", headers } = request;
  response.setHeader("content-security-policy", state.policy);
  response.setHeader("x-content-type-options", "nosniff");
  response.setHeader("referrer-policy", "no-referrer");
  response.setHeader("cache-control", "no-store");
  // Another site must not use the back end's key through this page, nor by a name that it points here (DNS rebinding).
  const { host } = new URL(state.url);
  if (headers.host !== host) return answer(response, 421, { title: `Open ${state.url}` });
  const path = new URL(request.url ?? "/", state.url).pathname;
  if (method === "GET" || method === "HEAD") return serveGet(state, path, response);
  if (method !== "POST") return answer(response, 405, { title: "GET and POST are served" });
  if (headers.origin !== new URL(state.url).origin)
    return answer(response, 403, { title: "Only the page itself may do this" });
  const parsed = parseRequest(path, await readBody(request));
  if (parsed === undefined) return answer(response, 400, { title: "The request is not valid" });
  try {
    answer(response, 200, await run(state, parsed));
  } catch (error) {
    if (!(error instanceof SecurePushError)) throw error;
    answer(response, error.status ?? 502, error.problem ?? { title: error.message });
  }
}

function serveGet(state: State, path: string, response: ServerResponse): void {
  if (path === "/events") return listen(state, response);
  if (path === "/settings") return answer(response, 200, toSettings(state));
  const asset = state.assets.get(path);
  if (asset === undefined) return answer(response, 404, { title: "There is nothing here" });
  response.writeHead(200, { "content-type": asset.contentType }).end(asset.content);
}

/** Server-sent events: each is one `NetworkEvent`. */
function listen({ listeners }: State, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(": connected\n\n");
  listeners.add(response);
  response.on("close", () => listeners.delete(response));
}

function toSettings({ options, network, url }: State): Settings {
  return {
    apiUrl: `${options.host.url}/api`,
    signIn: {
      issuer: options.issuer.url,
      clientId: "local-page",
      redirectUri: url,
      scope: "openid Notifications.Read",
    },
    isWebPushServed: options.webPush !== undefined,
    isNetworkAway: network.isAway(),
  };
}

async function run(
  { options, sender, network }: State,
  request: PageRequest,
): Promise<Answers[PageRequest["path"]]> {
  switch (request.path) {
    case "/send":
      return sender.sendSecure(request.body);
    case "/receipts":
      return sender.getReceipts(request.body.id, request.body.to);
    case "/stored":
      return { rows: await readStored(options.azurite.connectionString, request.body.id) };
    case "/network":
      network.switch(request.body.isAway);
      return {};
    case "/devices":
      return network.addDevice(request.body.deviceId, request.body.vapidPublicKey);
    case "/expired-token": {
      // Long enough ago for any tolerance between clocks.
      const accessToken = await options.issuer.buildUserToken(request.body.userId, -3600);
      return { accessToken };
    }
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return "";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
