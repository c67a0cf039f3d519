// Reads request bodies: JSON in UTF-8 of a limited size, counted while it arrives. I/O: the request's stream.
import type { HttpRequest } from "@azure/functions";
import type * as z from "zod";
import { type ParsedBody, parseJsonBody } from "../../shared/base/json.ts";
import { withDeadline } from "../../shared/base/deadline.ts";
import type { Failure } from "../../shared/problem.ts";
import { err, ok, type Result } from "../../shared/base/result.ts";
import type { Call } from "./handler.ts";
import { parseInput } from "./parseInput.ts";

/** The limit of every body except sendSecure's. */
const SMALL_BODY_BYTES = 32 * 1024;

/** How much of a body over its limit is read before the answer. Many clients read no answer before they have sent all. */
const MAX_DISCARDED_BYTES = 1024 * 1024;
const CUT_AFTER_MS = 20_000;

/**
 * The JSON body of a request, at most `limit` bytes; `verbatim` names the member whose source text is kept. A longer body
 * is refused after at most 1 MiB more, and the rest is read and discarded after the answer.
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

/** The body of any call but sendSecure's, parsed by its schema. `rules` as in parseInput. */
export async function readInput<T>(
  { request, context }: Call,
  schema: z.ZodType<T>,
  rules: Readonly<Record<string, string>> = {},
): Promise<Result<T, Failure>> {
  const body = await readJson(request, SMALL_BODY_BYTES, context.signal);
  return body.ok ? parseInput("body_invalid", schema, body.value.value, rules) : body;
}

const PARAMETERS: ReadonlySet<string> = new Set(["", "charset=utf-8", 'charset="utf-8"']);

/** `application/json`, without parameters or with `charset=utf-8`, in any letter case (RFC 9110 §8.3). */
export function isJson(contentType: string | null): boolean {
  const [type, ...parameters] = (contentType ?? "")
    .toLowerCase()
    .split(";")
    .map((part) => part.trim());
  return type === "application/json" && parameters.every((parameter) => PARAMETERS.has(parameter));
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
 * The bytes of a body, or the refusal as soon as it is certain. The body is read to its end in any case, after the answer
 * if necessary, and discarded: the host uses its connection to us for later requests, which unread bytes would block, and
 * cancelling would cut the connection before the answer is written. A body that takes too long is cut in the end.
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
        if (length > limit + MAX_DISCARDED_BYTES) resolve(err(toTooLarge(limit)));
      }
      // oxlint-disable-next-line promise/no-multiple-resolved
      resolve(length > limit ? err(toTooLarge(limit)) : ok(bytes.subarray(0, length)));
    };
    read()
      .catch(() => resolve(err({ reason: "body_invalid", detail: "the body: ended too early" })))
      .finally(() => clearTimeout(cut));
  });
}

function toTooLarge(limit: number): Failure {
  return { reason: "body_too_large", detail: `the body: must be at most ${limit} bytes` };
}

/** Appends to a buffer that doubles, because a body may arrive byte by byte. */
function append(bytes: Buffer, length: number, value: Uint8Array, limit: number): Buffer {
  const needed = length + value.length;
  const grown =
    needed <= bytes.length ? bytes : Buffer.alloc(Math.min(limit, Math.max(needed, 2 * bytes.length)));
  if (grown !== bytes) bytes.copy(grown, 0, 0, length);
  grown.set(value, length);
  return grown;
}
