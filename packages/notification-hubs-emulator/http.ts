// The hub emulator's HTTP, apart from what it means: paths, bodies and answers.
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Answer } from "./refusal.ts";

/** Enough for a batch: 64 KB of message and a thousand handles. */
export const MAX_BODY_BYTES = 2 ** 21;

export interface Target {
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
}

/** The token is checked against the very segments that are routed by. `undefined` for a path that is ambiguous. */
export function parseTarget(text: string): Target | undefined {
  const at = text.indexOf("?");
  const path = at < 0 ? text : text.slice(0, at);
  try {
    const segments = path
      .split("/")
      .filter((segment) => segment !== "")
      .map((segment) => decodeURIComponent(segment));
    if (!path.startsWith("/") || segments.some((segment) => /^\.{1,2}$|[/\\]/.test(segment)))
      return undefined;
    return { segments, query: new URLSearchParams(at < 0 ? "" : text.slice(at)) };
  } catch {
    return undefined;
  }
}

export function toHeader(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "object" ? value.join(", ") : value;
}

/** All of it, however much: a test may search what was received, and the caller is on this machine. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function writeAnswer(response: ServerResponse, trackingId: string, answer: Answer): void {
  const body = answer.body ?? "";
  response.writeHead(answer.status, {
    TrackingId: trackingId,
    "x-ms-correlation-request-id": randomUUID(),
    "X-Powered-By": "Azure Notification Hubs",
    Server: "Kestrel",
    // RFC 9110 §8.6: none with 204
    ...(answer.status === 204 ? {} : { "Content-Length": String(Buffer.byteLength(body)) }),
    ...answer.headers,
  });
  response.end(body);
}
