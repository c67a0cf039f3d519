// The client for back ends: sends notifications, asks for receipts, erases recipients. It needs Node.js 20 or later (or
// any runtime with `fetch` and Web Crypto) and no package. I/O: HTTPS to one service.
import type { Problem, Receipts, SendRequest, Sent } from "./types.ts";

export type * from "./types.ts";

export interface SenderOptions {
  /** The function app, without `/api`: `https://APP.azurewebsites.net`. */
  readonly url: string;
  /** A function key, or a source of app-only access tokens where the deployment asks for them. */
  readonly credential: { readonly functionKey: string } | { readonly getToken: () => Promise<string> };
  /** How long one call may take in all, retries included; the time of `getToken` is its own. Default: one minute. */
  readonly timeoutMs?: number;
  /** Replaces the global one, for tests and proxies. */
  readonly fetch?: typeof globalThis.fetch;
  /** Replaces the wait between attempts, for tests. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface SendOptions extends CallOptions {
  /**
   * Names this notification: any number of equal calls with one key, in any process, create one notification. Store it
   * with your own record if a send must survive a crash of the back end. Default: a random key for each call of
   * `sendSecure`, which all attempts of that call share.
   */
  readonly idempotencyKey?: string;
}

export interface Sender {
  /** @throws SecurePushError when the service refuses, or when no attempt succeeds in time. */
  readonly sendSecure: (request: SendRequest, options?: SendOptions) => Promise<Sent>;
  /** @throws SecurePushError as above. */
  readonly getReceipts: (id: string, to: readonly string[], options?: CallOptions) => Promise<Receipts>;
  /** Returns once the service has accepted the work; it erases within minutes. @throws SecurePushError as above. */
  readonly eraseRecipients: (to: readonly string[], options?: CallOptions) => Promise<void>;
}

/** Why a call failed. It never holds a payload, a key or a token. */
export class SecurePushError extends Error {
  override readonly name = "SecurePushError";
  /** The HTTP status; absent when no response arrived. */
  readonly status: number | undefined;
  /** The service's answer; absent when no response arrived, or when the Functions host answered by itself. */
  readonly problem: Problem | undefined;
  /** Quote it when you ask the operator of the service about this call. */
  readonly correlationId: string | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.status = details.status;
    this.problem = details.problem;
    this.correlationId = details.correlationId;
  }

  /** The stable reason of the service's answer, such as `body_invalid`. */
  get reason(): string | undefined {
    return this.problem?.reason;
  }
}

interface ErrorDetails {
  readonly status?: number;
  readonly problem?: Problem | undefined;
  readonly correlationId?: string | undefined;
  readonly cause?: unknown;
}

/** The service answers within 10 seconds; the rest is for the network. */
const ATTEMPT_TIMEOUT_MS = 15_000;
const DEFAULT_TIMEOUT_MS = 60_000;
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 10_000;
/** Worth another attempt: RFC 9110 §15.5.9, RFC 6585 §4, and errors of a gateway or of the service itself. */
const TEMPORARY: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

export function createSender(options: SenderOptions): Sender {
  const base = toBaseUrl(options.url);
  return {
    sendSecure: async (request, { signal, idempotencyKey = crypto.randomUUID() } = {}) => {
      if (request.payload === undefined) throw new TypeError("payload: is missing");
      const headers = { "idempotency-key": idempotencyKey };
      return readSent(
        (await call(options, { url: `${base}/notifications`, body: request, headers, signal })).body,
      );
    },
    getReceipts: async (id, to, { signal } = {}) =>
      readReceipts((await call(options, { url: `${base}/receipts`, body: { id, to }, signal })).body),
    eraseRecipients: async (to, { signal } = {}) => {
      const { status } = await call(options, { url: `${base}/recipients/erase`, body: { to }, signal });
      if (status !== 202) throw toForeignAnswer();
    },
  };
}

/** A key sent in clear text is lost, so only https is allowed, and http to this machine. */
function toBaseUrl(text: string): string {
  const url = new URL(text);
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLocal))
    throw new TypeError("url: must be https");
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}/api`;
}

interface Call {
  readonly url: string;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

/** Repeats a call until it succeeds, is refused for good, or has no time left. Every call here can be repeated safely. */
async function call(options: SenderOptions, { url, body, headers, signal }: Call): Promise<Answered> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, sleep = sleepFor } = options;
  const end = performance.now() + timeoutMs;
  const text = JSON.stringify(body);
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    const leftMs = end - performance.now();
    const limit = AbortSignal.timeout(Math.ceil(Math.max(1, Math.min(ATTEMPT_TIMEOUT_MS, leftMs))));
    const within = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    const result = await attemptCall(options, url, { body: text, headers: headers ?? {}, signal: within });
    if (result.kind === "answered") return result;
    signal?.throwIfAborted();
    const waitMs = result.retryAfterMs ?? toBackoffMs(attempt);
    if (result.kind === "refused" || performance.now() + waitMs >= end) throw result.error;
    await sleep(waitMs, signal ?? new AbortController().signal);
  }
}

interface Answered {
  readonly kind: "answered";
  readonly status: number;
  readonly body: unknown;
}

type Attempt =
  | Answered
  | {
      readonly kind: "refused" | "temporary";
      readonly error: SecurePushError;
      readonly retryAfterMs?: number | undefined;
    };

interface AttemptInit {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

async function attemptCall(
  { credential, fetch = globalThis.fetch }: SenderOptions,
  url: string,
  { body, headers, signal }: AttemptInit,
): Promise<Attempt> {
  const authorization: Record<string, string> =
    "functionKey" in credential
      ? { "x-functions-key": credential.functionKey }
      : { authorization: `Bearer ${await credential.getToken()}` };
  try {
    // Following a redirect would carry the credential to another address.
    const response = await fetch(url, {
      method: "POST",
      body,
      headers: { ...headers, ...authorization, "content-type": "application/json" },
      signal,
      redirect: "manual",
    });
    const text = await response.text();
    if (response.ok) return { kind: "answered", status: response.status, body: parseJson(text) };
    return toFailedAttempt(response, text);
  } catch (cause) {
    return { kind: "temporary", error: new SecurePushError("The service could not be reached", { cause }) };
  }
}

function toFailedAttempt({ status, headers }: Response, text: string): Attempt {
  const problem = readProblem(text);
  const detail = problem?.detail === undefined ? "" : `: ${problem.detail}`;
  const error = new SecurePushError(`${problem?.title ?? `The service answered ${status}`}${detail}`, {
    status,
    problem,
    correlationId: headers.get("x-correlation-id") ?? undefined,
  });
  const isTemporary = TEMPORARY.has(status) || problem?.reason === "request_in_progress";
  return isTemporary
    ? { kind: "temporary", error, retryAfterMs: toRetryAfterMs(headers.get("retry-after")) }
    : { kind: "refused", error };
}

/** Seconds or a date (RFC 9110 §10.2.3). */
function toRetryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

/** Doubles with each attempt; random, so that many callers do not return at the same time. */
function toBackoffMs(attempt: number): number {
  const ceiling = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
  return ceiling / 2 + (ceiling / 2) * Math.random();
}

function sleepFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

// Answers: an answer that is not the service's own (a proxy's page, say) must not pass for one.

function toForeignAnswer(): SecurePushError {
  return new SecurePushError("The answer is not one of this service");
}

function readSent(body: unknown): Sent {
  if (hasTexts(body, ["id", "createdAt", "expiresAt", "push"])) return body as unknown as Sent;
  throw toForeignAnswer();
}

function readReceipts(body: unknown): Receipts {
  const receipts: unknown = hasTexts(body, ["id"]) ? body["receipts"] : undefined;
  if (Array.isArray(receipts) && receipts.every((receipt) => hasTexts(receipt, ["to", "push"])))
    return body as Receipts;
  throw toForeignAnswer();
}

function readProblem(text: string): Problem | undefined {
  const body = parseJson(text);
  const isProblem = hasTexts(body, ["type", "title", "reason"]) && typeof body["status"] === "number";
  return isProblem ? (body as unknown as Problem) : undefined;
}

function hasTexts(value: unknown, names: readonly string[]): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const members = value as Readonly<Record<string, unknown>>;
  return names.every((name) => typeof members[name] === "string");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
