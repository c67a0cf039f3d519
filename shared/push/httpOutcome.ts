// What an answer's status means for every push service; each has some of its own beside these. No I/O.
// Source: RFC 8030 §8.4, RFC 9110 §15.
import type { TransportAnswer } from "./httpCall.ts";
import { parseRetryAfter } from "./retryAfter.ts";
import type { PushOutcome } from "./sender.ts";

export function toHttpOutcome({ status, headers }: TransportAnswer, now: Date): PushOutcome {
  const retryAfter = headers["retry-after"];
  if (status >= 200 && status < 300) return { kind: "accepted" };
  switch (status) {
    case 401:
    case 403:
      return { kind: "credentials", status };
    case 408:
    case 421: // the wrong server for this host; over HTTP/2 the next call opens a new connection (RFC 9110 §15.5.20)
    case 425:
      return { kind: "transient", cause: `status ${status}` };
    case 429:
      return { kind: "throttled", retryAfterSeconds: parseRetryAfter(retryAfter, now) };
  }
  if (status >= 400 && status < 500) return { kind: "message", status };
  // 5xx; and redirects, which are never followed (R134).
  return retryAfter === undefined
    ? { kind: "transient", cause: `status ${status}` }
    : { kind: "throttled", retryAfterSeconds: parseRetryAfter(retryAfter, now) };
}
