// Calls the service with the token that the worker keeps. It reads status and body alone: no response header that a
// browser hides from other origins (https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name). I/O: HTTPS.
import type { Failure, Session } from "../messages.ts";

export type Answer =
  { readonly isOk: true; readonly body: unknown } | { readonly isOk: false; readonly failure: Failure };

export interface Request {
  readonly method: "GET" | "PUT" | "DELETE";
  /** Under the API's address, without a slash before it. */
  readonly path: string;
  readonly body?: object;
}

/** Three attempts stay well under the half minute after which browsers stop a worker. */
const TIMEOUT_MS = 5_000;

/** Makes one call; it does not throw. */
export async function callApi(
  session: Session | undefined,
  { method, path, body }: Request,
): Promise<Answer> {
  if (session === undefined) return { isOk: false, failure: { reason: "token_missing" } };
  try {
    const response = await fetch(`${session.apiUrl}/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${session.accessToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer = parseJson(await response.text());
    if (response.ok) return { isOk: true, body: answer };
    const reason = readText(answer, "reason") ?? "unknown";
    return { isOk: false, failure: { reason, status: response.status } };
  } catch {
    return { isOk: false, failure: { reason: "offline" } };
  }
}

/** Whether the same call may succeed in a moment. */
export function isTemporary({ reason, status }: Failure): boolean {
  return reason === "offline" || status === 429 || (status !== undefined && status >= 500);
}

/** A text member of a JSON value; nothing where there is none. */
export function readText(value: unknown, name: string): string | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  const member = (value as Readonly<Record<string, unknown>>)[name];
  return typeof member === "string" ? member : undefined;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
