// One HTTP request to the host, read as the real host reads it, and the one place where an answer's head is written.
import type { IncomingMessage, ServerResponse } from "node:http";

/** Names and values in turn, as Node gives raw headers. */
export type HeaderPairs = readonly (readonly [name: string, value: string])[];

export interface HttpCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  /** Absolute, normalised: no dot segments. */
  readonly url: URL;
  /** By lower-case name; repeated lines are joined with a comma, `authorization` too (Node itself keeps the first). */
  readonly headers: Readonly<Record<string, string>>;
  /** Headers of the host itself on this answer; they win over the app's. */
  readonly hostHeaders: HeaderPairs;
  /** host.json's customHeaders; the app's own win over them. */
  readonly customHeaders: HeaderPairs;
}

/** What a request is refused for before anything else is looked at; undefined: nothing is wrong. */
export function findBadRequest(request: IncomingMessage): number | undefined {
  if (request.rawHeaders.length / 2 > MAX_HEADER_LINES) return 431;
  if (`${request.method} ${request.url} HTTP/1.1`.length > MAX_REQUEST_LINE_BYTES) return 414;
  const hosts = toPairs(request.rawHeaders).filter(([name]) => name.toLowerCase() === "host");
  return hosts.length > 1 ? 400 : undefined;
}

// The defaults of the real host's web server (Kestrel).
export const MAX_HEADER_BYTES = 32_768;
const MAX_HEADER_LINES = 100;
const MAX_REQUEST_LINE_BYTES = 8_192;

export function toPairs(rawHeaders: readonly string[]): HeaderPairs {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    pairs.push([rawHeaders[at] ?? "", rawHeaders[at + 1] ?? ""]);
  return pairs;
}

export function toJoinedHeaders(pairs: HeaderPairs): Readonly<Record<string, string>> {
  const joined = new Map<string, string>();
  for (const [name, value] of pairs) {
    const lower = name.toLowerCase();
    const before = joined.get(lower);
    joined.set(lower, before === undefined ? value : `${before},${value}`);
  }
  return Object.fromEntries(joined);
}

/** Undefined when there is no making sense of the target. */
export function toUrl(request: IncomingMessage, fallbackHost: string): URL | undefined {
  const target = request.url ?? "";
  const named = request.headers.host ?? "";
  const host = named === "" ? fallbackHost : named;
  if (/[/?#@\\]/.test(host)) return undefined; // would become part of the path
  // Put together as text: resolved against a base, `//other/path` would name another host.
  const text = target.startsWith("/") ? `http://${host}${target}` : target;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : undefined;
}

/** Headers that belong to one connection and are never passed on (RFC 9110 §7.6.1). */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

export function withoutHopByHop(pairs: HeaderPairs): HeaderPairs {
  const named = pairs
    .filter(([name]) => name.toLowerCase() === "connection")
    .flatMap(([, value]) => value.split(",").map((option) => option.trim().toLowerCase()));
  const dropped = new Set([...HOP_BY_HOP, ...named]);
  return pairs.filter(([name]) => !dropped.has(name.toLowerCase()));
}

/** One line or several of one name, as Node takes them. */
export function toHeaderValue(pairs: HeaderPairs): string | string[] {
  const [first, ...others] = pairs.map(([, value]) => value);
  return others.length === 0 ? (first ?? "") : [first ?? "", ...others];
}

/** Writes status and headers, the host's own among them. */
export function writeHead(
  { response, hostHeaders, customHeaders }: Pick<HttpCall, "response" | "hostHeaders" | "customHeaders">,
  status: number,
  headers: HeaderPairs = [],
): void {
  for (const [name, value] of customHeaders) response.setHeader(name, value);
  for (const [name, pairs] of Map.groupBy(headers, ([given]) => given.toLowerCase()))
    response.setHeader(name, toHeaderValue(pairs));
  for (const [name, value] of hostHeaders)
    if (name === "vary") response.appendHeader(name, value);
    else response.setHeader(name, value);
  response.writeHead(status);
}

/** An answer of the host itself: no body. Not when an answer has begun already. */
export function answerEmpty(call: Parameters<typeof writeHead>[0], status: number): void {
  if (call.response.headersSent || call.response.destroyed) return;
  for (const name of call.response.getHeaderNames()) call.response.removeHeader(name);
  writeHead(call, status, status === 204 ? [] : [["content-length", "0"]]);
  call.response.end();
}

/** For an answer that owes nothing to the request. */
export function toBareCall(response: ServerResponse): Parameters<typeof writeHead>[0] {
  return { response, hostHeaders: [], customHeaders: [] };
}

/** Resolves when the answer is out or the client is gone. */
export async function whenClosed({ response }: Pick<HttpCall, "response">): Promise<void> {
  if (response.closed) return;
  await new Promise<void>((resolve) => response.once("close", resolve));
}
