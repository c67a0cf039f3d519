// Every reason to refuse a call, and the one response that it becomes (RFC 9457). A new reason does not compile until it
// has a row in the table. No I/O.
import type { AuthFailure } from "./auth/token.ts";
import type { JsonFailure } from "./base/json.ts";

/** Why a call is refused. A `detail` is written for the caller: it names the member and the rule, never a value (R65). */
export type Failure =
  | AuthFailure // its `detail` is for the log alone
  | JsonFailure
  | {
      readonly reason: "query_invalid" | "body_too_large" | "payload_too_large" | "platform_not_served";
      readonly detail: string;
    }
  | { readonly reason: "push_channel_refused"; readonly detail?: string }
  | { readonly reason: "media_type_unsupported" | "content_encoding_unsupported" | "body_too_slow" }
  | { readonly reason: "cursor_invalid" | "installation_id_invalid" | "notification_unknown" }
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

/** The reasons that say when to try again. */
type Temporary = Extract<Failure, { readonly retryAfterSeconds: number }>["reason"];

interface ProblemRow {
  readonly status: number;
  readonly title: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The detail of every answer with this reason. */
  readonly detail?: string;
  /** A detail as it may be, for reasons whose failures bring their own. */
  readonly exampleDetail?: string;
  /** The answer has Retry-After. */
  readonly isTemporary?: true;
}

type ProblemRows = {
  readonly [R in Reason]: ProblemRow &
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
  // One answer for everything that can be wrong with a token. Only the log says which check failed (R23).
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
  body_invalid: {
    status: 400,
    title: "The request body is not valid",
    exampleDetail: "to: must be an array of 1 to 100 user ids, also for one user",
  },
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
  body_too_large: {
    status: 413,
    title: "The request body is too large",
    exampleDetail: "the body: must be at most 32768 bytes",
  },
  body_too_slow: { status: 408, title: "The request body did not arrive in time" },
  payload_too_large: {
    status: 413,
    title: "The payload is too large",
    exampleDetail: "payload: must be at most 83886 bytes for 100 recipients",
  },
  query_invalid: {
    status: 400,
    title: "The query has an unknown, repeated or invalid parameter",
    exampleDetail: "limit: must be a whole number from 1 to 100",
  },
  cursor_invalid: {
    status: 400,
    title: "The cursor is not one of this list",
    detail: "cursor: must be the cursor of a page of the same user's list with the same `unread`",
  },
  installation_id_invalid: {
    status: 400,
    title: "The installation id is not valid",
    detail: "installationId: must be 1 to 64 of A-Z a-z 0-9 . _ -",
  },
  // Somebody else's notification is unknown too, so that its existence is not revealed (P2).
  notification_unknown: { status: 404, title: "No such notification" },
  platform_not_served: {
    status: 422,
    title: "No sender serves this platform here",
    exampleDetail: "platform: must be one of apns, fcmv1, wns, adm, xiaomi, browser",
  },
  push_channel_refused: {
    status: 400,
    title: "The push channel was refused",
    detail: "pushChannel: must be one that the platform's push service accepts",
  },
  installations_exhausted: { status: 409, title: "The user has as many installations as are allowed" },
  idempotency_key_invalid: {
    status: 400,
    title: "The Idempotency-Key is not valid",
    detail:
      "Idempotency-Key: must be 1 to 255 visible ASCII characters without comma and quote, bare or in double quotes",
  },
  idempotency_key_missing: {
    status: 400,
    title: "An Idempotency-Key is needed here",
    detail: "Idempotency-Key: the header is missing",
  },
  idempotency_key_reused: { status: 422, title: "The Idempotency-Key was used for another request" },
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
} as const satisfies ProblemRows;

/** An HTTP answer, independent of any framework. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text; absent for answers without a body. */
  readonly body?: string;
}

/** The problem response of a failure: `type` is about:blank, so `title` belongs to the status and the reason. */
export function toProblem(failure: Failure): Answer {
  const row: ProblemRow = problems[failure.reason];
  const detail = toDetail(failure, row);
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

function toDetail(failure: Failure, row: ProblemRow): string | undefined {
  if (failure.reason === "token_rejected") return undefined; // for the log alone (R23)
  return "detail" in failure ? failure.detail : row.detail;
}

/** Every reason, for code that describes or tests all of them. */
export const REASONS = Object.keys(problems) as readonly Reason[];

/** A problem as it may look, for the API's document. */
export function toProblemExample(reason: Reason): Answer {
  const row: ProblemRow = problems[reason];
  return toProblem({
    reason,
    ...(row.isTemporary === true ? { retryAfterSeconds: 5 } : {}),
    ...(row.exampleDetail === undefined ? {} : { detail: row.exampleDetail }),
  } as Failure);
}
