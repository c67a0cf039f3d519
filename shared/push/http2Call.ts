// One POST over HTTP/2 (RFC 9113): a stream of a session. I/O: that stream.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import { toFlatHeaders } from "../base/httpClient.ts";
import { type HttpCall, MAX_ANSWER_BYTES, toAnswerText, type TransportAnswer } from "./httpCall.ts";

const {
  HTTP2_HEADER_AUTHORITY,
  HTTP2_HEADER_CONTENT_LENGTH,
  HTTP2_HEADER_METHOD,
  HTTP2_HEADER_PATH,
  HTTP2_HEADER_SCHEME,
  HTTP2_HEADER_STATUS,
  NGHTTP2_CANCEL,
  NGHTTP2_HTTP_1_1_REQUIRED,
  NGHTTP2_NO_ERROR,
  NGHTTP2_REFUSED_STREAM,
  NGHTTP2_STREAM_STATE_IDLE,
} = constants;

/** The type of HEADERS frames (§6.2). */
const HEADERS_FRAME = 1;

/**
 * The server did not process the call, so it may be made again (RFC 9113 §8.7): it refused the stream, announced with
 * GOAWAY that it ignores it, demands HTTP/1.1 (§7), or never received it.
 */
export class UnprocessedError extends Error {
  readonly code: "REFUSED_STREAM" | "HTTP_1_1_REQUIRED";

  constructor(code: UnprocessedError["code"]) {
    super("the server did not process the call");
    this.code = code;
  }
}

/**
 * Resolves with the final answer; 1xx answers are ignored. If the body is longer than 4 KiB, the stream is cancelled and the
 * first 4 KiB are returned.
 * Rejects with UnprocessedError, the signal's reason, or the error of the stream or session. Calls `onHead` when the
 * header section of the final answer arrives. Each call adds
 * one `goaway` listener to the session while it is in progress.
 */
export function postOnSession(
  session: ClientHttp2Session,
  call: HttpCall,
  onHead: () => void,
): Promise<TransportAnswer> {
  const { body, signal } = call;
  return new Promise((resolve, reject) => {
    const stream = session.request(toRequestHeaders(call));
    const chunks: Buffer[] = [];
    let size = 0;
    let head: IncomingHttpHeaders | undefined;
    const end: End = {};
    const abort = () => {
      stream.close(NGHTTP2_CANCEL);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    const onGoaway = (code: number, lastStreamId: number) => {
      end.goaway ??= { code, lastStreamId };
      // This call still waits because of the peer's limit on streams. After GOAWAY, nghttp2 opens no stream.
      if (stream.closed || stream.state.state !== NGHTTP2_STREAM_STATE_IDLE) return;
      end.isUnsent = true;
      stream.close(NGHTTP2_CANCEL);
      stream.destroy(); // `close` waits until the body is sent
    };
    session.on("goaway", onGoaway);
    stream.on("frameError", (type) => {
      if (type === HEADERS_FRAME) end.isUnsent = true;
    });
    stream.on("response", (headers) => {
      head = headers;
      onHead();
    });
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES) stream.close(NGHTTP2_CANCEL); // the session goes on (R136)
    });
    stream.on("error", (error) => {
      end.failure = error;
    });
    // Comes last, whatever happens to the stream.
    stream.on("close", () => {
      signal.removeEventListener("abort", abort);
      session.off("goaway", onGoaway);
      const isComplete = size > MAX_ANSWER_BYTES || stream.rstCode === NGHTTP2_NO_ERROR;
      if (head === undefined) reject(toUnprocessed(stream, end) ?? toError(end));
      else if (end.failure === undefined && isComplete) resolve(toAnswer(head, chunks));
      else reject(toError(end));
    });
    stream.end(body);
  });
}

/** §8.3.1: pseudo-fields in place of the request line and of Host. Node writes names in lower case, as §8.2 demands. */
function toRequestHeaders({ url, headers, body }: HttpCall): Record<string, string | number> {
  return {
    [HTTP2_HEADER_METHOD]: "POST",
    [HTTP2_HEADER_SCHEME]: "https",
    [HTTP2_HEADER_AUTHORITY]: url.host,
    [HTTP2_HEADER_PATH]: url.pathname + url.search,
    ...headers,
    [HTTP2_HEADER_CONTENT_LENGTH]: body.byteLength,
  };
}

function toAnswer(head: IncomingHttpHeaders, chunks: readonly Buffer[]): TransportAnswer {
  const { [HTTP2_HEADER_STATUS]: status, ...headers } = head;
  return { status: Number(status), headers: toFlatHeaders(headers), body: toAnswerText(chunks) };
}

/** What is known of a stream that ended. */
interface End {
  failure?: Error;
  /** nghttp2 never sent its HEADERS. */
  isUnsent?: boolean;
  goaway?: { readonly code: number; readonly lastStreamId: number };
}

/**
 * Decides about a stream that ended before the head of an answer. After a GOAWAY with an error, Node reports that error for
 * every stream of the session. Only the last stream ID then shows which streams the server ignored (§6.8).
 */
function toUnprocessed(
  { id = 0, rstCode }: ClientHttp2Stream,
  { isUnsent, goaway }: End,
): UnprocessedError | undefined {
  const isEnded = goaway !== undefined && goaway.code !== NGHTTP2_NO_ERROR;
  const code = isEnded ? goaway.code : rstCode;
  const isIgnored = isUnsent === true || (isEnded && id > goaway.lastStreamId);
  if (isEnded && !isIgnored) return undefined;
  if (code === NGHTTP2_HTTP_1_1_REQUIRED) return new UnprocessedError("HTTP_1_1_REQUIRED");
  // Node reports a stream above the last one of a GOAWAY without an error as refused.
  return isIgnored || code === NGHTTP2_REFUSED_STREAM ? new UnprocessedError("REFUSED_STREAM") : undefined;
}

function toError({ failure }: End): Error {
  return failure ?? Object.assign(new Error("the stream ended without an answer"), { code: "ECONNRESET" });
}
