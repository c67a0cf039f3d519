// Every reason to refuse a call, as the caller sees it.
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { type Failure, type Reason, toProblem } from "../shared/problem.ts";

const later = { retryAfterSeconds: 7 };

// Written once more on purpose: statuses are the contract, and a change of one shows here.
const expected = {
  token_missing: [401, { reason: "token_missing" }],
  token_rejected: [401, { reason: "token_rejected", detail: "marker" }],
  credentials_ambiguous: [400, { reason: "credentials_ambiguous" }],
  scope_missing: [403, { reason: "scope_missing" }],
  issuer_unavailable: [503, { reason: "issuer_unavailable", ...later }],
  body_invalid: [400, { reason: "body_invalid", detail: "to: is missing" }],
  media_type_unsupported: [415, { reason: "media_type_unsupported" }],
  content_encoding_unsupported: [415, { reason: "content_encoding_unsupported" }],
  body_too_large: [413, { reason: "body_too_large", detail: "the body: must be at most 9 bytes" }],
  body_too_slow: [408, { reason: "body_too_slow" }],
  payload_too_large: [413, { reason: "payload_too_large", detail: "payload: must be at most 9 bytes" }],
  query_invalid: [400, { reason: "query_invalid", detail: "limit: must be a number" }],
  cursor_invalid: [400, { reason: "cursor_invalid" }],
  installation_id_invalid: [400, { reason: "installation_id_invalid" }],
  notification_unknown: [404, { reason: "notification_unknown" }],
  platform_not_served: [422, { reason: "platform_not_served", detail: "platform: must be one of apns" }],
  push_channel_refused: [400, { reason: "push_channel_refused" }],
  installations_exhausted: [409, { reason: "installations_exhausted" }],
  idempotency_key_invalid: [400, { reason: "idempotency_key_invalid" }],
  idempotency_key_missing: [400, { reason: "idempotency_key_missing" }],
  idempotency_key_reused: [422, { reason: "idempotency_key_reused" }],
  request_in_progress: [409, { reason: "request_in_progress", ...later }],
  hub_unavailable: [503, { reason: "hub_unavailable", ...later }],
  store_unavailable: [503, { reason: "store_unavailable", ...later }],
  keys_unavailable: [503, { reason: "keys_unavailable", ...later }],
  unhealthy: [503, { reason: "unhealthy", ...later }],
  too_slow: [503, { reason: "too_slow", ...later }],
  internal: [500, { reason: "internal" }],
} as const satisfies Record<Reason, readonly [number, Failure]>;

/** What a caller can put right only by knowing what is wrong. */
const NAMING: ReadonlySet<Reason> = new Set([
  "body_invalid",
  "body_too_large",
  "payload_too_large",
  "query_invalid",
  "cursor_invalid",
  "installation_id_invalid",
  "platform_not_served",
  "push_channel_refused",
  "idempotency_key_invalid",
  "idempotency_key_missing",
]);

const Body = z.looseObject({ title: z.string() });
const rows = Object.values(expected).map(([status, failure]) => ({
  status,
  failure,
  reason: failure.reason,
}));

describe("R60: every failure is a problem", () => {
  test.each(rows)("$reason is a $status", ({ status, failure, reason }) => {
    const answer = toProblem(failure);
    expect(answer.status).toBe(status);
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    const { title, ...body } = Body.parse(JSON.parse(answer.body ?? ""));
    expect(title).not.toBe("");
    const { detail, ...rest } = body;
    expect(rest).toEqual({ type: "about:blank", status, reason });
    if ("detail" in failure && reason !== "token_rejected") expect(detail).toBe(failure.detail);
    // R65: it names the member, parameter or header, and the rule.
    if (detail !== undefined) expect(detail).toMatch(/^[A-Za-z- ]+: ./);
    if (NAMING.has(reason)) expect(detail).toBeDefined();
    expect(reason).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(answer.body).not.toContain("marker"); // what is wrong with a token goes to the log (R23)
    for (const [name, value] of Object.entries(answer.headers)) {
      expect(name).toBe(name.toLowerCase());
      expect(value).toMatch(/^[\x20-\x7e]+$/);
    }
  });

  test("titles tell the reasons apart", () => {
    const titles = rows.map(({ failure }) => toProblem(failure).body);
    expect(new Set(titles).size).toBe(rows.length);
  });
});

test("every 503 carries Retry-After", () => {
  for (const { status, failure } of rows.filter((row) => row.status === 503))
    expect(toProblem(failure).headers["retry-after"], String(status)).toBe("7");
});

test.each([
  [0, "1"],
  [-5, "1"],
  [0.2, "1"],
  [1, "1"],
  [1.0001, "2"],
  [59.9, "60"],
  [3600, "3600"],
])("a Retry-After of %d is told as %s: whole seconds, at least one", (retryAfterSeconds, text) => {
  expect(toProblem({ reason: "store_unavailable", retryAfterSeconds }).headers["retry-after"]).toBe(text);
});

describe("challenges", () => {
  test.each([
    ["token_missing", 'Bearer realm="secure-push"'], // RFC 6750 §3.1: no error code
    ["token_rejected", 'Bearer realm="secure-push", error="invalid_token"'],
    ["credentials_ambiguous", 'Bearer realm="secure-push", error="invalid_request"'],
    ["scope_missing", 'Bearer realm="secure-push", error="insufficient_scope"'],
  ] as const)("%s has %s", (reason, challenge) => {
    expect(toProblem(expected[reason][1]).headers["www-authenticate"]).toBe(challenge);
  });

  test("no other failure has one", () => {
    for (const { status, failure } of rows)
      expect("www-authenticate" in toProblem(failure).headers, failure.reason).toBe(
        status === 401 || failure.reason === "credentials_ambiguous" || failure.reason === "scope_missing",
      );
  });
});

test("R48 and R50: a 415 says what is taken", () => {
  expect(toProblem({ reason: "media_type_unsupported" }).headers["accept"]).toBe("application/json");
  expect(toProblem({ reason: "content_encoding_unsupported" }).headers["accept-encoding"]).toBe("identity");
});

test("a detail of an invalid body is text, whatever it holds", () => {
  const detail = '"\r\n</script>\u2028';
  const { body = "" } = toProblem({ reason: "body_invalid", detail });
  expect(JSON.parse(body)).toMatchObject({ detail });
  expect(body).not.toMatch(/[\r\n]/);
});

test("one problem does not change the next: the rows are not shared", () => {
  const first = toProblem({ reason: "token_missing" });
  Object.assign(first.headers, { "x-extra": "1" });
  expect(toProblem({ reason: "token_missing" }).headers).not.toHaveProperty("x-extra");
});
