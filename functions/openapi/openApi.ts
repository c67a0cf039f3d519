// The API's document: OpenAPI 3.1, made from the route table, the routes' descriptions, the schemas that parse requests and
// the table of problems, so that it cannot differ from the code. Its form suits generators of clients: named schemas, one
// schema for all problems, no `default` (a generator takes such a member for one that is always there). No I/O.
import type { Config } from "../../shared/config/config.ts";
import type { Body, Description, Header, Parameter, Success } from "../http/description.ts";
import type { Route } from "../http/handler.ts";
import type { Reason } from "../../shared/problem.ts";
import type {
  HeaderObject,
  OpenApi,
  Operation,
  ParameterObject,
  RequestBody,
  ResponseObject,
} from "./openApiDocument.ts";
import { CORRELATION_ID, EVERY_HEADER, RETRY_AFTER } from "./openApiHeaders.ts";
import { toExample, toProblemResponses, toReasons } from "./openApiProblems.ts";
import { toNamedSchemas, toSchema } from "./openApiSchemas.ts";

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
  const reasons = new Set<Reason>();
  for (const route of routes) {
    const description = route.describe();
    for (const reason of toReasons(description, hasToken(route, access))) reasons.add(reason);
    for (const method of route.methods.filter((one) => one !== "HEAD"))
      (paths[`/${route.path}`] ??= {})[method.toLowerCase()] = toOperation(route, description, access);
  }
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

function toOperation(route: Route, description: Description, access: Access): Operation {
  const { summary, parameters, body } = description;
  const responses = [
    ...Object.entries(description.answers).map(([status, success]) => [status, toSuccess(success)] as const),
    ...toProblemResponses(toReasons(description, hasToken(route, access))),
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

/** Whether callers present a bearer token. */
function hasToken(route: Route, access: Access): boolean {
  return route.caller !== "anyone" && !isKeyed(route, access);
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

// Answers and requests

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
