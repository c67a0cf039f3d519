// An HTTP proxy in front of Azurite that a test can make fail as networks and stores fail: it loses requests, loses
// answers of requests that went through, holds them, or answers by itself.
import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from "node:http";
import { buffer } from "node:stream/consumers";
import { inject } from "vitest";

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Headers = Readonly<Record<string, string>>;

export type Fate =
  /** Goes through; `headers` replace those of the answer. */
  | { readonly kind: "pass"; readonly headers?: Headers }
  /** Goes through, and the connection breaks before the answer. */
  | { readonly kind: "loseAnswer" }
  /** The connection breaks; the store never sees it. */
  | { readonly kind: "loseRequest" }
  /** Nothing ever comes back. */
  | { readonly kind: "hang" }
  | { readonly kind: "answer"; readonly status: number; readonly code: string; readonly headers?: Headers };

export interface LossyProxy {
  readonly connectionString: string;
  /** Everything that arrived, in order. */
  readonly requests: readonly ProxiedRequest[];
  /** Asked for each request; `undefined` passes it. It may take its time. */
  decide: (request: ProxiedRequest) => Fate | undefined | Promise<Fate | undefined>;
  readonly close: () => Promise<void>;
}

export async function createLossyProxy(): Promise<LossyProxy> {
  const direct = inject("storageConnectionString");
  const upstream = new URL(/TableEndpoint=([^;]+)/.exec(direct)?.[1] ?? "");
  const requests: ProxiedRequest[] = [];
  const server = createServer((incoming, outgoing) => {
    const respond = async (): Promise<void> => {
      const body = await buffer(incoming);
      const seen: ProxiedRequest = {
        method: incoming.method ?? "",
        path: incoming.url ?? "",
        headers: incoming.headers,
        body: body.toString("utf8"),
      };
      requests.push(seen);
      const fate = (await proxy.decide(seen)) ?? { kind: "pass" };
      if (fate.kind === "hang") return;
      if (fate.kind === "loseRequest") {
        incoming.socket.destroy();
        return;
      }
      if (fate.kind === "answer") {
        outgoing.writeHead(fate.status, { "content-type": "application/json", ...fate.headers });
        outgoing.end(
          JSON.stringify({
            "odata.error": { code: fate.code, message: { lang: "en-US", value: fate.code } },
          }),
        );
        return;
      }
      const answer = await forward(upstream, seen, body);
      if (fate.kind === "loseAnswer") {
        incoming.socket.destroy();
        return;
      }
      outgoing.writeHead(answer.status, { ...answer.headers, ...fate.headers });
      outgoing.end(answer.body);
    };
    respond().catch(() => incoming.socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const proxy: LossyProxy = {
    connectionString: direct.replace(upstream.host, `127.0.0.1:${address.port}`),
    requests,
    decide: () => undefined,
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return proxy;
}

async function forward(upstream: URL, { method, path, headers }: ProxiedRequest, body: Buffer) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    httpRequest(
      {
        host: upstream.hostname,
        port: upstream.port,
        method,
        path,
        headers: { ...headers, host: upstream.host },
        agent: false,
      },
      resolve,
    )
      .on("error", reject)
      .end(body);
  });
  const { connection: _, "keep-alive": __, "transfer-encoding": ___, ...kept } = response.headers;
  return { status: response.statusCode ?? 500, headers: kept, body: await buffer(response) };
}
