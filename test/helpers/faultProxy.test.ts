// Each fault against a small server, seen from both sides: what the client gets, and what the server saw.
import { once } from "node:events";
import { Agent, createServer, request as httpRequest, type IncomingMessage } from "node:http";
import { connect, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createFaultProxy, type FaultProxy } from "./faultProxy.ts";

const ANSWER = "the whole answer";
/** Longer than any test: what waits so long ends only by being closed. */
const FOR_EVER_MS = 3_600_000;

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

let seen: Seen[];
/** Until then the server does not answer bare connections. */
let gate: Promise<void>;
let server: Server;
let upstreamPort: number;
let proxy: FaultProxy;
let agent: Agent;

beforeEach(async () => {
  seen = [];
  gate = Promise.resolve();
  server = createServer((request, response) => {
    void text(request).then(async (body) => {
      seen.push({ method: request.method ?? "", path: request.url ?? "", body });
      if (request.url === "/raw") await gate;
      if (request.url === "/empty") response.writeHead(204).end();
      else if (request.url === "/chunked") {
        response.write("the whole "); // without a length
        response.end("answer");
      } else response.setHeader("content-length", ANSWER.length).end(ANSWER);
    });
  });
  upstreamPort = await listen(server);
  proxy = await createFaultProxy(upstreamPort);
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});
afterEach(async () => {
  agent.destroy();
  await proxy.close();
  server.close();
});

async function listen(listener: Server): Promise<number> {
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly body?: readonly string[];
}

/** Over the one connection that is kept. A body of several parts is chunked. @throws what the connection breaks with */
async function ask({ method = "POST", path = "/", body = [] }: Asked = {}) {
  const { port } = proxy;
  const request = httpRequest({ host: "127.0.0.1", port, agent, method, path });
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  if (body.length > 1) request.setHeader("transfer-encoding", "chunked");
  for (const part of body) request.write(part);
  request.end();
  const [response] = await answered;
  const content = await text(response);
  return {
    status: response.statusCode,
    headers: response.headers,
    text: content,
    reused: request.reusedSocket,
  };
}

/** The same, as how it ended. */
function askForEnd(asked?: Asked): Promise<string> {
  return ask(asked).then(
    ({ status }) => String(status),
    (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : String(error)),
  );
}

const RAW_REQUEST = "GET /raw HTTP/1.1\r\nhost: proxy\r\n\r\n";

/** A bare connection that has asked, and every piece that it gets back. */
function askBare() {
  const pieces: Buffer[] = [];
  const socket: Socket = connect(proxy.port, "127.0.0.1").on("data", (piece: Buffer) => pieces.push(piece));
  const ended = new Promise<string>((resolve) => {
    socket.on("error", (error: Error & { readonly code?: string }) => resolve(error.code ?? error.message));
    socket.on("close", () => resolve("closed"));
  });
  socket.write(RAW_REQUEST);
  return { socket, pieces, ended };
}

/** Time for all that is on its way to arrive: the server answers others, past the proxy. */
async function serveOthers(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    const other = connect(upstreamPort, "127.0.0.1");
    other.write("GET /other HTTP/1.1\r\nhost: upstream\r\n\r\n");
    await once(other, "data");
    other.destroy();
  }
}

describe("without a fault", () => {
  test.each<[string, Asked, object]>([
    ["nothing in it", { method: "GET", path: "/?a=b" }, { status: 200, text: ANSWER }],
    ["a length", { body: ["one part é"] }, { status: 200, text: ANSWER }],
    ["chunks", { body: ["first ", "é\r\n0\r\n\r\n", "third"] }, { status: 200, text: ANSWER }],
    ["an answer in chunks", { path: "/chunked" }, { status: 200, text: ANSWER }],
    ["an answer without content", { path: "/empty" }, { status: 204, text: "" }],
    ["an answer to HEAD, which tells a length", { method: "HEAD" }, { status: 200, text: "" }],
  ])("a request with %s goes through, is recorded, and its connection is kept", async (_, asked, answer) => {
    expect(await ask(asked)).toMatchObject({ ...answer, reused: false });
    expect(await ask(asked)).toMatchObject({ ...answer, reused: true });
    const { method = "POST", path = "/", body = [] } = asked;
    const expected = { method, path, body: body.join("") };
    expect(seen).toEqual([expected, expected]);
    expect(proxy.requests).toMatchObject([expected, expected]);
    expect(proxy.requests[0]?.headers["host"]).toBe(`127.0.0.1:${proxy.port}`);
  });

  test("requests that come in pieces, and two at once, are told apart", async () => {
    const bare = askBare();
    bare.socket.write(RAW_REQUEST.slice(0, 20));
    await once(bare.socket, "data");
    expect(seen).toHaveLength(1);
    bare.socket.write(RAW_REQUEST.slice(20) + RAW_REQUEST);
    await expect.poll(() => Buffer.concat(bare.pieces).toString().split(ANSWER)).toHaveLength(4);
    expect(seen).toHaveLength(3);
    bare.socket.destroy();
  });

  test("an upstream that is gone is a reset", async () => {
    await ask();
    server.close();
    await once(server, "close");
    expect(await askForEnd()).toBe("ECONNRESET");
  });

  test("headers of the answer can be replaced", async () => {
    proxy.answerHeaders = ({ path }) => (path === "/" ? { date: "then" } : undefined);
    expect(await ask()).toMatchObject({ headers: { date: "then" }, text: ANSWER });
    expect((await ask({ path: "/chunked" })).headers.date).not.toBe("then");
  });
});

describe("a fault of the network", () => {
  test("refuse: nobody listens, and what was open is reset, until the port is opened again", async () => {
    const bare = askBare();
    await once(bare.socket, "data");
    await proxy.setFault({ kind: "refuse" });
    expect(await bare.ended).toBe("ECONNRESET");
    expect(await askForEnd()).toBe("ECONNREFUSED");
    await proxy.setFault({ kind: "refuse" });
    expect(await askForEnd()).toBe("ECONNREFUSED");
    await proxy.setFault(undefined);
    expect(await askForEnd()).toBe("200");
    expect(seen).toHaveLength(2);
  });

  test("hang: connections are taken, and nothing comes back to them, later neither", async () => {
    await ask();
    await proxy.setFault({ kind: "hang" });
    const kept = askForEnd();
    const fresh = askBare();
    await once(fresh.socket, "connect");
    await expect.poll(() => proxy.requests).toHaveLength(2); // of the kept one; the fresh one is not read
    await proxy.setFault(undefined);
    const other = askBare();
    await once(other.socket, "data");
    expect(fresh.pieces).toEqual([]);
    expect(seen.map(({ path }) => path)).toEqual(["/", "/raw"]);
    await proxy.close();
    expect(await kept).toBe("ECONNRESET");
    expect(await fresh.ended).toBe("ECONNRESET");
  });

  test("reset: at once, before anything is asked, and what was open too", async () => {
    await ask();
    const open = askBare();
    await once(open.socket, "data");
    await proxy.setFault({ kind: "reset" });
    expect(await open.ended).toBe("ECONNRESET");
    const silent = connect(proxy.port, "127.0.0.1");
    await expect(once(silent, "end")).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(await askForEnd()).toBe("ECONNRESET");
    expect(proxy.requests).toHaveLength(2);
    await proxy.setFault(undefined);
    expect(await askForEnd()).toBe("200");
  });

  test("any fault of a request holds for all, but where something is decided", async () => {
    await proxy.setFault({ kind: "loseAnswer" });
    proxy.decide = ({ path }) => (path === "/other" ? { kind: "answer", status: 418 } : undefined);
    expect(await askForEnd()).toBe("ECONNRESET");
    expect(await askForEnd({ path: "/other" })).toBe("418");
    expect(await askForEnd()).toBe("ECONNRESET");
    expect(seen).toHaveLength(2);
  });
});

describe("a fault of one request", () => {
  test("is decided by all that it says, among others on its connection", async () => {
    proxy.decide = ({ method, path, headers, body }) =>
      method === "PUT" && path === "/b?c" && headers["connection"] === "keep-alive" && body === "two parts"
        ? { kind: "answer", status: 503, headers: { "retry-after": "7" }, body: "later" }
        : undefined;
    expect(await ask()).toMatchObject({ status: 200 });
    expect(await ask({ method: "PUT", path: "/b?c", body: ["two ", "parts"] })).toMatchObject({
      status: 503,
      headers: { "retry-after": "7" },
      text: "later",
      reused: true,
    });
    expect(await ask({ method: "PUT", path: "/b?c" })).toMatchObject({ status: 200, reused: true });
    expect(seen).toHaveLength(2);
    expect(proxy.requests).toHaveLength(3);
  });

  test("reset: the upstream never sees it", async () => {
    proxy.decide = () => ({ kind: "reset" });
    expect(await askForEnd()).toBe("ECONNRESET");
    expect(proxy.requests).toHaveLength(1);
    expect(seen).toEqual([]);
  });

  test("hang: nothing comes back, to what its connection asks later neither", async () => {
    proxy.decide = () => (proxy.requests.length === 1 ? { kind: "hang" } : undefined);
    const bare = askBare();
    bare.socket.write(RAW_REQUEST);
    expect(await askForEnd()).toBe("200");
    await proxy.close();
    expect(await bare.ended).toBe("ECONNRESET");
    expect(bare.pieces).toEqual([]);
    expect(seen.map(({ path }) => path)).toEqual(["/"]);
  });

  test("loseAnswer: the upstream has seen and answered it", async () => {
    proxy.decide = () => ({ kind: "loseAnswer" });
    const bare = askBare();
    expect(await bare.ended).toBe("ECONNRESET");
    expect(bare.pieces).toEqual([]);
    expect(seen).toHaveLength(1);
  });

  test("resetAfter: so many bytes of the request arrive, and no more", async () => {
    const received = Promise.withResolvers<Buffer>();
    const listener = createTcpServer((socket) => {
      const pieces: Buffer[] = [];
      socket.on("data", (piece: Buffer) => pieces.push(piece)).on("error", () => undefined);
      socket.on("close", () => received.resolve(Buffer.concat(pieces)));
    });
    const cutting = await createFaultProxy(await listen(listener));
    try {
      cutting.decide = () => ({ kind: "resetAfter", bytes: 11, of: "request" });
      const socket = connect(cutting.port, "127.0.0.1");
      socket.write(RAW_REQUEST);
      await expect(once(socket, "end")).rejects.toMatchObject({ code: "ECONNRESET" });
      expect((await received.promise).toString()).toBe(RAW_REQUEST.slice(0, 11));
    } finally {
      await cutting.close();
      listener.close();
    }
  });

  test("resetAfter: so many bytes of the answer come back, and no more", async () => {
    proxy.decide = () => ({ kind: "resetAfter", bytes: 11, of: "answer" });
    const bare = askBare();
    expect(await bare.ended).toBe("ECONNRESET");
    expect(Buffer.concat(bare.pieces).toString()).toBe("HTTP/1.1 20");
    expect(seen).toHaveLength(1);
  });

  test("drip: the answer comes byte by byte", async () => {
    proxy.decide = () => ({ kind: "drip", delayMs: FOR_EVER_MS });
    const bare = askBare();
    await once(bare.socket, "data");
    await proxy.close();
    expect(await bare.ended).toBe("ECONNRESET");
    expect(Buffer.concat(bare.pieces).toString()).toBe("H");
  });

  test("drip: all of it comes in the end", async () => {
    proxy.decide = () => ({ kind: "drip", delayMs: 1 });
    expect(await ask()).toMatchObject({ status: 200, text: ANSWER });
    expect(await ask()).toMatchObject({ text: ANSWER, reused: true });
  });

  test("delay: the answer comes later, what was asked is done at once", async () => {
    proxy.decide = () => ({ kind: "delay", delayMs: 50 });
    const startedMs = performance.now();
    expect(await ask()).toMatchObject({ status: 200, text: ANSWER });
    expect(performance.now() - startedMs).toBeGreaterThan(45); // timers may be a little early

    proxy.decide = () => ({ kind: "delay", delayMs: FOR_EVER_MS });
    const end = askForEnd();
    await expect.poll(() => seen).toHaveLength(2);
    await proxy.close();
    expect(await end).toBe("ECONNRESET");
  });

  test("holdAnswer: it is there, and passed on when the test says so", async () => {
    const there = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const until = () => {
      there.resolve();
      return released.promise;
    };
    proxy.decide = () => ({ kind: "holdAnswer", until });
    const bare = askBare();
    await there.promise;
    expect(seen).toHaveLength(1);
    proxy.decide = () => undefined;
    expect(await askForEnd()).toBe("200"); // others go on
    expect(bare.pieces).toEqual([]);
    released.resolve();
    await once(bare.socket, "data");
    bare.socket.destroy();
  });
});

describe("a request that is held", () => {
  async function hold() {
    const arrived = Promise.withResolvers<void>();
    const released = Promise.withResolvers<"reset" | undefined>();
    proxy.decide = async () => {
      arrived.resolve();
      const kind = await released.promise;
      return kind && { kind };
    };
    const bare = askBare();
    await arrived.promise;
    proxy.decide = () => undefined;
    return { bare, release: released.resolve };
  }

  test("has not arrived, and goes through once it is released", async () => {
    const { bare, release } = await hold();
    expect(await askForEnd()).toBe("200");
    expect(seen.map(({ path }) => path)).toEqual(["/"]);
    release(undefined);
    await once(bare.socket, "data");
    expect(seen.map(({ path }) => path)).toEqual(["/", "/raw"]);
    bare.socket.destroy();
  });

  test("goes through although its client is dead by then, but where it is reset", async () => {
    for (const kind of [undefined, "reset"] as const) {
      const { bare, release } = await hold();
      bare.socket.resetAndDestroy();
      await proxy.whenQuiet();
      expect(seen).toHaveLength(kind === undefined ? 0 : 1);
      release(kind);
      await expect.poll(() => seen).toHaveLength(1);
    }
    expect(await askForEnd()).toBe("200");
    expect(seen.map(({ path }) => path)).toEqual(["/raw", "/"]);
  });
});

describe("whenQuiet", () => {
  async function isQuiet(): Promise<boolean> {
    const first = await Promise.race([proxy.whenQuiet().then(() => "quiet"), setImmediate("not yet")]);
    return first === "quiet";
  }

  test("waits for clients that are there", async () => {
    expect(await isQuiet()).toBe(true);
    const bare = askBare();
    await once(bare.socket, "data");
    expect(await isQuiet()).toBe(false);
    bare.socket.destroy();
    await proxy.whenQuiet();
  });

  test("sees that a connection has ended which the proxy has just broken", async () => {
    const bare = askBare();
    await once(bare.socket, "data");
    await proxy.setFault({ kind: "reset" });
    await proxy.whenQuiet();
    expect(await bare.ended).toBe("ECONNRESET");
  });

  test("waits for what is on its way although its client is gone", async () => {
    const finish = Promise.withResolvers<void>();
    gate = finish.promise;
    const bare = askBare();
    await expect.poll(() => seen).toHaveLength(1);
    bare.socket.destroy();
    await serveOthers(); // meanwhile the proxy sees that its client is gone
    expect(await isQuiet()).toBe(false);
    finish.resolve();
    await proxy.whenQuiet();
  });
});

test("close ends what is open, held or waiting, and may be called again", async () => {
  const countTimers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const released = Promise.withResolvers<undefined>();
  proxy.decide = ({ path }) =>
    path === "/held" ? released.promise : { kind: "delay", delayMs: FOR_EVER_MS };
  const ends = ["/held", "/late"].map((path) => {
    const socket = connect(proxy.port, "127.0.0.1");
    socket.write(`GET ${path} HTTP/1.1\r\nhost: proxy\r\n\r\n`);
    return once(socket, "end");
  });
  await expect.poll(() => [proxy.requests, seen].map(({ length }) => length)).toEqual([2, 1]);
  await expect.poll(countTimers).toBeGreaterThan(0);
  const waiting = countTimers();
  await proxy.close();
  for (const end of ends) await expect(end).rejects.toMatchObject({ code: "ECONNRESET" });
  expect(countTimers()).toBeLessThan(waiting);
  released.resolve(undefined);
  await proxy.close();
  expect(await askForEnd()).toBe("ECONNREFUSED");
  await serveOthers();
  expect(seen.map(({ path }) => path)).not.toContain("/held");
});
