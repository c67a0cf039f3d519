// The API's document: OpenAPI 3.1, made from the route table, the routes' descriptions, the schemas that parse requests and
// the table of problems, so that it cannot differ from the code. Its form suits generators of clients: named schemas, one
// schema for all problems, no `default` (a generator takes such a member for one that is always there). No I/O.
import * as z from "zod";
import type { Config } from "../../shared/config/config.ts";
import { type Reason, toProblemExample } from "../../shared/problem.ts";
import { answers } from "../http/answers.ts";
import type { Body, Description, Header, Parameter, Success } from "../http/description.ts";
import type { Route } from "../http/handler.ts";
import type {
  HeaderObject,
  OpenApi,
  Operation,
  ParameterObject,
  Reference,
  RequestBody,
  ResponseObject,
  Schema,
} from "./openApiDocument.ts";

type Access = Pick<Config, "senders" | "tokens">;

/** The version of the document: the package's. */
const VERSION = "0.1.0";

const DESCRIPTION = `The payload of a notification stays here, encrypted. Only its ID travels through the push network,
and a device fetches the payload with its user's own token.

- Refusals are \`application/problem+json\` (RFC 9457). \`reason\` is stable, and each operation lists its own reasons.
- Times are UTC in ISO 8601. Ignore members that you do not know: a later version may add some.
- An optional member of a request body that is \`null\` counts as absent.
- Request bodies are strict UTF-8. Outside \`payload\` the service refuses unknown members, members that are given twice,
  and members named \`__proto__\`, \`constructor\` or \`prototype\`. It refuses unknown query parameters too.
- Every answer of the code has the header \`X-Correlation-Id\`, which is also on every log line of the call, and
  \`Cache-Control: no-store\`.
- Some answers come from the Functions host, before the code runs, without a body and without these headers: 404 for a
  path or method that is not in this document.`;

const TAGS = {
  sender: { name: "Senders", description: "For back ends." },
  device: { name: "Devices", description: "For the devices of a user." },
  anyone: { name: "Service", description: "For everybody, without credentials." },
} as const satisfies Record<Route["caller"], object>;

/**
 * The document of these routes, for callers who authenticate as the configuration says. The server is this host; whoever
 * serves the document puts the absolute URL in its place. Operations of HEAD are left out: their descriptions mention HEAD.
 */
export function toOpenApi(routes: readonly Route[], access: Access): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const route of routes)
    for (const method of route.methods.filter((one) => one !== "HEAD"))
      (paths[`/${route.path}`] ??= {})[method.toLowerCase()] = toOperation(route, access);
  const reasons = new Set(routes.flatMap((route) => toReasons(route, route.describe(), access)));
  return {
    openapi: "3.1.1",
    info: {
      title: "Secure push",
      version: VERSION,
      description: DESCRIPTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/api" }],
    tags: Object.values(TAGS),
    paths,
    components: {
      schemas: toNamedSchemas(),
      securitySchemes: toSecuritySchemes(access),
      headers: { CorrelationId: CORRELATION_ID, RetryAfter: RETRY_AFTER },
      examples: Object.fromEntries([...reasons].map((reason) => [reason, toExample(reason)])),
    },
  };
}

function toOperation(route: Route, access: Access): Operation {
  const description = route.describe();
  const { summary, parameters, body } = description;
  const responses = [
    ...Object.entries(description.answers).map(([status, success]) => [status, toSuccess(success)] as const),
    ...toProblemResponses(toReasons(route, description, access)),
    ...(isKeyed(route, access) ? [["401", WRONG_KEY] as const] : []),
  ];
  return {
    operationId: route.name,
    tags: [TAGS[route.caller].name],
    summary,
    description: description.description,
    security: toSecurity(route, access),
    ...(parameters === undefined ? {} : { parameters: Object.entries(parameters).map(toParameter) }),
    ...(body === undefined ? {} : { requestBody: toRequestBody(body) }),
    responses: Object.fromEntries(responses),
  };
}

// Who may call

/** Whether the Functions host checks the caller, by function key. */
function isKeyed({ caller }: Route, { senders }: Access): boolean {
  return caller === "sender" && senders.auth === "functionKey";
}

const WRONG_KEY: ResponseObject = {
  description: "The function key is missing or wrong: the Functions host's own answer, without a body.",
};

function toSecurity(route: Route, access: Access): Operation["security"] {
  if (route.caller === "anyone") return [];
  if (isKeyed(route, access)) return [{ functionKey: [] }, { functionKeyInQuery: [] }];
  return [{ [route.caller === "device" ? "userToken" : "senderToken"]: [] }];
}

function toSecuritySchemes({ senders, tokens }: Access): OpenApi["components"]["securitySchemes"] {
  const bearer = { type: "http", scheme: "bearer", bearerFormat: "JWT" } as const;
  const key = { type: "apiKey", description: "A function key of the deployment." } as const;
  return {
    userToken: {
      ...bearer,
      description: `A user's access token whose scope holds \`${tokens.scope}\`.`,
    },
    ...(senders.auth === "functionKey"
      ? {
          functionKey: { ...key, in: "header", name: "x-functions-key" },
          functionKeyInQuery: { ...key, in: "query", name: "code" },
        }
      : {
          senderToken: {
            ...bearer,
            description: `An app-only access token with the role \`${senders.role}\`.`,
          },
        }),
  };
}

// Refusals

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

/** Every reason for which a route may refuse a call: its own, and those of all routes of its kind. */
function toReasons(route: Route, { body, problems }: Description, access: Access): readonly Reason[] {
  return [
    ...(route.caller === "anyone" || isKeyed(route, access) ? [] : OF_TOKENS),
    ...(body === undefined ? [] : OF_BODIES),
    ...problems,
    ...OF_ALL,
  ];
}

function toProblemResponses(reasons: readonly Reason[]): readonly (readonly [string, ResponseObject])[] {
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

function toExample(reason: Reason): { readonly summary: string; readonly value: unknown } {
  const value = JSON.parse(toProblemExample(reason).body ?? "") as { readonly title: string };
  return { summary: value.title, value };
}

// Answers and requests

const CORRELATION_ID: HeaderObject = {
  description: "Also on every log line of the call. Quote it when you report a problem.",
  required: true,
  schema: { type: "string" },
};
const RETRY_AFTER: HeaderObject = {
  description: "Seconds after which to try again.",
  required: true,
  schema: { type: "integer", minimum: 1 },
};
const EVERY_HEADER = { "X-Correlation-Id": { $ref: "#/components/headers/CorrelationId" } };

function toSuccess({ description, schema, example, headers = {} }: Success): ResponseObject {
  const own = Object.entries(headers).map(([name, header]) => [name, toHeader(header)] as const);
  return {
    description,
    headers: { ...EVERY_HEADER, ...Object.fromEntries(own) },
    ...(schema === undefined
      ? {}
      : {
          content: {
            "application/json": {
              schema: toSchema(schema),
              ...(example === undefined ? {} : { example }),
            },
          },
        }),
  };
}

function toHeader({ description, schema, isRequired = true }: Header): HeaderObject {
  return { description, required: isRequired, schema: toSchema(schema) };
}

function toParameter([name, parameter]: readonly [string, Parameter]): ParameterObject {
  const { in: place, description, schema, isRequired = place === "path", example } = parameter;
  return {
    name,
    in: place,
    description,
    required: isRequired,
    schema: toSchema(schema),
    ...(example === undefined ? {} : { example }),
  };
}

function toRequestBody({ schema, examples }: Body): RequestBody {
  const entries = Object.entries(examples).map(([name, value]) => [name, { value }] as const);
  return {
    required: true,
    content: { "application/json": { schema: toSchema(schema), examples: Object.fromEntries(entries) } },
  };
}

// Schemas

/** The input side of a schema, before it is transformed: that is what callers write. */
const OPTIONS = { io: "input", override: adaptSchema } as const;
const uri = (id: string) => `#/components/schemas/${id}`;

/** A slash needs no escape outside JavaScript, and some generators fail on an escaped one. */
function adaptSchema({ jsonSchema }: { readonly jsonSchema: Schema }): void {
  const { pattern } = jsonSchema;
  if (pattern !== undefined) jsonSchema.pattern = pattern.replaceAll(String.raw`\/`, "/");
}

/** Every schema with an `id` in its `.meta()`. */
function toNamedSchemas(): Record<string, Schema> {
  const { schemas } = z.toJSONSchema(z.globalRegistry, { ...OPTIONS, uri });
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, toPlain(schema)]));
}

/** A reference to a named schema; any other schema itself. */
function toSchema(schema: z.ZodType): Schema {
  const id = z.globalRegistry.get(schema)?.id;
  return id === undefined ? toPlain(z.toJSONSchema(schema, OPTIONS)) : { $ref: uri(id) };
}

/** Drops members that have no place in OpenAPI. */
function toPlain({ $schema: _schema, $id: _id, id: _name, ...schema }: Schema): Schema {
  return schema;
}
