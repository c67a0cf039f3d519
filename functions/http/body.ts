// Reading request bodies: JSON in UTF-8, of a bounded size, counted while it arrives. I/O: the request's stream.
import type { HttpRequest } from "@azure/functions";
import { type ParsedBody, parseJsonBody } from "../../shared/base/json.ts";
import { withDeadline } from "../../shared/base/deadline.ts";
import type { Failure } from "../../shared/problem.ts";
import { err, ok, type Result } from "../../shared/base/result.ts";

/** For every body but sendSecure's. */
export const SMALL_BODY_BYTES = 32 * 1024;

/** What is read of a body over its limit before the answer: many clients read none before they have sent all. */
const MAX_DISCARDED_BYTES = 1024 * 1024;
const CUT_AFTER_MS = 20_000;

/**
 * The JSON body of a request of at most `limit` bytes; `verbatim` names the member whose source text is kept.
 * A longer one is answered after at most 1 MiB more, and read on behind the answer.
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
  try {
    return await withDeadline(collect(body.getReader(), limit), signal);
  } catch {
    return err({ reason: "body_too_slow" });
  }
}

interface Reader {
  readonly read: () => Promise<{ readonly done: boolean; readonly value?: Uint8Array }>;
  readonly cancel: () => Promise<void>;
}

/**
 * What a body holds, as soon as that is known. It reads to the end in any case, behind the answer if need be, and
 * throws the rest away: the host keeps its connections to us for later requests, which what was left in one would
 * keep waiting, and to cancel would cut it before the answer is out. A body that takes too long is cut at last.
 */
function collect(reader: Reader, limit: number): Promise<Result<Uint8Array, Failure>> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => void reader.cancel().catch(() => undefined), CUT_AFTER_MS).unref();
    let bytes: Buffer = Buffer.alloc(0);
    let length = 0;
    const read = async () => {
      for (;;) {
        const { done, value } = await reader.read();
        if (done || value === undefined) break;
        if (length + value.length <= limit) bytes = append(bytes, length, value, limit);
        else bytes = Buffer.alloc(0);
        length += value.length;
        // oxlint-disable-next-line promise/no-multiple-resolved -- the first one counts; reading goes on
        if (length > limit + MAX_DISCARDED_BYTES) resolve(err({ reason: "body_too_large" }));
      }
      // oxlint-disable-next-line promise/no-multiple-resolved
      resolve(length > limit ? err({ reason: "body_too_large" }) : ok(bytes.subarray(0, length)));
    };
    read()
      .catch(() => resolve(err({ reason: "body_invalid", detail: "the body ended before its time" })))
      .finally(() => clearTimeout(cut));
  });
}

/** Into one buffer that doubles: a body may come byte by byte. */
function append(bytes: Buffer, length: number, value: Uint8Array, limit: number): Buffer {
  const needed = length + value.length;
  const grown =
    needed <= bytes.length ? bytes : Buffer.alloc(Math.min(limit, Math.max(needed, 2 * bytes.length)));
  if (grown !== bytes) bytes.copy(grown, 0, 0, length);
  grown.set(value, length);
  return grown;
}
