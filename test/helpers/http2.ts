// Servers for HTTP/2 over TLS, and the transport of senders that calls them. A test file calls `createHttp2Bench` once.
import { once } from "node:events";
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { afterEach, beforeAll, expect } from "vitest";
import { toPort } from "../../local/server.ts";
import { parseHostRules } from "../../shared/config/hostRules.ts";
import {
  createPinnedTransport,
  type PinnedTransport,
  type PinnedTransportOptions,
} from "../../shared/push/pinnedTransport.ts";
import { createServerCertificate, type ServerCertificate } from "./certificates.ts";

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

interface Http2Server {
  readonly port: number;
  /** All that there were. */
  readonly sessions: readonly ServerHttp2Session[];
  readonly server: Http2SecureServer;
}

interface Http2Bench {
  /** Of `push.example`. */
  readonly identity: () => ServerCertificate;
  /** A server that answers each stream with `onStream`. */
  readonly serve: (onStream: OnStream, options?: SecureServerOptions) => Promise<Http2Server>;
  readonly create: (port: number, options?: Partial<PinnedTransportOptions>) => PinnedTransport;
  /** Is called after the test. */
  readonly later: (clean: () => unknown) => void;
}

/** After each test it closes what was opened, and fails where an error was handled by nobody: it would end the worker. */
export function createHttp2Bench(): Http2Bench {
  let identity: ServerCertificate;
  const cleanups: (() => unknown)[] = [];
  const errors: unknown[] = [];
  beforeAll(async () => {
    identity = await createServerCertificate("push.example");
    process.on("unhandledRejection", (error) => errors.push(error));
    process.on("uncaughtException", (error) => errors.push(error));
  });
  afterEach(async () => {
    for (const clean of cleanups.splice(0).toReversed()) await clean();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(errors.splice(0)).toEqual([]);
  });
  const later = (clean: () => unknown) => cleanups.push(clean);
  return {
    identity: () => identity,
    later,
    serve: async (onStream, options = {}) => {
      const server = createSecureServer({
        key: identity.privateKey,
        cert: identity.certificate,
        allowHTTP1: true,
        ...options,
      });
      const sessions: ServerHttp2Session[] = [];
      server.on("session", (session) => sessions.push(session.on("error", () => undefined)));
      server.on("stream", (stream, headers) =>
        onStream(
          stream.on("error", () => undefined),
          headers,
        ),
      );
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      later(() => {
        for (const session of sessions) session.destroy();
        server.close();
      });
      return { port: toPort(server), sessions, server };
    },
    create: (port, options) => {
      const rules = parseHostRules(`push.example:${port};private`);
      if (!rules.ok) throw new Error(rules.error);
      const transport = createPinnedTransport({
        hosts: rules.value,
        extraAuthorities: [identity.ca],
        resolve: () => Promise.resolve([{ address: "127.0.0.1", family: 4 }]),
        offersHttp2: true,
        ...options,
      });
      later(transport.close);
      return transport;
    },
  };
}

export function answerHttp1(server: Http2SecureServer): void {
  server.on("request", (request, response) => {
    if (request.httpVersion === "1.1") response.writeHead(201, { "X-Version": "1.1" }).end();
  });
}

export const accept: OnStream = (stream) => stream.respond({ ":status": 201 }, { endStream: true });

export function post(
  transport: PinnedTransport,
  port: number,
  path = "/",
  signal = new AbortController().signal,
): ReturnType<PinnedTransport["post"]> {
  const url = `https://push.example:${port}${path}`;
  return transport.post({ url, headers: { TTL: "5" }, body: Buffer.from("hello"), signal });
}

export const ACCEPTED = { ok: true, value: { status: 201 } };

export function toFailed(cause: unknown): object {
  return { ok: false, error: { kind: "failed", cause } };
}

export const anyCode = expect.stringMatching(/^[A-Z0-9_]+$/) as string;
