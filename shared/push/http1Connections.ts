// Calls over HTTP/1.1, on connections that are kept alive. I/O: those connections.
import type { IncomingMessage } from "node:http";
import { Agent, request as startRequest } from "node:https";
import type { SecureContext, TLSSocket } from "node:tls";
import { toFlatHeaders } from "../base/httpClient.ts";
import { toBareHost, toPort } from "../base/url.ts";
import { type HttpCall, MAX_ANSWER_BYTES, toAnswerText, type TransportAnswer } from "./httpCall.ts";

export interface Http1Options {
  readonly secureContext: SecureContext;
  /** How long an idle connection is kept, in milliseconds. */
  readonly keepAliveMs: number;
  /** How long a server's choice of HTTP/1.1 is remembered, in milliseconds. */
  readonly choiceMs: number;
}

export interface Http1Connections {
  /** Rejects with the error of the network, of TLS or of the signal. */
  readonly post: (call: HttpCall) => Promise<TransportAnswer>;
  /** Takes over a connection whose server chose HTTP/1.1. The next call to this origin that needs a new one uses it. */
  readonly adopt: (url: URL, socket: TLSSocket) => void;
  /** Remembers, until the process ends, that the server demands HTTP/1.1. */
  readonly rememberDemand: (url: URL) => void;
  /** Whether calls to this URL's origin use HTTP/1.1, because its server demands it or recently chose it. */
  readonly isHttp1Only: (url: URL) => boolean;
  readonly close: () => void;
}

/** The most connections to one origin. Further calls wait for a free one. */
const MAX_CONNECTIONS = 50;

export function createHttp1Connections({
  secureContext,
  keepAliveMs,
  choiceMs,
}: Http1Options): Http1Connections {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    timeout: keepAliveMs,
    secureContext,
    rejectUnauthorized: true, // also where NODE_TLS_REJECT_UNAUTHORIZED says otherwise (R135)
  });
  /** Until when the choice of each origin is valid, on the clock of `performance`. */
  const chosen = new Map<string, number>();
  /** Adopted connections that no call has used yet, by `host:port`. */
  const waiting = new Map<string, TLSSocket>();
  const connect = agent.createConnection.bind(agent);
  // Node's documentation of http.Agent allows replacing this method.
  agent.createConnection = (options, callback) => {
    const key = `${options.host}:${options.port}`;
    const adopted = waiting.get(key);
    waiting.delete(key);
    if (adopted === undefined || adopted.destroyed) return connect(options, callback);
    return adopted.ref();
  };
  return {
    post: async (call) => {
      try {
        return await post(agent, call);
      } catch (error) {
        const { origin } = call.url;
        // The server may no longer speak HTTP/1.1, so the next call negotiates again.
        if (!call.signal.aborted && chosen.get(origin) !== Infinity) chosen.delete(origin);
        throw error;
      }
    },
    adopt: (url, socket) => {
      const key = `${toBareHost(url)}:${toPort(url)}`;
      chosen.set(url.origin, performance.now() + choiceMs);
      waiting.set(key, socket);
      socket.setTimeout(keepAliveMs, () => {
        if (waiting.get(key) === socket) socket.destroy();
      });
      socket.once("close", () => {
        if (waiting.get(key) === socket) waiting.delete(key);
      });
      socket.setNoDelay(true).unref(); // like the agent's own sockets; the call that uses it calls ref()
    },
    rememberDemand: (url) => void chosen.set(url.origin, Infinity),
    isHttp1Only: (url) => (chosen.get(url.origin) ?? 0) > performance.now(),
    close: () => {
      for (const socket of waiting.values()) socket.destroy();
      agent.destroy();
    },
  };
}

async function post(
  agent: Agent,
  { url, headers, body, lookup, signal }: HttpCall,
): Promise<TransportAnswer> {
  const response = await new Promise<IncomingMessage>((answered, failed) => {
    const outgoing = startRequest(url, {
      method: "POST",
      headers: { ...headers, "content-length": body.byteLength },
      agent,
      lookup,
      signal,
    });
    outgoing.on("response", answered);
    outgoing.on("error", failed);
    outgoing.end(body);
  });
  const start = await readStart(response);
  return { status: response.statusCode ?? 0, headers: toFlatHeaders(response.headers), body: start };
}

/** The first 4 KiB of an answer; what is longer ends its connection (R136). */
async function readStart(body: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) break; // destroys the stream
  }
  return toAnswerText(chunks);
}
