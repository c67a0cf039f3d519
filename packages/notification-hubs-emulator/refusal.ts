// Every reason for which the hub emulator refuses a request, and the answer it becomes: texts and statuses as
// recorded from the service or documented (docs/notification-hubs-protocol.md §3, §14), or our own where it is stricter. No I/O.
import { element, textElement } from "./xml.ts";

/** `detail` stands in for the row's own text, where that has to name something. */
export interface Refusal {
  readonly reason: RefusalReason;
  readonly detail?: string;
  readonly retryAfterSeconds?: number;
}

export type RefusalReason = keyof typeof refusals;

const VALID_TAG_CHARACTERS = "Valid tag characters are alphanumeric, _, @, -, ., : and #.";

const refusals = {
  token_missing: { status: 401, detail: "MissingToken: The authorization header was not found." },
  token_malformed: { status: 401, detail: "MalformedToken: The authorization header is malformed." },
  token_expired: { status: 401, detail: "ExpiredToken: The token is expired." },
  // Stricter than the service: a token that lives long is a mistake of whoever made it.
  token_too_long: {
    status: 401,
    detail: "TokenTooLong: The token is valid for more than an hour, which this emulator refuses.",
  },
  signature_invalid: { status: 401, detail: "InvalidSignature: The token has an invalid signature." },
  audience_invalid: {
    status: 401,
    detail: "InvalidAudience: The authorization header contains a token with a wrong audience.",
  },
  // api-version 2020-06 answers this without a body; older ones with 401 and a text.
  right_missing: { status: 403, detail: undefined },
  right_missing_older: { status: 401, detail: "Manage claim is required for this operation." },
  tier_too_low: { status: 403, detail: "The operation is not available in the tier of this namespace." },
  hub_unknown: { status: 404, detail: "No service is hosted at the specified address." },
  path_unknown: { status: 404, detail: "There is no such operation." },
  installation_unknown: { status: 404, detail: "Installation not found" }, // recorded with one full stop (§19)
  message_unknown: { status: 404, detail: "Notification message not found." },
  method_not_allowed: { status: 405, detail: "The method is not allowed for this path." },
  api_version_unsupported: { status: 400, detail: "The api-version is not supported." },
  path_invalid: {
    status: 400,
    detail:
      "The path contains character(s) that are not allowed by Service Bus. Entity segments can contain only " +
      "letters, numbers, periods (.), hyphens (-), and underscores (_).",
  },
  description_invalid: { status: 400, detail: "The specified resource description is invalid." },
  tag_invalid: {
    status: 400,
    detail: `An invalid tag(s) was supplied. ${VALID_TAG_CHARACTERS}`,
  },
  tags_too_large: {
    status: 400,
    detail: "Registration Tags serialized size is more than maximum supported value.",
  },
  tag_expression_invalid: { status: 400, detail: "The tag expression is invalid." },
  send_invalid: { status: 400, detail: "The notification is invalid." },
  // Stricter than the service, which would push to everybody.
  broadcast_refused: {
    status: 400,
    detail: "The send has neither tags nor a device handle: this emulator does not broadcast.",
  },
  schedule_invalid: { status: 400, detail: "The schedule time is invalid." },
  request_too_large: { status: 413, detail: "The request is too large." },
  throttled: { status: 429, detail: "The request was throttled." },
  failed: { status: 500, detail: "The emulator failed." },
  not_served: { status: 501, detail: "The operation exists, but not in this emulator." },
} as const satisfies Readonly<Record<string, { status: number; detail: string | undefined }>>;

/** `where` is the member, or the step of a patch, that is wrong. */
export function toInvalidDescription(where: string): Refusal {
  return { reason: "description_invalid", detail: `${refusals.description_invalid.detail} (${where})` };
}

export function toInvalidTag(tag: string): Refusal {
  return {
    reason: "tag_invalid",
    detail: `An invalid tag(s) '${tag}' was supplied. ${VALID_TAG_CHARACTERS}`,
  };
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** The service puts a full stop and a tracking text after the detail, even when the detail ends with a full stop. */
export function toRefusedAnswer(refusal: Refusal, trackingId: string, now: Date): Answer {
  const row = refusals[refusal.reason];
  const headers: Readonly<Record<string, string>> =
    refusal.retryAfterSeconds === undefined ? {} : { "Retry-After": String(refusal.retryAfterSeconds) };
  const detail = refusal.detail ?? row.detail;
  if (detail === undefined) return { status: row.status, headers };
  const text = `${detail}.TrackingId:${trackingId}_G1,TimeStamp:${toTimeStamp(now)}`;
  return {
    status: row.status,
    headers: { ...headers, "Content-Type": "application/xml; charset=utf-8" },
    body: element("Error", [textElement("Code", row.status), textElement("Detail", text)]),
  };
}

/** M/d/yyyy h:mm:ss AM or PM, in UTC. */
function toTimeStamp(at: Date): string {
  const hours = at.getUTCHours();
  const date = `${at.getUTCMonth() + 1}/${at.getUTCDate()}/${at.getUTCFullYear()}`;
  const minutesAndSeconds = at.toISOString().slice(14, 19);
  return `${date} ${hours % 12 || 12}:${minutesAndSeconds} ${hours < 12 ? "AM" : "PM"}`;
}
