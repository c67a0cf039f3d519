// The API's document: OpenAPI 3.1, made from the route table, the routes' descriptions, the schemas that parse their
// requests and the table of problems, so that it can say nothing else than the code does. No I/O.
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

/** Of the document: the package's. */
const VERSION = "0.1.0";

const DESCRIPTION = `The payload of a notification stays here, sealed; only its ID travels through the push network,
and a device fetches the payload with its user's own token.

- Refusals are \`application/problem+json\` (RFC 9457). \`reason\` is stable, and each operation lists those it gives.
- Times are UTC in ISO 8601. Pass over members that you do not know: there may be more one day.
- Request bodies are strict UTF-8; unknown members, members that stand twice outside \`payload\`, and members named
  \`__proto__\`, \`constructor\` or \`prototype\` there are refused. Unknown query parameters are too.
- Every answer of the code carries \`X-Correlation-Id\`, which every log line of the call carries too, and
  \`Cache-Control: no-store\`.
- Some answers are the Functions host's own, before the code runs, without a body and without these headers: 404 for a
  path or method that is not in this document.`;

const TAGS = {
  sender: { name: "Senders", description: "For back ends." },
  device: { name: "Devices", description: "For the devices of a user." },
  anyone: { name: "Service", description: "For everybody, without credentials." },
} as const satisfies Record<Route["caller"], object>;

/** The document of these routes, for callers who authenticate as the configuration says. */
export function toOpenApi(routes: readonly Route[], access: Access): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const route of routes)
    for (const method of route.methods)
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
    ...toProblems(toReasons(route, description, access)),
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

// What is refused

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

/** Every reason for which a route may refuse a call: its own, and those of its kind. */
function toReasons(route: Route, { body, problems }: Description, access: Access): readonly Reason[] {
  return [
    ...(route.caller === "anyone" || isKeyed(route, access) ? [] : OF_TOKENS),
    ...(body === undefined ? [] : OF_BODIES),
    ...problems,
    ...OF_ALL,
  ];
}

function toProblems(reasons: readonly Reason[]): readonly (readonly [string, ResponseObject])[] {
  const byStatus = Map.groupBy(reasons, (reason) => toProblemExample(reason).status);
  return [...byStatus].map(([status, group]) => [String(status), toProblem(status, group)] as const);
}

function toProblem(status: number, reasons: readonly Reason[]): ResponseObject {
  return {
    description: reasons.map((reason) => `${toExample(reason).summary}.`).join(" "),
    headers: { ...EVERY_HEADER, ...toProblemHeaders(reasons) },
    content: {
      "application/problem+json": {
        schema: {
          allOf: [
            toSchema(answers().Problem),
            { properties: { status: { const: status }, reason: { enum: [...reasons] } } },
          ],
        },
        examples: Object.fromEntries(
          reasons.map((reason) => [reason, { $ref: `#/components/examples/${reason}` }]),
        ),
      },
    },
  };
}

/** The headers that belong to these reasons; required are those that all of them have. */
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

/** What the headers of problems are for. */
const HEADERS: Readonly<Record<string, string>> = {
  "www-authenticate": "The challenge of RFC 6750 §3.",
  accept: "The media type that is taken (RFC 9110 §12.5.1).",
  "accept-encoding": "The content coding that is taken (RFC 9110 §12.5.3).",
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

// What is answered and asked

const CORRELATION_ID: HeaderObject = {
  description: "Stands on every log line of the call: name it when you ask why.",
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

/** What goes in, also where a schema transforms it: that is what callers write. */
const OPTIONS = { io: "input" } as const;
const uri = (id: string) => `#/components/schemas/${id}`;

/** Every schema with an `id` in its `.meta()`. */
function toNamedSchemas(): Record<string, Schema> {
  const { schemas } = z.toJSONSchema(z.globalRegistry, { ...OPTIONS, uri });
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, toPlain(schema)]));
}

/** A named schema by reference, another as it is. */
function toSchema(schema: z.ZodType): Schema {
  const id = z.globalRegistry.get(schema)?.id;
  return id === undefined ? toPlain(z.toJSONSchema(schema, OPTIONS)) : { $ref: uri(id) };
}

/** Without what stands in the document already, or nowhere in one of OpenAPI. */
function toPlain({ $schema: _schema, $id: _id, id: _name, ...schema }: Schema): Schema {
  return schema;
}
