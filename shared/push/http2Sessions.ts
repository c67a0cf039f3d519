// Connections for HTTP/2 (RFC 9113), one to each origin. If a server chooses HTTP/1.1 in the TLS handshake (ALPN,
// RFC 7301), http1Connections.ts takes over the connection. I/O: those connections.
import { type ClientHttp2Session, connect as startSession, constants } from "node:http2";
import { isIP, type LookupFunction } from "node:net";
import { connect as startTls, type SecureContext, type TLSSocket } from "node:tls";
import { withDeadline } from "../base/deadline.ts";
import { toBareHost, toPort } from "../base/url.ts";
import type { Http1Connections } from "./http1Connections.ts";
import { postOnSession, UnprocessedError } from "./http2Call.ts";
import type { HttpCall, TransportAnswer } from "./httpCall.ts";

export interface Http2Options {
  readonly secureContext: SecureContext;
  /** How long an idle session is kept, in milliseconds. */
  readonly keepAliveMs: number;
  /** The longest that opening a session, or a call, may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Makes the calls to servers that choose HTTP/1.1. */
  readonly http1: Http1Connections;
}

export interface Http2Sessions {
  /** Over the protocol that the server chooses. Rejects with a network, TLS or HTTP/2 error, or the signal's reason. */
  readonly post: (call: HttpCall) => Promise<TransportAnswer>;
  readonly close: () => void;
}

interface Session {
  /** Whether it takes another call. */
  readonly isOpen: () => boolean;
  readonly post: (call: HttpCall) => Promise<TransportAnswer>;
  /** Calls in flight fail. */
  readonly end: () => void;
}

/** A connection that is being made. When no call waits for it any more, it is released: if it is not ready by then, it ends. */
interface Opening {
  readonly session: Promise<Session | undefined>;
  readonly release: () => void;
  waiting: number;
}

interface State extends Http2Options {
  /** The session that takes the calls to an origin. One that ends is replaced by the next call. */
  readonly sessions: Map<string, Session>;
  readonly opening: Map<string, Opening>;
  /** Ends each open connection, including those that take no more calls. */
  readonly ends: Map<TLSSocket, () => void>;
}

/** A call that the server did not process is made once more; then the outbox tries again. */
const MAX_ATTEMPTS = 2;
/**
 * The same as Node's limit for HTTP/1.1. A longer header section fails its call. Until the server has acknowledged this
 * (§6.5.3), Node's own limit of 64 KiB applies.
 */
const MAX_HEADER_BYTES = 16_384;
/** A session is replaced after this many calls in a row without an answer, even if other data arrives on it. */
const MAX_UNANSWERED = 3;
const MISDIRECTED = 421;

/**
 * When the peer's limit on concurrent streams is reached, nghttp2 makes further calls wait. An idle session is closed after
 * `keepAliveMs`. A session takes no more calls, and is closed after its last one, when
 *
 * - the server announces its end (GOAWAY, §6.8),
 * - the server says that it is the wrong one for the origin (421, RFC 9110 §15.5.20),
 * - a call gets no answer, and nothing else arrives meanwhile,
 * - three calls get no answer, and no other call gets one meanwhile.
 *
 * A call that is cut off before half of `timeoutMs` is no evidence.
 */
export function createHttp2Sessions(options: Http2Options): Http2Sessions {
  const state: State = { ...options, sessions: new Map(), opening: new Map(), ends: new Map() };
  return {
    post: (call) => post(state, call),
    close: () => {
      for (const end of state.ends.values()) end();
    },
  };
}

async function post(state: State, call: HttpCall): Promise<TransportAnswer> {
  for (let attempt = 1; ; attempt++) {
    const session = await find(state, call);
    if (session === undefined) return state.http1.post(call);
    try {
      return await session.post(call);
    } catch (error) {
      if (!(error instanceof UnprocessedError)) throw error;
      if (error.code === "HTTP_1_1_REQUIRED") state.http1.rememberDemand(call.url);
      if (attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

/** The session for a call; nothing where the server chose HTTP/1.1. Calls that come while a session opens wait for it. */
async function find(state: State, { url, lookup, signal }: HttpCall): Promise<Session | undefined> {
  const { http1, sessions, opening } = state;
  if (http1.isHttp1Only(url)) return undefined;
  const session = sessions.get(url.origin);
  if (session?.isOpen() === true) return session;
  const next = opening.get(url.origin) ?? startOpening(state, url, lookup);
  next.waiting++;
  try {
    return await withDeadline(next.session, signal);
  } finally {
    if (--next.waiting === 0) next.release();
  }
}

function startOpening(state: State, url: URL, lookup: LookupFunction): Opening {
  const ended = new AbortController();
  const timer = setTimeout(() => ended.abort(), state.timeoutMs);
  const opening: Opening = {
    session: open(state, url, lookup, ended.signal),
    release: () => {
      clearTimeout(timer);
      ended.abort(); // changes nothing once the connection is made
      state.opening.delete(url.origin);
    },
    waiting: 0,
  };
  state.opening.set(url.origin, opening);
  return opening;
}

async function open(
  state: State,
  url: URL,
  lookup: LookupFunction,
  signal: AbortSignal,
): Promise<Session | undefined> {
  const { secureContext, http1, sessions, ends } = state;
  const host = toBareHost(url);
  const socket = startTls({
    host,
    port: toPort(url),
    ...(isIP(host) === 0 ? { servername: host } : {}), // RFC 6066 §3 allows no address there
    ALPNProtocols: ["h2", "http/1.1"],
    secureContext,
    rejectUnauthorized: true, // also where NODE_TLS_REJECT_UNAUTHORIZED says otherwise (R135)
    lookup,
  });
  ends.set(socket, () => socket.destroy(toError("ECONNRESET")));
  socket.once("close", () => ends.delete(socket));
  try {
    await waitFor(socket, "secureConnect", signal);
    if (socket.alpnProtocol !== "h2") {
      ends.delete(socket);
      http1.adopt(url, socket);
      return undefined;
    }
    const http2 = startSession(url.origin, {
      createConnection: () => socket,
      settings: { enablePush: false, maxHeaderListSize: MAX_HEADER_BYTES },
    });
    http2.on("goaway", (code) => {
      if (code === constants.NGHTTP2_HTTP_1_1_REQUIRED) http1.rememberDemand(url);
    });
    await waitFor(http2, "remoteSettings", signal);
    const session = createSession(http2, socket, state);
    ends.set(socket, session.end);
    sessions.set(url.origin, session);
    socket.once("close", () => {
      if (sessions.get(url.origin) === session) sessions.delete(url.origin);
    });
    return session;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/**
 * Resolves at the event. Rejects if the emitter fails or closes first, or if the signal aborts. The error listener stays, so
 * that a later error does not end the process; "close" follows it.
 */
function waitFor(
  emitter: TLSSocket | ClientHttp2Session,
  event: "secureConnect" | "remoteSettings",
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    emitter.once(event, () => resolve());
    emitter.on("error", reject);
    emitter.once("close", () => reject(toError("ECONNRESET")));
    const abort = () => reject(toError("timeout"));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

function createSession(
  http2: ClientHttp2Session,
  socket: TLSSocket,
  { keepAliveMs, timeoutMs }: Http2Options,
): Session {
  let calls = 0;
  const end = () => {
    http2.destroy();
    socket.destroy(); // `destroy` of the session waits until the peer has taken all that was written
  };
  const idle = setTimeout(() => {
    if (calls === 0) end();
  }, keepAliveMs).unref();
  socket.once("close", () => clearTimeout(idle));
  http2.setMaxListeners(0); // each call in progress has one
  http2.unref(); // an idle connection does not keep the process alive
  const watcher = createWatcher(socket, timeoutMs);
  const isOpen = () => !http2.closed && !http2.destroyed;
  const begin = () => {
    if (calls++ === 0) http2.ref();
  };
  const finish = () => {
    if (--calls > 0) return;
    if (!isOpen()) return end();
    http2.unref();
    idle.refresh();
  };
  return {
    isOpen,
    post: async (call) => {
      // The signal may have aborted, or the session closed, while the call waited.
      call.signal.throwIfAborted();
      if (!isOpen()) throw new UnprocessedError("REFUSED_STREAM");
      begin();
      const watch = watcher.begin();
      try {
        const answer = await postOnSession(http2, call, watch.answered);
        if (answer.status === MISDIRECTED) http2.close();
        return answer;
      } catch (error) {
        if (call.signal.aborted && watch.recordNoAnswer()) http2.close();
        throw error;
      } finally {
        finish();
      }
    },
    end,
  };
}

interface Watch {
  readonly answered: () => void;
  /** Records that the call ended without an answer. Whether the connection is to be replaced. Call it at most once. */
  readonly recordNoAnswer: () => boolean;
}

/** Finds dead connections: silent ones, which TCP notices only after minutes, and those whose server processes no calls. */
function createWatcher(socket: TLSSocket, timeoutMs: number): { readonly begin: () => Watch } {
  let unanswered = 0;
  return {
    begin: () => {
      const startedMs = performance.now();
      const bytesBefore = socket.bytesRead;
      let isAnswered = false;
      return {
        answered: () => {
          isAnswered = true;
          unanswered = 0;
        },
        recordNoAnswer: () => {
          if (isAnswered || performance.now() - startedMs < timeoutMs / 2) return false;
          return ++unanswered >= MAX_UNANSWERED || socket.bytesRead === bytesBefore;
        },
      };
    },
  };
}

function toError(code: string): Error {
  return Object.assign(new Error("no connection"), { code });
}
