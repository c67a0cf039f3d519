// An MPNS endpoint on this machine, for development and tests: HTTPS with mutual TLS, channels, and the answers of
// Windows Phone's push service. It is as strict as the documentation: a client certificate has to come from its own
// authority, be for client authentication, be valid now and name a registered service.
import { randomBytes, type X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  type Identity,
} from "./certificateAuthority.ts";
import { closeServer, toPort } from "./server.ts";

export interface MpnsEndpointOptions {
  /** Where authority.pem and client.pem are written at each start, for other clients. */
  readonly directory?: string;
  /** The services that apps can open channels for. */
  readonly serviceNames?: readonly string[];
  /** What client certificates are judged by, besides OpenSSL's own clock. */
  readonly now?: () => Date;
}

interface ReceivedMpnsPush {
  readonly channelUri: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The common name of the client certificate. */
  readonly client: string;
  /** Its SHA-256 fingerprint. */
  readonly fingerprint: string;
  /** Tells connections apart, in the order in which they were opened: 1, 2, and so on. */
  readonly connection: number;
}

interface MpnsAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface MpnsEndpoint {
  /** `https://localhost:PORT`. */
  readonly origin: string;
  /** The entry for MPNS_HOSTS. */
  readonly hostEntry: string;
  /** The settings of an app that pushes to this endpoint. */
  readonly settings: Readonly<Record<string, string>>;
  /** Issues the server's certificate, and client certificates. Its PEM is for MPNS_CA. */
  readonly authority: CertificateAuthority;
  /** A client certificate for the first service. */
  readonly client: Identity;
  /** What `HttpNotificationChannel` gives an app that names this service (default: the first). */
  readonly openChannel: (serviceName?: string) => string;
  /** The app closes its channel: from then on its URI answers 404. */
  readonly closeChannel: (channelUri: string) => void;
  /** What was accepted, in order. */
  readonly received: readonly ReceivedMpnsPush[];
  /** Why connections were refused, in order: OpenSSL's code, `NO_CERTIFICATE`, `EXPIRED` or `COMMON_NAME`. */
  readonly refusedHandshakes: readonly string[];
  /** Connections that were accepted, since the start. */
  readonly connections: () => number;
  /** Every push that is accepted from now on. Ends with the function it returns. */
  readonly onPush: (listener: (push: ReceivedMpnsPush) => void) => () => void;
  /** Decides on the answers to valid pushes; `undefined` leaves them to the endpoint. */
  readonly answerWith: (answer: AnswerOnDemand | undefined) => void;
  /** Trusts client certificates of these authorities only (PEM), and closes all connections. */
  readonly trustClients: (authorities: readonly string[]) => void;
  readonly close: () => Promise<void>;
}

type AnswerOnDemand = (push: ReceivedMpnsPush) => MpnsAnswer | undefined | Promise<MpnsAnswer | undefined>;

const DEFAULT_SERVICE_NAME = "push.example.com";
const CHANNEL_PATH = "/throttledthirdparty/01.00/";
const MAX_BODY_BYTES = 1024;
const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** Raw pushes: at once, within 450 and within 900 seconds. */
const CLASSES: ReadonlySet<string> = new Set(["3", "13", "23"]);

const RECEIVED = toStatusHeaders("Received", "Connected", "Active");
const EXPIRED = toStatusHeaders("Dropped", "Connected", "Expired");

function toStatusHeaders(
  notification: string,
  device: string,
  subscription: string,
): Readonly<Record<string, string>> {
  return {
    "X-NotificationStatus": notification,
    "X-DeviceConnectionStatus": device,
    "X-SubscriptionStatus": subscription,
  };
}

interface State {
  readonly serviceNames: readonly string[];
  readonly now: () => Date;
  /** Service names by channel URI. */
  readonly channels: Map<string, string>;
  readonly received: ReceivedMpnsPush[];
  readonly refusedHandshakes: string[];
  readonly listeners: Set<(push: ReceivedMpnsPush) => void>;
  readonly connectionNumbers: WeakMap<object, number>;
  origin: string;
  connections: number;
  answer: AnswerOnDemand | undefined;
}

/** Listens on a free port. */
export async function createMpnsEndpoint(options: MpnsEndpointOptions = {}): Promise<MpnsEndpoint> {
  const { directory, serviceNames = [DEFAULT_SERVICE_NAME], now = () => new Date() } = options;
  const state = createState(serviceNames, now);
  const authority = await createCertificateAuthority("local MPNS authority");
  const identity = await authority.issue({
    commonName: "localhost",
    names: ["localhost", "127.0.0.1"],
    usages: ["server"],
  });
  const client = await authority.issue({
    commonName: serviceNames[0] ?? DEFAULT_SERVICE_NAME,
    usages: ["client"],
  });
  if (directory !== undefined) await writeIdentities(directory, authority, client);
  const tls = (trusted: readonly string[]) => ({
    key: identity.privateKey,
    cert: identity.certificate,
    ca: [...trusted],
  });
  const server = createServer(
    // Not rejected by Node, so that the reason is known here.
    { ...tls([authority.certificate]), requestCert: true, rejectUnauthorized: false, minVersion: "TLSv1.2" },
    // A connection that breaks while a request is read.
    (request, response) => void respond(state, request, response).catch(() => response.destroy()),
  );
  server.on("secureConnection", (socket) => acceptConnection(state, socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const listening = toPort(server);
  state.origin = `https://localhost:${listening}`;
  return {
    origin: state.origin,
    hostEntry: `localhost:${listening};private`,
    settings: {
      MPNS_CERTIFICATE: `${client.certificate}${client.privateKey}`,
      MPNS_SERVICE_NAME: serviceNames[0] ?? DEFAULT_SERVICE_NAME,
      MPNS_HOSTS: `localhost:${listening};private`,
      MPNS_CA: authority.certificate,
    },
    authority,
    client,
    ...toChannels(state),
    received: state.received,
    refusedHandshakes: state.refusedHandshakes,
    connections: () => state.connections,
    onPush: (listener) => {
      state.listeners.add(listener);
      return () => void state.listeners.delete(listener);
    },
    answerWith: (answer) => {
      state.answer = answer;
    },
    trustClients: (authorities) => {
      server.setSecureContext(tls(authorities));
      server.closeAllConnections();
    },
    close: () => closeServer(server),
  };
}

function createState(serviceNames: readonly string[], now: () => Date): State {
  return {
    serviceNames,
    now,
    channels: new Map(),
    received: [],
    refusedHandshakes: [],
    listeners: new Set(),
    connectionNumbers: new WeakMap(),
    origin: "",
    connections: 0,
    answer: undefined,
  };
}

function toChannels(state: State): Pick<MpnsEndpoint, "openChannel" | "closeChannel"> {
  return {
    openChannel: (serviceName = state.serviceNames[0] ?? DEFAULT_SERVICE_NAME) => {
      const uri = `${state.origin}${CHANNEL_PATH}${randomBytes(24).toString("base64url")}`;
      state.channels.set(uri, serviceName);
      return uri;
    },
    closeChannel: (uri) => void state.channels.delete(uri),
  };
}

async function writeIdentities(directory: string, authority: Identity, client: Identity): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(join(directory, "authority.pem"), authority.certificate);
  await writeFile(join(directory, "client.pem"), `${client.privateKey}${client.certificate}`, {
    mode: 0o600,
  });
}

/** Ends a connection whose client certificate breaks a rule, before any request of it is read. */
function acceptConnection(state: State, socket: TLSSocket): void {
  const refusal = judgeClient(state, socket);
  if (refusal !== undefined) {
    state.refusedHandshakes.push(refusal);
    socket.destroy();
    return;
  }
  state.connectionNumbers.set(socket, ++state.connections);
}

function judgeClient({ serviceNames, now }: State, socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return "NO_CERTIFICATE";
  if (!socket.authorized) return String(socket.authorizationError);
  if (now() > certificate.validToDate || now() < certificate.validFromDate) return "EXPIRED";
  return serviceNames.includes(toCommonName(certificate)) ? undefined : "COMMON_NAME";
}

function toCommonName(certificate: X509Certificate): string {
  const { CN } = certificate.toLegacyObject().subject as { readonly CN?: unknown };
  return typeof CN === "string" ? CN : "";
}

async function respond(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const push = toPush(state, request, Buffer.concat(chunks));
  const refusal = judgePush(state, request, push);
  const answer = refusal ?? (await state.answer?.(push)) ?? { status: 200, headers: RECEIVED };
  if (answer.status === 200 && Object.values(answer.headers ?? {}).includes("Received")) {
    state.received.push(push);
    for (const listener of state.listeners) listener(push);
  }
  response.writeHead(answer.status, { ...answer.headers }).end();
}

function toPush(state: State, request: IncomingMessage, body: Buffer): ReceivedMpnsPush {
  const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)]);
  const certificate = (request.socket as TLSSocket).getPeerX509Certificate();
  return {
    channelUri: `${state.origin}${request.url ?? ""}`,
    headers: Object.fromEntries(headers) as Record<string, string>,
    body: body.toString("utf8"),
    client: certificate === undefined ? "" : toCommonName(certificate),
    fingerprint: certificate?.fingerprint256 ?? "",
    connection: state.connectionNumbers.get(request.socket) ?? 0,
  };
}

/** The answer to a push that breaks a rule of MPNS. */
function judgePush(
  state: State,
  { method }: IncomingMessage,
  push: ReceivedMpnsPush,
): MpnsAnswer | undefined {
  const { channelUri, headers, body, client } = push;
  if (method !== "POST") return { status: 405 };
  const serviceName = state.channels.get(channelUri);
  if (serviceName === undefined) return { status: 404, headers: EXPIRED };
  if (serviceName !== client) return { status: 401 };
  const messageId = headers["x-messageid"];
  const isValid =
    CLASSES.has(headers["x-notificationclass"] ?? "") &&
    (messageId === undefined || GUID.test(messageId)) &&
    Buffer.byteLength(body) <= MAX_BODY_BYTES;
  if (!isValid) return { status: 400 };
  // A wrong target made MPNS expire the subscription; a raw push has none.
  if (headers["x-windowsphone-target"] === undefined) return undefined;
  state.channels.delete(channelUri);
  return { status: 404, headers: EXPIRED };
}
