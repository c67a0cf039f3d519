// The check that every answer and every request taken goes through in the tests of the API: what it lets pass, and what
// it does not.
import { describe, expect, test } from "vitest";
import { createDocument } from "../../scripts/document.ts";
import { type Reason, toProblemExample } from "../../shared/problem.ts";
import { createContract, type Exchange } from "./contract.ts";

const contract = createContract(createDocument().document);

describe("an answer that is not as the document says fails the test that got it", () => {
  const headers = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-correlation-id": "1",
  };
  const sent = {
    id: "0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4",
    createdAt: "2026-11-25T08:30:00.000Z",
    expiresAt: "2026-12-02T08:30:00.000Z",
    push: "accepted",
  };
  const location = `/api/notifications/${sent.id}`;
  interface Change {
    readonly method?: string;
    readonly path?: string;
    readonly given?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly status?: number;
    readonly headers?: Readonly<Record<string, string | undefined>>;
    readonly answer?: unknown;
    readonly text?: string;
  }
  /** sendSecure's 201, but for what is changed. */
  function exchange(change: Change): Exchange {
    const all = Object.entries({ ...headers, location, ...change.headers });
    return {
      method: change.method ?? "POST",
      path: change.path ?? "/api/notifications",
      headers: change.given ?? { "content-type": "application/json", "x-functions-key": "k" },
      body: change.body ?? '{"to":["alice"],"payload":1}',
      answer: {
        status: change.status ?? 201,
        headers: new Headers(all.filter((header): header is [string, string] => header[1] !== undefined)),
        text: change.text ?? JSON.stringify(change.answer ?? sent),
      },
    };
  }
  const problem = (reason: Reason, more: object = {}): Change => {
    const { status, headers: own, body = "" } = toProblemExample(reason);
    return {
      status,
      headers: { ...own, location: undefined },
      answer: { ...JSON.parse(body), ...more } as object,
    };
  };
  const bare = { "content-type": undefined, "cache-control": undefined, "x-content-type-options": undefined };

  test.each([
    ["the answer that is documented", {}],
    [
      "the type in other letters",
      { given: { "content-type": "Application/JSON; charset=utf-8", "x-functions-key": "k" } },
    ],
    [
      "the key in the query",
      { path: "/api/notifications?code=k", given: { "content-type": "application/json" } },
    ],
    ["a problem", problem("keys_unavailable")],
    ["a refused body, whatever it was", { ...problem("body_invalid"), body: "{" }],
    [
      "the host's own 401",
      { status: 401, text: "", headers: { ...bare, "x-correlation-id": undefined, location: undefined } },
    ],
    [
      "the host's own 404",
      {
        method: "PATCH",
        status: 404,
        text: "",
        headers: { ...bare, "x-correlation-id": undefined, location: undefined },
      },
    ],
  ] as readonly (readonly [string, Change])[])("not so: %s", (_what, change) => {
    contract.check(exchange(change));
  });

  test.each([
    ["a path that is not documented", { path: "/api/nowhere" }, "no such operation"],
    ["a method that is not", { method: "PATCH" }, "no such operation"],
    ["a status that is not", { status: 200 }, "no such status"],
    ["another media type", { headers: { "content-type": "text/plain" } }, "no media type text/plain"],
    ["no JSON", { text: "{" }, "not JSON"],
    ["a member that lacks", { answer: { ...sent, push: undefined } }, "required property 'push'"],
    ["a member that is not documented", { answer: { ...sent, to: ["alice"] } }, "additional properties"],
    ["a value that is not", { answer: { ...sent, push: "lost" } }, "/push must be equal to one of"],
    ["a time without milliseconds", { answer: { ...sent, createdAt: "2026-11-25T08:30:00Z" } }, "/createdAt"],
    ["a header that lacks", { headers: { location: undefined } }, "the header Location is missing"],
    ["a header of another form", { headers: { location: "/" } }, "the header Location is /"],
    ["a header that is not documented", { headers: { "x-powered-by": "x" } }, "no header x-powered-by"],
    [
      "an answer that may be kept",
      { headers: { "cache-control": "private" } },
      "cache-control is not no-store",
    ],
    ["no correlation id", { headers: { "x-correlation-id": undefined } }, "X-Correlation-Id is missing"],
    [
      "a reason that the route does not list",
      { ...problem("unhealthy") },
      "the document has no reason unhealthy here",
    ],
    [
      "a reason of another status",
      { ...problem("store_unavailable"), status: 500 },
      "the problem has another status",
    ],
    ["a problem that tells more", problem("too_slow", { stack: "x" }), "additional properties"],
    [
      "a 503 without Retry-After",
      {
        ...problem("too_slow"),
        headers: { "content-type": "application/problem+json", location: undefined },
      },
      "Retry-After is missing",
    ],
    [
      "a body in the host's 401",
      { status: 401, headers: { ...bare, location: undefined }, text: "x" },
      "a body where",
    ],
    [
      "a request without a credential",
      { given: { "content-type": "application/json" } },
      "without a credential",
    ],
    [
      "a request that is refused",
      { body: '{"to":["a b"],"payload":1}' },
      "a body that the document refuses: data/to",
    ],
    [
      "a request of another type",
      { given: { "content-type": "text/plain", "x-functions-key": "k" } },
      "text/plain",
    ],
    ["a query that is not documented", { path: "/api/notifications?a=1" }, "the query parameter a"],
    [
      "an id that is none",
      {
        method: "GET",
        path: "/api/notifications/x",
        status: 200,
        given: { authorization: "Bearer x" },
        headers: { location: undefined },
        answer: {
          id: sent.id,
          payload: 1,
          createdAt: sent.createdAt,
          expiresAt: sent.expiresAt,
          read: false,
        },
      },
      "accepted with the parameter id",
    ],
  ] as readonly (readonly [string, Change, string])[])("%s", (_what, change, message) => {
    expect(() => contract.check(exchange(change))).toThrow(message);
  });
});
