// A TCP proxy in front of one port of this machine that speaks plain HTTP: a test makes it fail as networks do, all of
// it or request by request. It takes a request whole, passes it on over a connection of its own, and takes the answer
// whole.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { toPort } from "../../local/server.ts";
import { type HttpMessage, takeAnswer, takeRequest } from "./httpMessage.ts";

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

type Headers = Readonly<Record<string, string>>;

/** What becomes of a request. The upstream sees it whole, unless it is said here that it does not. */
export type Fault =
  /** Nothing comes back, and the upstream sees nothing. */
  | { readonly kind: "hang" }
  /** The connection is reset, and the upstream sees nothing. */
  | { readonly kind: "reset" }
  /** The connection is reset behind so many bytes of the request, which are all that the upstream sees, or of its answer. */
  | { readonly kind: "resetAfter"; readonly bytes: number; readonly of: "request" | "answer" }
  /** The upstream has answered; the connection is reset instead of it. */
  | { readonly kind: "loseAnswer" }
  /** The upstream has answered; that is passed on once this has resolved. */
  | { readonly kind: "holdAnswer"; readonly until: () => Promise<void> }
  /** The answer comes so much later. */
  | { readonly kind: "delay"; readonly delayMs: number }
  /** The answer comes byte by byte, with a pause behind each. */
  | { readonly kind: "drip"; readonly delayMs: number }
  /** The proxy answers by itself, and the upstream sees nothing. */
  | { readonly kind: "answer"; readonly status: number; readonly headers?: Headers; readonly body?: string };

/** Nobody listens: connections are refused, and those that were open are reset. */
type Refusal = { readonly kind: "refuse" };

export interface FaultProxy {
  /** Of 127.0.0.1. */
  readonly port: number;
  /** Everything that came in whole, in order. */
  readonly requests: readonly ProxiedRequest[];
  /**
   * Asked for each request; `undefined` leaves it to what was set last. While it takes its time the request is held.
   * One that it lets go then goes through although its client is gone by now, as on a network.
   */
  decide: (request: ProxiedRequest) => Fault | undefined | Promise<Fault | undefined>;
  /** Headers that replace those of the upstream's answer. */
  answerHeaders: (request: ProxiedRequest) => Headers | undefined;
  /**
   * What becomes of all requests from now on; resolves when that holds. `hang` and `reset` begin with the connection,
   * before anything is read of it; `refuse` and `reset` break those that are open.
   */
  readonly setFault: (fault: Fault | Refusal | undefined) => Promise<void>;
  /** Resolves when no connection is open and nothing is on its way to the upstream: to be asked once the client is dead. */
  readonly whenQuiet: () => Promise<void>;
  /** Breaks whatever is open, held or waiting. */
  readonly close: () => Promise<void>;
}

export async function createFaultProxy(upstreamPort: number): Promise<FaultProxy> {
  const requests: ProxiedRequest[] = [];
  const clients = new Set<Socket>();
  const upstreams = new Set<Socket>();
  const closing = new AbortController();
  let standing: Fault | Refusal | undefined;

  const server = createServer({ noDelay: true }, (client) => {
    track(client, clients);
    if (standing?.kind === "reset") client.resetAndDestroy();
    else if (standing?.kind === "hang") client.resume();
    else serve(client);
  });

  async function listen(port: number): Promise<number> {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return toPort(server);
  }

  async function stopListening(): Promise<void> {
    const closed = once(server, "close");
    server.close();
    for (const client of clients) client.resetAndDestroy();
    await closed;
  }

  function serve(client: Socket): void {
    let unread = Buffer.alloc(0);
    let served = Promise.resolve();
    client.on("data", (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      for (let taken = takeRequest(unread); taken !== undefined; taken = takeRequest(unread)) {
        const { message, rest } = taken;
        unread = Buffer.from(rest);
        served = served
          .then(() => respond(client, message))
          .catch((error: unknown) => {
            client.resetAndDestroy();
            throw error; // of the test's own functions: the run must see it
          });
      }
    });
  }

  async function respond(client: Socket, message: HttpMessage): Promise<void> {
    const request = toRequest(message);
    requests.push(request);
    const fault = (await proxy.decide(request)) ?? standing;
    if (closing.signal.aborted) return;
    switch (fault?.kind) {
      case "hang":
        if (clients.has(client)) await whenClosed(client); // what else it asks hangs too
        return;
      case "refuse":
      case "reset":
        return void client.resetAndDestroy();
      case "resetAfter":
        if (fault.of === "answer") break;
        await passPart(message.bytes.subarray(0, fault.bytes));
        return void client.resetAndDestroy();
      case "answer":
        return void client.write(toAnswer(fault.status, fault.headers, fault.body));
    }

    const answer = await exchange(message.bytes, request.method);
    if (answer === undefined) return void client.resetAndDestroy();
    const bytes = replaceHeaders(answer, proxy.answerHeaders(request));
    switch (fault?.kind) {
      case "loseAnswer":
        return void client.resetAndDestroy();
      case "resetAfter":
        await write(client, bytes.subarray(0, fault.bytes));
        return void client.resetAndDestroy();
      case "holdAnswer":
        await fault.until();
        break;
      case "delay":
        await pause(fault.delayMs);
        break;
      case "drip":
        for (let i = 0; i < bytes.length && !client.destroyed; i++) {
          await write(client, bytes.subarray(i, i + 1));
          await pause(fault.delayMs);
        }
        return;
    }
    await write(client, bytes);
    if (message.headers["connection"]?.toLowerCase() === "close") client.end();
  }

  /** The upstream's whole answer; `undefined` when there is none. */
  async function exchange(request: Buffer, method: string): Promise<HttpMessage | undefined> {
    const upstream = connect(upstreamPort, "127.0.0.1");
    track(upstream, upstreams);
    upstream.write(request);
    let received = Buffer.alloc(0);
    try {
      for await (const chunk of upstream as AsyncIterable<Buffer>) {
        received = Buffer.concat([received, chunk]);
        const taken = takeAnswer(received, method);
        if (taken !== undefined) return taken.message;
      }
    } catch {
      // refused or broken off
    }
    return undefined;
  }

  async function passPart(bytes: Buffer): Promise<void> {
    const upstream = connect(upstreamPort, "127.0.0.1");
    track(upstream, upstreams);
    await write(upstream, bytes);
    upstream.resetAndDestroy();
  }

  /** Ends early when the proxy is closed. */
  async function pause(delayMs: number): Promise<void> {
    await sleep(delayMs, undefined, { signal: closing.signal }).catch(() => undefined);
  }

  const port = await listen(0);
  const proxy: FaultProxy = {
    port,
    requests,
    decide: () => undefined,
    answerHeaders: () => undefined,
    setFault: async (fault) => {
      standing = fault;
      if (fault?.kind === "refuse") {
        if (server.listening) await stopListening();
        return;
      }
      if (fault?.kind === "reset") for (const client of clients) client.resetAndDestroy();
      if (!server.listening) await listen(port);
    },
    whenQuiet: async () => {
      for (;;) {
        const [open] = [...clients, ...upstreams];
        if (open === undefined) return;
        await whenClosed(open);
      }
    },
    close: async () => {
      closing.abort();
      for (const upstream of upstreams) upstream.destroy();
      if (server.listening) await stopListening();
    },
  };
  return proxy;
}

function track(socket: Socket, open: Set<Socket>): void {
  open.add(socket);
  socket.on("error", () => undefined); // "close" follows
  socket.on("close", () => open.delete(socket));
}

/** Of a socket that is still tracked: `closed` is true a little before its event, which alone is waited for. */
function whenClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
  });
}

/** Resolves when the system has the bytes, or the other side is gone. */
function write(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    socket.write(bytes, () => resolve());
  });
}

function toRequest({ startLine, headers, body }: HttpMessage): ProxiedRequest {
  const [method = "", path = ""] = startLine.split(" ");
  return { method, path, headers, body: body.toString("utf8") };
}

function toAnswer(status: number, headers: Headers = {}, body = ""): string {
  const all = { ...headers, "content-length": String(Buffer.byteLength(body)) };
  return `HTTP/1.1 ${status} Fault\r\n${toLines(all)}\r\n${body}`;
}

function replaceHeaders({ startLine, headers, bytes }: HttpMessage, replaced: Headers | undefined): Buffer {
  if (replaced === undefined) return bytes;
  const head = `${startLine}\r\n${toLines({ ...headers, ...replaced })}\r\n`;
  const content = bytes.subarray(bytes.indexOf("\r\n\r\n") + 4);
  return Buffer.concat([Buffer.from(head, "latin1"), content]);
}

function toLines(headers: Headers): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
}
