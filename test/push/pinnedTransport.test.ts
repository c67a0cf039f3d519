// The transport of senders whose push channels are URLs, over real TLS: what it connects to, what it verifies, and how
// much it reads, over both protocols. http2Sessions.test.ts has what is peculiar to HTTP/2.
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { createServer } from "node:https";
import type { Server, TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { toPort } from "../../local/server.ts";
import { parseHostRules } from "../../shared/config/hostRules.ts";
import {
  ADDRESS_REFUSED,
  createPinnedTransport,
  type PinnedTransport,
  type PinnedTransportOptions,
} from "../../shared/push/pinnedTransport.ts";
import { CUT_OFF } from "../../shared/push/sender.ts";
import { createServerCertificate, type ServerCertificate } from "../helpers/certificates.ts";

const never = new AbortController().signal;
const LOOPBACK = [{ address: "127.0.0.1", family: 4 }] as const;

interface Received {
  readonly version: string;
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly host: string | undefined;
  /** Without pseudo-fields. */
  readonly names: readonly string[];
  readonly body: string;
}

let identity: ServerCertificate;
beforeAll(async () => {
  identity = await createServerCertificate("push.example", "127.0.0.1");
});

describe.each([
  { name: "HTTP/2", serves: "both", offersHttp2: true, version: "2.0" },
  { name: "HTTP/1.1, which the server chooses", serves: "HTTP/1.1", offersHttp2: true, version: "1.1" },
  { name: "HTTP/1.1, without an offer of HTTP/2", serves: "both", offersHttp2: false, version: "1.1" },
])("over $name", ({ serves, offersHttp2, version }) => {
  let server: Server;
  let port: number;
  let connections = 0;
  const sockets = new Set<TLSSocket>();
  const received: Received[] = [];
  let answer: (response: Http2ServerResponse) => void;

  beforeAll(async () => {
    const listener = (request: Http2ServerRequest, response: Http2ServerResponse) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { headers, httpVersion, method, url } = request;
        const host = headers[":authority"] ?? headers.host;
        received.push({
          version: httpVersion,
          method,
          url,
          host: host?.toString(),
          names: Object.keys(headers)
            .filter((name) => !name.startsWith(":"))
            .toSorted(),
          body: Buffer.concat(chunks).toString(),
        });
        answer(response);
      });
    };
    const keys = { key: identity.privateKey, cert: identity.certificate };
    server =
      serves === "both"
        ? createSecureServer({ ...keys, allowHTTP1: true }, listener)
        : createServer(keys, listener as unknown as RequestListener); // the same API, as far as it is used here
    server.on("connection", () => connections++);
    server.on("secureConnection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket)).on("error", () => undefined);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    port = toPort(server);
  });
  const breakConnections = () => {
    for (const socket of sockets) socket.destroy();
  };
  afterAll(() => {
    breakConnections();
    server.close();
  });

  const open: PinnedTransport[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((transport) => transport.close()));
    received.length = 0;
    connections = 0;
  });

  function create(
    options: Partial<PinnedTransportOptions> & { readonly list?: string } = {},
  ): PinnedTransport {
    const rules = parseHostRules(options.list ?? `push.example:${port};private`);
    if (!rules.ok) throw new Error(rules.error);
    answer = (response) => response.writeHead(201).end();
    const transport = createPinnedTransport({
      hosts: rules.value,
      extraAuthorities: [identity.ca],
      resolve: () => Promise.resolve(LOOPBACK),
      offersHttp2,
      ...options,
    });
    open.push(transport);
    return transport;
  }

  function post(transport: PinnedTransport, url = `https://push.example:${port}/p?token=1`, signal = never) {
    return transport.post({ url, headers: { TTL: "5" }, body: Buffer.from("hello"), signal });
  }

  test("a request arrives as it was made, and connections are kept", async () => {
    const transport = create();
    answer = (response) => response.writeHead(201, { Location: "/m/1", "X-A": ["1", "2"] }).end("text");
    for (let i = 0; i < 10; i++)
      expect(await post(transport)).toEqual({
        ok: true,
        value: {
          status: 201,
          body: "text",
          headers: expect.objectContaining({ location: "/m/1", "x-a": "1, 2" }) as object,
        },
      });
    expect(received).toHaveLength(10);
    // Over HTTP/1.1 the next call may come before the agent has its connection back.
    expect(connections).toBeLessThanOrEqual(version === "2.0" ? 1 : 2);
    expect(received[0]).toEqual({
      version,
      method: "POST",
      url: "/p?token=1",
      host: `push.example:${port}`,
      names: version === "2.0" ? ["content-length", "ttl"] : ["connection", "content-length", "host", "ttl"],
      body: "hello",
    });
  });

  test("calls that come together before there is a connection are all answered", async () => {
    const transport = create();
    const results = await Promise.all(Array.from({ length: 20 }, () => post(transport)));
    expect(results.every(({ ok }) => ok)).toBe(true);
    expect(new Set(received.map((one) => one.version))).toEqual(new Set([version]));
    if (version === "2.0") expect(connections).toBe(1);
    else expect(connections).toBeLessThanOrEqual(20);
  });

  test("an answer has no field of the protocol's own", async () => {
    const result = await post(create());
    const names = result.ok ? Object.keys(result.value.headers) : [];
    expect(names.filter((name) => name.startsWith(":"))).toEqual([]);
  });

  test("an idle connection is closed", async () => {
    const transport = create({ keepAliveMs: 100 });
    expect(await post(transport)).toMatchObject({ ok: true });
    await vi.waitFor(() => expect(sockets.size).toBe(0));
    expect(await post(transport)).toMatchObject({ ok: true });
    expect(connections).toBe(2);
  });

  test("close() ends the connections, also while a call is in flight", async () => {
    const transport = create();
    answer = () => void transport.close();
    expect(await post(transport)).toEqual({ ok: false, error: { kind: "failed", cause: "ECONNRESET" } });
    await vi.waitFor(() => expect(sockets.size).toBe(0));
  });

  describe("what it connects to (R133)", () => {
    test.each([
      ["loopback", ["127.0.0.1"]],
      ["the metadata service", ["169.254.169.254"]],
      ["one public and one private address", ["93.184.216.34", "127.0.0.1"]],
      ["a mapped address", ["::ffff:127.0.0.1"]],
      ["no address", []],
    ])("an allowed name that resolves to %s is never connected to", async (_what, addresses) => {
      const resolved = addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
      const transport = create({ list: `push.example:${port}`, resolve: () => Promise.resolve(resolved) });
      expect(await post(transport)).toEqual({ ok: false, error: { kind: "failed", cause: ADDRESS_REFUSED } });
      expect(await transport.judge(`https://push.example:${port}/`, never)).toMatchObject({ ok: false });
      expect(connections).toBe(0);
    });

    test("a name that was public when it was judged and is private later is not connected to", async () => {
      const answers = [[{ address: "93.184.216.34", family: 4 }], LOOPBACK];
      const transport = create({
        list: `push.example:${port}`,
        resolve: () => Promise.resolve(answers.shift() ?? LOOPBACK),
      });
      expect(await transport.judge(`https://push.example:${port}/`, never)).toMatchObject({ ok: true });
      expect(await post(transport)).toMatchObject({ ok: false, error: { cause: ADDRESS_REFUSED } });
      expect(connections).toBe(0);
    });

    test("a name is resolved once for a connection, and the socket goes to the address that was judged", async () => {
      let asked = 0;
      // The real name does not exist: a socket that asked by itself would find nothing.
      const transport = create({ resolve: () => Promise.resolve((asked++, LOOPBACK)) });
      expect(await post(transport)).toMatchObject({ ok: true });
      expect(asked).toBe(1);
    });

    test.each(["https://other.example/x", "http://push.example/x", "https://127.0.0.1/x"])(
      "%s is refused without a look-up",
      async (url) => {
        const transport = create({ resolve: () => Promise.reject(new Error("it was looked up")) });
        expect(await post(transport, url)).toEqual({
          ok: false,
          error: { kind: "refused", cause: ADDRESS_REFUSED },
        });
        expect(await transport.judge(url, never)).toMatchObject({ ok: false });
      },
    );

    test("a literal address needs its own entry and, where it is private, the mark (R132)", async () => {
      const url = `https://127.0.0.1:${port}/`;
      expect(await post(create({ list: `127.0.0.1:${port};private` }), url)).toMatchObject({ ok: true });
      expect(await post(create({ list: `127.0.0.1:${port}` }), url)).toMatchObject({
        ok: false,
        error: { cause: ADDRESS_REFUSED },
      });
      expect(connections).toBe(1);
    });

    test("a name that cannot be resolved is admitted, and a push to it fails", async () => {
      const transport = create({
        resolve: () => Promise.reject(Object.assign(new Error("no such name"), { code: "ENOTFOUND" })),
      });
      expect(await transport.judge(`https://push.example:${port}/`, never)).toMatchObject({ ok: true });
      expect(await post(transport)).toEqual({ ok: false, error: { kind: "failed", cause: "ENOTFOUND" } });
    });
  });

  describe("whom it trusts (R135)", () => {
    test("an authority that the system does not know is refused, and accepted with EXTRA_CA_FILE", async () => {
      expect(await post(create({ extraAuthorities: [] }))).toMatchObject({
        ok: false,
        error: { kind: "failed", cause: expect.stringMatching(/VERIFY|CERT|ISSUER/) as string },
      });
      expect(received).toHaveLength(0);
      expect(await post(create())).toMatchObject({ ok: true });
    });

    test("a certificate for another name is refused", async () => {
      const transport = create({ list: `other.example:${port};private` });
      expect(await post(transport, `https://other.example:${port}/`)).toEqual({
        ok: false,
        error: { kind: "failed", cause: "ERR_TLS_CERT_ALTNAME_INVALID" },
      });
      expect(received).toHaveLength(0);
    });

    test("NODE_TLS_REJECT_UNAUTHORIZED does not turn the verification off, and HTTPS_PROXY is not used (R137)", async () => {
      vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
      vi.stubEnv("HTTPS_PROXY", "http://127.0.0.1:1");
      vi.stubEnv("NODE_USE_ENV_PROXY", "1");
      try {
        expect(await post(create({ extraAuthorities: [] }))).toMatchObject({ ok: false });
        expect(await post(create())).toMatchObject({ ok: true });
      } finally {
        vi.unstubAllEnvs();
      }
    });
  });

  describe("what it makes of answers", () => {
    test.each([301, 302, 303, 307, 308])(
      "a redirect (%i) is an answer and is not followed (R134)",
      async (status) => {
        const transport = create();
        answer = (response) =>
          response.writeHead(status, { Location: `https://push.example:${port}/inner` }).end();
        expect(await post(transport)).toMatchObject({ ok: true, value: { status } });
        expect(received).toHaveLength(1);
      },
    );

    test("of an endless answer 4 KiB are read (R136)", async () => {
      const transport = create();
      const ended = Promise.withResolvers<void>();
      answer = (response) => {
        response.writeHead(400);
        const write = () => {
          while (response.write("x".repeat(1024)));
        };
        response.on("drain", write).on("close", () => ended.resolve());
        write();
      };
      const result = await post(transport);
      expect(result.ok && result.value.body.length).toBe(4096);
      await ended.promise; // the rest was refused
      answer = (response) => response.writeHead(201).end();
      expect(await post(transport)).toMatchObject({ ok: true, value: { status: 201 } });
    });

    test("a push service that does not answer in time is a timeout; a call that we cut off is not", async () => {
      const silent = create({ timeoutMs: 50 });
      answer = () => undefined;
      expect(await post(silent)).toEqual({ ok: false, error: { kind: "failed", cause: "timeout" } });

      const cut = new AbortController();
      const slow = create();
      answer = () => cut.abort();
      expect(await post(slow, undefined, cut.signal)).toEqual({
        ok: false,
        error: { kind: "failed", cause: CUT_OFF },
      });
      expect(await post(slow, undefined, cut.signal)).toMatchObject({ ok: false, error: { cause: CUT_OFF } });
    });

    test("a connection that breaks is a failure with the code of the error", async () => {
      const transport = create();
      answer = breakConnections;
      expect(await post(transport)).toEqual({ ok: false, error: { kind: "failed", cause: "ECONNRESET" } });
    });
  });
});
