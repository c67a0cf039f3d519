// One POST to a push service, as HTTP/1.1 (http1Connections.ts) and HTTP/2 (http2Sessions.ts) both make it. No I/O.
import type { LookupFunction } from "node:net";

export interface HttpCall {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Returns only addresses that may be connected to (R133). */
  readonly lookup: LookupFunction;
  /** Ends the call. */
  readonly signal: AbortSignal;
}

export interface TransportAnswer {
  readonly status: number;
  /** Names in lower case. Values of fields with the same name are joined by commas. */
  readonly headers: Readonly<Record<string, string>>;
  /** At most the first 4 KiB. */
  readonly body: string;
}

/** What is read of an answer (R136). */
export const MAX_ANSWER_BYTES = 4096;

/** The first 4 KiB of an answer. */
export function toAnswerText(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString("utf8");
}
