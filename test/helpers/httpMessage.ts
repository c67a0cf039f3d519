// HTTP/1.1 messages in a stream of bytes: where one ends (RFC 9112 §6.3), and what it says. Only as Node.js's own
// clients and servers speak it: no 1xx, no upgrade, no body that ends with its connection. No I/O.

export interface HttpMessage {
  /** The first line. */
  readonly startLine: string;
  /** Names in lower case; what came several times is joined by commas. */
  readonly headers: Readonly<Record<string, string>>;
  /** Without the framing of chunks. */
  readonly body: Buffer;
  /** All of it, as it came. */
  readonly bytes: Buffer;
}

interface Taken {
  readonly message: HttpMessage;
  /** What stands behind it. */
  readonly rest: Buffer;
}

/** @throws Error for chunks that are none. `undefined`: it has not ended yet. */
export function takeRequest(stream: Buffer): Taken | undefined {
  return take(stream, () => false);
}

/** The same of an answer, whose body also depends on the request's method. */
export function takeAnswer(stream: Buffer, method: string): Taken | undefined {
  return take(stream, (startLine) => method === "HEAD" || /^\S+ (?:204|304)\b/.test(startLine));
}

function take(stream: Buffer, isBodiless: (startLine: string) => boolean): Taken | undefined {
  const headEnd = stream.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [startLine = "", ...lines] = stream.toString("latin1", 0, headEnd).split("\r\n");
  const headers = toHeaders(lines);
  const content = stream.subarray(headEnd + 4);
  let body: Body | undefined = { body: Buffer.alloc(0), length: 0 };
  if (!isBodiless(startLine))
    body =
      headers["transfer-encoding"] === undefined
        ? takeFixed(content, Number(headers["content-length"] ?? 0))
        : takeChunks(content);
  if (body === undefined) return undefined;
  const end = headEnd + 4 + body.length;
  return {
    message: { startLine, headers, body: body.body, bytes: stream.subarray(0, end) },
    rest: stream.subarray(end),
  };
}

interface Body {
  readonly body: Buffer;
  /** In the stream. */
  readonly length: number;
}

function takeFixed(content: Buffer, length: number): Body | undefined {
  return content.length < length ? undefined : { body: content.subarray(0, length), length };
}

function takeChunks(content: Buffer): Body | undefined {
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = content.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(content.toString("latin1", at, lineEnd), 16);
    if (Number.isNaN(size)) throw new Error("not a chunk");
    if (size === 0) {
      const end = content.indexOf("\r\n\r\n", lineEnd); // behind the trailers, if there are any
      return end < 0 ? undefined : { body: Buffer.concat(chunks), length: end + 4 };
    }
    const start = lineEnd + 2;
    if (content.length < start + size + 2) return undefined;
    chunks.push(content.subarray(start, start + size));
    at = start + size + 2;
  }
}

function toHeaders(lines: readonly string[]): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}
