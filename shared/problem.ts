// Every reason to refuse a call, and the one response that it becomes (RFC 9457). A new reason does not compile
// until it has a row. No I/O.
import type { AuthFailure } from "./auth/token.ts";
import type { JsonFailure } from "./base/json.ts";

export type Failure =
  | AuthFailure
  | JsonFailure // `detail` is written for the caller; it names members, never values
  | { readonly reason: "media_type_unsupported" | "content_encoding_unsupported" }
  | { readonly reason: "body_too_large" | "payload_too_large" | "body_too_slow" }
  | { readonly reason: "query_invalid" | "cursor_invalid" | "installation_id_invalid" }
  | { readonly reason: "notification_unknown" }
  | { readonly reason: "platform_not_served" }
  | { readonly reason: "push_channel_refused"; readonly detail?: string }
  | { readonly reason: "installations_exhausted" }
  | {
      readonly reason: "idempotency_key_invalid" | "idempotency_key_missing" | "idempotency_key_reused";
    }
  | {
      readonly reason:
        | "hub_unavailable"
        | "store_unavailable"
        | "keys_unavailable"
        | "too_slow"
        | "unhealthy"
        | "request_in_progress";
      readonly retryAfterSeconds: number;
    }
  | { readonly reason: "internal" };

export type Reason = Failure["reason"];

/** Those that say when to come back. */
type Temporary = Extract<Failure, { readonly retryAfterSeconds: number }>["reason"];

interface Row {
  readonly status: number;
  readonly title: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answered with Retry-After. */
  readonly isTemporary?: true;
}

type Rows = {
  readonly [R in Reason]: Row &
    (R extends Temporary ? { readonly isTemporary: true } : { readonly isTemporary?: never });
};

const REALM = 'Bearer realm="secure-push"';

const problems = {
  // RFC 6750 §3.1: without any credential no error code.
  token_missing: {
    status: 401,
    title: "A bearer token is needed",
    headers: { "www-authenticate": REALM },
  },
  // One answer for all that can be wrong with a token: which check failed goes to the log (R23).
  token_rejected: {
    status: 401,
    title: "The bearer token was not accepted",
    headers: { "www-authenticate": `${REALM}, error="invalid_token"` },
  },
  credentials_ambiguous: {
    status: 400,
    title: "More than one credential was presented",
    headers: { "www-authenticate": `${REALM}, error="invalid_request"` },
  },
  scope_missing: {
    status: 403,
    title: "The bearer token does not allow this",
    headers: { "www-authenticate": `${REALM}, error="insufficient_scope"` },
  },
  // Our fault, not the token's (R28).
  issuer_unavailable: { status: 503, title: "Tokens cannot be checked at the moment", isTemporary: true },
  body_invalid: { status: 400, title: "The request body is not valid" },
  media_type_unsupported: {
    status: 415,
    title: "The request body must be application/json in UTF-8",
    headers: { accept: "application/json" },
  },
  content_encoding_unsupported: {
    status: 415,
    title: "Encoded request bodies are not taken",
    headers: { "accept-encoding": "identity" }, // RFC 9110 §12.5.3
  },
  body_too_large: { status: 413, title: "The request body is too large" },
  body_too_slow: { status: 408, title: "The request body did not arrive in time" },
  payload_too_large: { status: 413, title: "The payload is too large" },
  query_invalid: { status: 400, title: "The query holds an unknown, repeated or invalid parameter" },
  cursor_invalid: { status: 400, title: "The cursor is not one of this list" },
  installation_id_invalid: { status: 400, title: "The installation id is not valid" },
  // Somebody else's notification is unknown too: its existence is not revealed (P2).
  notification_unknown: { status: 404, title: "No such notification" },
  platform_not_served: { status: 422, title: "No sender serves this platform here" },
  push_channel_refused: { status: 400, title: "The notification hub refused this push channel" },
  installations_exhausted: { status: 409, title: "The user has as many installations as are allowed" },
  idempotency_key_invalid: { status: 400, title: "The Idempotency-Key is not valid" },
  idempotency_key_missing: { status: 400, title: "An Idempotency-Key is needed here" },
  idempotency_key_reused: { status: 422, title: "The Idempotency-Key stands for another request" },
  request_in_progress: {
    status: 409,
    title: "A request with this Idempotency-Key is in progress",
    isTemporary: true,
  },
  hub_unavailable: {
    status: 503,
    title: "The notification hub cannot be reached at the moment",
    isTemporary: true,
  },
  store_unavailable: { status: 503, title: "The store cannot be reached at the moment", isTemporary: true },
  keys_unavailable: { status: 503, title: "Payloads cannot be opened at the moment", isTemporary: true },
  unhealthy: { status: 503, title: "The service cannot work at the moment", isTemporary: true },
  too_slow: { status: 503, title: "The call took too long", isTemporary: true },
  internal: { status: 500, title: "Something went wrong here" },
} as const satisfies Rows;

/** An answer that does not know HTTP frameworks. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text; absent for answers without a body. */
  readonly body?: string;
}

/** The problem response of a failure: `type` is about:blank, so `title` belongs to the status and the reason. */
export function toProblem(failure: Failure): Answer {
  const row: Row = problems[failure.reason];
  const detail = "detail" in failure ? failure.detail : undefined;
  const retryAfter = "retryAfterSeconds" in failure ? failure.retryAfterSeconds : undefined;
  return {
    status: row.status,
    headers: {
      "content-type": "application/problem+json",
      ...row.headers,
      ...(retryAfter === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryAfter))) }),
    },
    body: JSON.stringify({
      type: "about:blank",
      title: row.title,
      status: row.status,
      reason: failure.reason,
      ...(detail === undefined ? {} : { detail }),
    }),
  };
}

/** Every reason there is, for whoever describes or tests them all. */
export const REASONS = Object.keys(problems) as readonly Reason[];

/** A problem as it may look, for the API's document. */
export function toProblemExample(reason: Reason): Answer {
  const row: Row = problems[reason];
  return toProblem({
    reason,
    ...(row.isTemporary === true ? { retryAfterSeconds: 5 } : {}),
    ...(reason === "body_invalid" ? { detail: "to: must be 1 to 256 visible ASCII characters" } : {}),
  } as Failure);
}
