// HTTP/2 under the transport of senders: how the protocol is chosen, and how sessions are shared, replaced and ended.
// Sections are of RFC 9113 unless named. pinnedTransport.test.ts has what both protocols promise.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, type ServerHttp2Stream } from "node:http2";
import { createServer as createTcpServer, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { describe, expect, test, vi } from "vitest";
import { toPort } from "../../local/server.ts";
import { CUT_OFF } from "../../shared/push/sender.ts";
import { accept, ACCEPTED, answerHttp1, createHttp2Bench, post, toFailed } from "../helpers/http2.ts";

const { NGHTTP2_CANCEL } = constants;
const { create, identity, later, serve } = createHttp2Bench();

describe("the offer (RFC 7301)", () => {
  test.each([
    { offersHttp2: true, offered: ["h2", "http/1.1"] },
    { offersHttp2: false, offered: [] },
  ])("is $offered where offersHttp2 is $offersHttp2", async ({ offersHttp2, offered }) => {
    const seen: string[] = [];
    const { port, server } = await serve(accept, {
      ALPNCallback: ({ protocols }) => {
        seen.push(...protocols);
        return protocols[0];
      },
    });
    answerHttp1(server);
    expect(await post(create(port, { offersHttp2 }), port)).toMatchObject(ACCEPTED);
    expect(seen).toEqual(offered);
  });

  async function serveChoice() {
    const asked = { choice: "http/1.1", offers: 0, connections: 0 };
    const { port, server, sessions } = await serve(accept, {
      ALPNCallback: ({ protocols }) => {
        if (!protocols.includes("h2")) return protocols[0];
        asked.offers++;
        return asked.choice;
      },
    });
    answerHttp1(server);
    const sockets = new Set<TLSSocket>();
    server.on("secureConnection", (socket: TLSSocket) => {
      asked.connections++;
      sockets.add(socket.on("close", () => sockets.delete(socket)));
    });
    return { port, sessions, sockets, asked };
  }

  test("is not made again when the connection of an origin that chose HTTP/1.1 closes", async () => {
    const { port, sockets, asked } = await serveChoice();
    const transport = create(port, { keepAliveMs: 100 });
    for (let i = 0; i < 2; i++) {
      expect(await post(transport, port)).toMatchObject({ value: { headers: { "x-version": "1.1" } } });
      await vi.waitFor(() => expect(sockets.size).toBe(0));
    }
    expect(asked).toMatchObject({ connections: 2, offers: 1 });
  });

  test("is made again once the choice of HTTP/1.1 is old", async () => {
    const { port, sessions, asked } = await serveChoice();
    const transport = create(port, { keepAliveMs: 100, choiceMs: 1 });
    expect(await post(transport, port)).toMatchObject({ value: { headers: { "x-version": "1.1" } } });
    asked.choice = "h2";
    await vi.waitFor(async () => {
      await post(transport, port);
      expect(sessions).toHaveLength(1);
    }, 5000);
  });
});

describe("a connection that is being made", () => {
  async function serveSilence() {
    const sockets: Socket[] = [];
    const server = createTcpServer((socket) => sockets.push(socket.on("error", () => undefined).resume()));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    later(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return { port: toPort(server), sockets };
  }

  test("ends with the last call that waits for it", async () => {
    const { port, sockets } = await serveSilence();
    const transport = create(port);
    const cuts = [new AbortController(), new AbortController()] as const;
    const calls = cuts.map(({ signal }) => post(transport, port, "/", signal));
    await vi.waitFor(() => expect(sockets).toHaveLength(1));
    cuts[0].abort();
    expect(await calls[0]).toEqual(toFailed(CUT_OFF));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(sockets[0]?.readableEnded).toBe(false);
    cuts[1].abort();
    expect(await calls[1]).toEqual(toFailed(CUT_OFF));
    await vi.waitFor(() => expect(sockets[0]?.destroyed).toBe(true));
  });

  test("is given up after the time of one call, though new calls come", async () => {
    const { port, sockets } = await serveSilence();
    const transport = create(port, { timeoutMs: 600 });
    const first = post(transport, port);
    await new Promise((resolve) => setTimeout(resolve, 400));
    const second = post(transport, port);
    expect(await first).toEqual(toFailed("timeout"));
    const started = performance.now();
    expect(await second).toEqual(toFailed("timeout"));
    expect(performance.now() - started).toBeLessThan(300); // before its own time has passed
    await vi.waitFor(() => expect(sockets[0]?.destroyed).toBe(true));
  });

  test("ends with close()", async () => {
    const { port, sockets } = await serveSilence();
    const transport = create(port);
    const call = post(transport, port);
    await vi.waitFor(() => expect(sockets).toHaveLength(1));
    await transport.close();
    expect(await call).toEqual(toFailed("ECONNRESET"));
  });
});

describe("a session", () => {
  test("that is idle does not keep the process alive", async () => {
    const { port, sessions } = await serve(accept);
    const script = `
      import { createPinnedTransport } from "./shared/push/pinnedTransport.ts";
      import { parseHostRules } from "./shared/config/hostRules.ts";
      const { value: hosts } = parseHostRules("push.example:${port};private");
      const transport = createPinnedTransport({
        hosts,
        extraAuthorities: [process.env.AUTHORITY],
        resolve: () => Promise.resolve([{ address: "127.0.0.1", family: 4 }]),
        offersHttp2: true,
      });
      const signal = new AbortController().signal;
      const answer = await transport.post({ url: "https://push.example:${port}/", headers: {}, body: Buffer.from("x"), signal });
      console.log(answer.value.status);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      env: { ...process.env, AUTHORITY: identity().ca },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    expect(await once(child, "exit")).toEqual([0, null]);
    expect(output).toBe("201\n");
    expect(sessions).toHaveLength(1);
  });

  test("is kept while calls come, and closed when none came for the time", async () => {
    const { port, sessions } = await serve(accept);
    const transport = create(port, { keepAliveMs: 500 });
    for (let i = 0; i < 5; i++) {
      await post(transport, port);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(sessions).toHaveLength(1);
    await vi.waitFor(() => expect(sessions[0]?.destroyed).toBe(true));
  });

  test("is one for all calls to an origin, also for those that come while it opens", async () => {
    const { port, sessions } = await serve(accept);
    const transport = create(port);
    for (let round = 0; round < 3; round++) {
      const results = await Promise.all(Array.from({ length: 30 }, () => post(transport, port)));
      for (const result of results) expect(result).toMatchObject(ACCEPTED);
    }
    expect(sessions).toHaveLength(1);
  });

  test("names the address that it goes to once for each connection (R133)", async () => {
    const { port, sessions } = await serve(accept);
    const names: string[] = [];
    const transport = create(port, {
      resolve: (name) => {
        names.push(name);
        return Promise.resolve([{ address: "127.0.0.1", family: 4 }]);
      },
    });
    await post(transport, port);
    await post(transport, port);
    expect(names).toEqual(["push.example"]);
    sessions[0]?.destroy();
    await vi.waitFor(async () => expect(await post(transport, port)).toMatchObject(ACCEPTED));
    expect(names.length).toBeGreaterThanOrEqual(2);
  });

  test("lets calls wait above the peer's limit of concurrent streams (§5.1.2)", async () => {
    let open = 0;
    let most = 0;
    const { port, sessions } = await serve(
      (stream) => {
        most = Math.max(most, ++open);
        setTimeout(() => {
          open--;
          accept(stream, {});
        }, 5);
      },
      { settings: { maxConcurrentStreams: 2 } },
    );
    const transport = create(port);
    const results = await Promise.all(Array.from({ length: 20 }, () => post(transport, port)));
    for (const result of results) expect(result).toMatchObject(ACCEPTED);
    expect(most).toBe(2);
    expect(sessions).toHaveLength(1);
  });

  test("forgets a call that is aborted while it waits for its stream", async () => {
    const paths: string[] = [];
    const waiting: ServerHttp2Stream[] = [];
    const { port } = await serve(
      (stream, headers) => {
        paths.push(String(headers[":path"]));
        waiting.push(stream);
      },
      { settings: { maxConcurrentStreams: 1 } },
    );
    const transport = create(port);
    const first = post(transport, port, "/first");
    await vi.waitFor(() => expect(waiting).toHaveLength(1));
    const cut = new AbortController();
    const second = post(transport, port, "/second", cut.signal);
    await new Promise((resolve) => setTimeout(resolve, 20));
    cut.abort();
    expect(await second).toEqual(toFailed(CUT_OFF));
    for (const stream of waiting) accept(stream, {});
    expect(await first).toMatchObject(ACCEPTED);
    expect(paths).toEqual(["/first"]);
  });

  test("is replaced when a call got no answer and nothing else arrived", async () => {
    let isDead = false;
    const { port, sessions } = await serve((stream, headers) => {
      if (!isDead || sessions.length > 1) accept(stream, headers);
    });
    const transport = create(port, { timeoutMs: 600 });
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    isDead = true;
    expect(await post(transport, port)).toEqual(toFailed("timeout"));
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(2);
    await vi.waitFor(() => expect(sessions[0]?.destroyed).toBe(true));
  });

  test("goes on when one call got no answer and another did", async () => {
    const { port, sessions } = await serve((stream, headers) => {
      if (headers[":path"] !== "/silent") accept(stream, headers);
    });
    const transport = create(port, { timeoutMs: 1000 });
    await post(transport, port);
    const silent = post(transport, port, "/silent");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(await silent).toEqual(toFailed("timeout"));
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(1);
  });

  test("that the server closed while it was idle fails no call", async () => {
    const { port, sessions } = await serve(accept);
    const transport = create(port);
    await post(transport, port);
    sessions[0]?.close();
    // At once, and after the news arrived.
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(2);
  });
});

describe("an aborted call", () => {
  test("resets its stream with CANCEL (§7), and the others of the session go on", async () => {
    const streams = new Map<string, ServerHttp2Stream>();
    const { port, sessions } = await serve((stream, headers) => {
      streams.set(String(headers[":path"]), stream);
    });
    const transport = create(port);
    const cut = new AbortController();
    const one = post(transport, port, "/one", cut.signal);
    const two = post(transport, port, "/two");
    await vi.waitFor(() => expect(streams.size).toBe(2));
    cut.abort();
    expect(await one).toEqual(toFailed(CUT_OFF));
    await vi.waitFor(() => expect(streams.get("/one")?.rstCode).toBe(NGHTTP2_CANCEL));
    const stream = streams.get("/two");
    if (stream !== undefined) accept(stream, {});
    expect(await two).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(1);
  });

  test("does not end the connection that other calls wait for", async () => {
    const { port, sessions } = await serve(accept);
    const transport = create(port);
    const cut = new AbortController();
    const one = post(transport, port, "/one", cut.signal);
    const two = post(transport, port, "/two");
    cut.abort();
    expect(await one).toEqual(toFailed(CUT_OFF));
    expect(await two).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(1);
  });
});
