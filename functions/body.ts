// Reading request bodies: JSON in UTF-8, of a bounded size, counted while it arrives. I/O: the request's stream.
import type { HttpRequest } from "@azure/functions";
import { type ParsedBody, parseJsonBody } from "../shared/json.ts";
import { withDeadline } from "../shared/deadline.ts";
import type { Failure } from "../shared/problem.ts";
import { err, ok, type Result } from "../shared/result.ts";

/** For every body but sendSecure's. */
export const SMALL_BODY_BYTES = 32 * 1024;

/** What is read of a body over its limit before the answer: many clients read none before they have sent all. */
const MAX_DISCARDED_BYTES = 1024 * 1024;
const DRAIN_TIMEOUT_MS = 10_000;

/**
 * The JSON body of a request of at most `limit` bytes; `verbatim` names the member whose source text is kept.
 * A longer one is read on, thrown away, for at most 1 MiB.
 */
export async function readJson(
  request: HttpRequest,
  limit: number,
  signal: AbortSignal,
  verbatim?: string,
): Promise<Result<ParsedBody, Failure>> {
  if (!isJson(request.headers.get("content-type"))) return err({ reason: "media_type_unsupported" });
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.trim().toLowerCase() !== "identity")
    return err({ reason: "content_encoding_unsupported" });
  const bytes = await readBytes(request.body, limit, signal);
  return bytes.ok ? parseJsonBody(bytes.value, verbatim) : bytes;
}

/** `application/json`, without parameters or with `charset=utf-8`, in any letter case (RFC 9110 §8.3). */
function isJson(contentType: string | null): boolean {
  const [type, ...parameters] = (contentType ?? "").toLowerCase().split(";");
  return (
    type?.trim() === "application/json" &&
    parameters.every((parameter) => /^\s*(?:charset=(?:utf-8|"utf-8"))?\s*$/.test(parameter))
  );
}

async function readBytes(
  body: HttpRequest["body"],
  limit: number,
  signal: AbortSignal,
): Promise<Result<Uint8Array, Failure>> {
  if (body === null) return ok(new Uint8Array());
  const reader: Reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await withDeadline(reader.read(), signal);
      if (done || value === undefined) break;
      length += value.length;
      if (length <= limit) chunks.push(value);
      else if (length > limit + MAX_DISCARDED_BYTES) {
        drain(reader);
        break;
      }
    }
  } catch {
    if (!signal.aborted) return err({ reason: "body_invalid", detail: "the body ended before its time" });
    drain(reader);
    return err({ reason: "body_too_slow" });
  }
  return length > limit ? err({ reason: "body_too_large" }) : ok(Buffer.concat(chunks));
}

interface Reader {
  readonly read: () => Promise<{ readonly done: boolean; readonly value?: Uint8Array }>;
  readonly cancel: () => Promise<void>;
}

/**
 * Reads on behind the answer, and throws it away. The host keeps its connections to us for later requests: what was
 * left in one would keep those waiting, and to cancel would cut it before the answer is out. After a while it is cut.
 */
function drain(reader: Reader): void {
  const signal = AbortSignal.timeout(DRAIN_TIMEOUT_MS);
  const readOn = async () => {
    while (!(await withDeadline(reader.read(), signal)).done);
  };
  readOn()
    .catch(() => reader.cancel())
    .catch(() => undefined);
}
