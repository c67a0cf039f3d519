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
} = constants;

/**
 * The server did not process the call, so it may be made again (RFC 9113 §8.7): it refused the stream, announced with
 * GOAWAY that it ignores it, or demands HTTP/1.1 (§7).
 */
export class UnprocessedError extends Error {
  readonly code: "REFUSED_STREAM" | "HTTP_1_1_REQUIRED";

  constructor(code: UnprocessedError["code"]) {
    super("the server did not process the call");
    this.code = code;
  }
}

/**
 * Resolves with the final answer (1xx are ignored); of a body that is longer than 4 KiB, the stream is cancelled.
 * Rejects with UnprocessedError, the signal's reason, or the error of the stream or session.
 */
export function postOnSession(session: ClientHttp2Session, call: HttpCall): Promise<TransportAnswer> {
  const { body, signal } = call;
  return new Promise((resolve, reject) => {
    const stream = session.request(toRequestHeaders(call));
    const chunks: Buffer[] = [];
    let size = 0;
    let head: IncomingHttpHeaders | undefined;
    let failure: Error | undefined;
    const abort = () => {
      stream.close(NGHTTP2_CANCEL);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    stream.on("response", (headers) => {
      head = headers;
    });
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES) stream.close(NGHTTP2_CANCEL); // the session goes on (R136)
    });
    stream.on("error", (error) => {
      failure = error;
    });
    // Comes last, whatever happens to the stream.
    stream.on("close", () => {
      signal.removeEventListener("abort", abort);
      const isComplete = size > MAX_ANSWER_BYTES || stream.rstCode === NGHTTP2_NO_ERROR;
      if (head !== undefined && failure === undefined && isComplete) resolve(toAnswer(head, chunks));
      else reject(toError(stream, failure));
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

/** Node reports a stream above GOAWAY's last one as refused too. */
function toError({ rstCode }: ClientHttp2Stream, failure: Error | undefined): Error {
  if (rstCode === NGHTTP2_REFUSED_STREAM) return new UnprocessedError("REFUSED_STREAM");
  if (rstCode === NGHTTP2_HTTP_1_1_REQUIRED) return new UnprocessedError("HTTP_1_1_REQUIRED");
  return failure ?? Object.assign(new Error("the stream ended without an answer"), { code: "ECONNRESET" });
}
