// The refusals in the API's document, made from the table of problems. All of them have one schema, so that a generated
// client has one type of error; each response lists its reasons in words and as examples. No I/O.
import { type Reason, toProblemExample } from "../../shared/problem.ts";
import { answers } from "../http/answers.ts";
import type { Description } from "../http/description.ts";
import type { HeaderObject, Reference, ResponseObject } from "./openApiDocument.ts";
import { EVERY_HEADER, RETRY_AFTER } from "./openApiHeaders.ts";
import { toSchema } from "./openApiSchemas.ts";

const OF_TOKENS = [
  "token_missing",
  "token_rejected",
  "credentials_ambiguous",
  "scope_missing",
  "issuer_unavailable",
] as const satisfies readonly Reason[];

const OF_BODIES = [
  "body_invalid",
  "media_type_unsupported",
  "content_encoding_unsupported",
  "body_too_large",
  "body_too_slow",
] as const satisfies readonly Reason[];

const OF_ALL = ["query_invalid", "too_slow", "internal"] as const satisfies readonly Reason[];

/**
 * Every reason for which a route may refuse a call: its own, and those of all routes of its kind. `hasToken`: its callers
 * present a bearer token.
 */
export function toReasons({ body, problems }: Description, hasToken: boolean): readonly Reason[] {
  return [...(hasToken ? OF_TOKENS : []), ...(body === undefined ? [] : OF_BODIES), ...problems, ...OF_ALL];
}

export function toProblemResponses(
  reasons: readonly Reason[],
): readonly (readonly [string, ResponseObject])[] {
  const byStatus = Map.groupBy(reasons, (reason) => toProblemExample(reason).status);
  return [...byStatus].map(([status, group]) => [String(status), toProblemResponse(group)] as const);
}

function toProblemResponse(reasons: readonly Reason[]): ResponseObject {
  return {
    description: reasons.map((reason) => `\`${reason}\`: ${toExample(reason).summary}.`).join(" "),
    headers: { ...EVERY_HEADER, ...toProblemHeaders(reasons) },
    content: {
      "application/problem+json": {
        schema: toSchema(answers().Problem),
        examples: Object.fromEntries(
          reasons.map((reason) => [reason, { $ref: `#/components/examples/${reason}` }]),
        ),
      },
    },
  };
}

/** The headers of the answers with these reasons. A header is required if all of them have it. */
function toProblemHeaders(reasons: readonly Reason[]): Record<string, HeaderObject | Reference> {
  const all = reasons.map((reason) => toProblemExample(reason).headers);
  const names = new Set(all.flatMap(Object.keys));
  names.delete("content-type");
  return Object.fromEntries(
    [...names].map((name) => {
      const values = all.map((headers) => headers[name]).filter((value) => value !== undefined);
      const required = values.length === all.length;
      if (name === "retry-after")
        return [
          "Retry-After",
          required ? { $ref: "#/components/headers/RetryAfter" } : { ...RETRY_AFTER, required },
        ];
      return [
        toHeaderName(name),
        {
          description: HEADERS[name] ?? "",
          required,
          schema: { type: "string", enum: [...new Set(values)] },
        },
      ];
    }),
  );
}

/** The meaning of the headers of problems. */
const HEADERS: Readonly<Record<string, string>> = {
  "www-authenticate": "The challenge of RFC 6750 §3.",
  accept: "The media type that is accepted (RFC 9110 §12.5.1).",
  "accept-encoding": "The content coding that is accepted (RFC 9110 §12.5.3).",
};

function toHeaderName(name: string): string {
  return name === "www-authenticate"
    ? "WWW-Authenticate"
    : name.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase());
}

export function toExample(reason: Reason): { readonly summary: string; readonly value: unknown } {
  const value = JSON.parse(toProblemExample(reason).body ?? "") as { readonly title: string };
  return { summary: value.title, value };
}
