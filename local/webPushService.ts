// A push service for browsers on this machine: HTTP/2 or HTTP/1.1 over TLS, RFC 8030, 8291 and 8292, stricter than the
// real ones. It decrypts what it accepts, as the browser would, and answers with any status on demand. A subscription
// costs a key pair.
import { createECDH, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket } from "node:net";
import { createCertificateAuthority } from "./certificateAuthority.ts";
import { createVapidKey } from "../scripts/vapidKey.ts";
import { toPort } from "./server.ts";
import { decryptPush, parseMessage, type ReceiverKeys } from "./webPushMessage.ts";
import { checkHeaders, checkVapid, type Refusal } from "./webPushRules.ts";

/** What `pushManager.subscribe` gives an app, as registerInstallation takes it. */
export interface BrowserSubscription {
  readonly endpoint: string;
  readonly p256dh: string;
  readonly auth: string;
}

interface ReceivedPush extends ReceivedRequest {
  /** What the browser's service worker would see. */
  readonly text: string;
}

interface RefusedPush {
  readonly status: number;
  readonly reason: string;
}

export interface ServiceAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A request as it came, before anything is checked. Names of headers are in lower case, without pseudo-fields. */
interface ReceivedRequest {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Decides on an answer before anything is checked; `undefined` leaves it to the service. */
type AnswerOnDemand = (
  request: ReceivedRequest,
) => ServiceAnswer | undefined | Promise<ServiceAnswer | undefined>;

export interface WebPushService {
  /** `https://localhost:PORT`. */
  readonly origin: string;
  /** The entry for WEB_PUSH_HOSTS. */
  readonly hostEntry: string;
  /** The authority that its certificate comes from, PEM. */
  readonly authority: string;
  /** What the app needs to push here. EXTRA_CA_FILE names a file of this service. */
  readonly settings: Readonly<
    Record<"VAPID_KEYS" | "VAPID_SUBJECT" | "WEB_PUSH_HOSTS" | "EXTRA_CA_FILE", string>
  >;
  /** Of the key in `settings`: what browsers subscribe under. */
  readonly vapidPublicKey: string;
  /** A new subscription under a public VAPID key (base64url), as a browser makes one. */
  readonly subscribe: (applicationServerKey: string) => BrowserSubscription;
  /** The browser's user withdraws it: from then on its endpoint answers 410. */
  readonly unsubscribe: (endpoint: string) => void;
  /** What was accepted, in order. */
  readonly received: readonly ReceivedPush[];
  /** What broke a rule, in order. Answers on demand are not here. */
  readonly refused: readonly RefusedPush[];
  /** Every push that is accepted from now on. Ends with the function it returns. */
  readonly onPush: (listener: (push: ReceivedPush) => void) => () => void;
  readonly answerWith: (answer: AnswerOnDemand | undefined) => void;
  /** The number of connections so far. */
  readonly connections: () => number;
  readonly clear: () => void;
  readonly close: () => Promise<void>;
}

interface Subscriber extends ReceiverKeys {
  readonly applicationServerKey: string;
  isActive: boolean;
}

interface State {
  readonly subscribers: Map<string, Subscriber>;
  readonly received: ReceivedPush[];
  readonly refused: RefusedPush[];
  readonly listeners: Set<(push: ReceivedPush) => void>;
  /** Salts and senders' keys: RFC 8188 §2.1 forbids a second use. */
  readonly used: Set<string>;
  answer: AnswerOnDemand | undefined;
  origin: string;
  connections: number;
}

export interface WebPushServiceOptions {
  /** Where the authority's certificate is written; by default a folder for temporary files, until `close`. */
  readonly directory?: string;
  /** What its certificate is for beside `localhost`. */
  readonly names?: readonly string[];
}

/** Listens on a free port. */
export async function createWebPushService(options: WebPushServiceOptions = {}): Promise<WebPushService> {
  const { names = [] } = options;
  const authority = await createCertificateAuthority("local Web Push authority");
  const identity = await authority.issue({
    commonName: "localhost",
    names: ["localhost", ...names],
    usages: ["server"],
  });
  const state = createState();
  const server = createSecureServer(
    { key: identity.privateKey, cert: identity.certificate, allowHTTP1: true },
    (request, response) => void serve(state, request, response),
  );
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    state.connections++;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  state.origin = `https://localhost:${toPort(server)}`;
  const hostEntry = `${new URL(state.origin).host};private`;
  const file = await writeAuthority(options.directory, authority.certificate);
  const { jwk, publicKey } = createVapidKey();
  return {
    origin: state.origin,
    hostEntry,
    authority: authority.certificate,
    settings: {
      VAPID_KEYS: JSON.stringify({ keys: [jwk] }),
      VAPID_SUBJECT: "mailto:push@example.com",
      WEB_PUSH_HOSTS: hostEntry,
      EXTRA_CA_FILE: file.path,
    },
    vapidPublicKey: publicKey,
    ...toControls(state),
    close: async () => {
      await endServer(server, sockets);
      await file.remove();
    },
  };
}

function createState(): State {
  return {
    subscribers: new Map(),
    received: [],
    refused: [],
    listeners: new Set(),
    used: new Set(),
    answer: undefined,
    origin: "",
    connections: 0,
  };
}

type Controls = Pick<
  WebPushService,
  "subscribe" | "unsubscribe" | "received" | "refused" | "onPush" | "answerWith" | "connections" | "clear"
>;

function toControls(state: State): Controls {
  return {
    subscribe: (applicationServerKey) => subscribe(state, applicationServerKey),
    unsubscribe: (endpoint) => {
      const subscriber = state.subscribers.get(endpoint);
      if (subscriber !== undefined) subscriber.isActive = false;
    },
    received: state.received,
    refused: state.refused,
    onPush: (listener) => {
      state.listeners.add(listener);
      return () => void state.listeners.delete(listener);
    },
    answerWith: (answer) => {
      state.answer = answer;
    },
    connections: () => state.connections,
    clear: () => {
      state.received.length = 0;
      state.refused.length = 0;
      state.answer = undefined;
    },
  };
}

async function writeAuthority(
  directory: string | undefined,
  certificate: string,
): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const folder = directory ?? (await mkdtemp(join(tmpdir(), "web-push-")));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, "authority.pem");
  await writeFile(path, certificate);
  const remove = () => (directory === undefined ? rm(folder, { recursive: true }) : Promise.resolve());
  return { path, remove };
}

/** `Http2SecureServer` has no `closeAllConnections`. */
async function endServer(server: Http2SecureServer, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = once(server, "close");
  server.close();
  for (const socket of sockets) socket.destroy();
  await closed;
}

function subscribe({ subscribers, origin }: State, applicationServerKey: string): BrowserSubscription {
  const ecdh = createECDH("prime256v1");
  const p256dh = ecdh.generateKeys("base64url");
  const authSecret = randomBytes(16);
  const endpoint = `${origin}/push/${randomBytes(32).toString("base64url")}`;
  subscribers.set(endpoint, { ecdh, authSecret, applicationServerKey, isActive: true });
  return { endpoint, p256dh, auth: authSecret.toString("base64url") };
}

async function serve(
  state: State,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
): Promise<void> {
  const endpoint = state.origin + (request.url ?? "");
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch {
    return; // the caller hung up
  }
  const received = { endpoint, headers: toHeaders(request), body: Buffer.concat(chunks) };
  const answer = (await state.answer?.(received)) ?? (await judge(state, request.method, received));
  response.writeHead(answer.status, answer.headers).end(answer.body ?? "");
}

async function judge(
  state: State,
  method: string | undefined,
  request: ReceivedRequest,
): Promise<ServiceAnswer> {
  const push = await accept(state, method, request);
  if ("reason" in push) {
    state.refused.push({ status: push.status, reason: push.reason });
    const answer = { code: push.status, error: push.reason };
    return {
      status: push.status,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(answer),
    };
  }
  state.received.push(push);
  for (const listener of state.listeners) listener(push);
  return {
    status: 201,
    headers: { Location: `${state.origin}/m/${state.received.length}`, TTL: push.headers["ttl"] ?? "" },
  };
}

async function accept(
  { subscribers, origin, used }: State,
  method: string | undefined,
  { endpoint, headers, body }: ReceivedRequest,
): Promise<ReceivedPush | Refusal> {
  const subscriber = subscribers.get(endpoint);
  if (subscriber === undefined) return { status: 404, reason: "no such subscription" };
  if (!subscriber.isActive) return { status: 410, reason: "the subscription has ended" };
  const refusal =
    checkHeaders(method, headers, body.length) ??
    (await checkVapid(headers["authorization"], { origin, key: subscriber.applicationServerKey }));
  if (refusal !== undefined) return refusal;
  try {
    const text = decryptPush(body, subscriber).toString("utf8");
    const { salt, keyId } = parseMessage(body);
    const ephemeral = [salt, keyId].map((bytes) => bytes.toString("base64url"));
    if (ephemeral.some((one) => used.has(one)))
      return { status: 400, reason: "the salt or the sender's key was used before" };
    for (const one of ephemeral) used.add(one);
    return { endpoint, headers, body, text };
  } catch (error) {
    return { status: 400, reason: error instanceof Error ? error.message : "not decrypted" };
  }
}

function toHeaders({ headers }: Http2ServerRequest): Readonly<Record<string, string>> {
  const fields = Object.entries(headers).filter(([name]) => !name.startsWith(":"));
  return Object.fromEntries(fields.map(([name, value]) => [name, String(value)]));
}
