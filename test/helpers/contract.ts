// Compares what went over HTTP with the API's document: path, method, status, media type, headers and body of every
// answer, and every request that was accepted. A refused request need not match: most tests send such requests.
import type {
  HeaderObject,
  OpenApi,
  Operation,
  ParameterObject,
  ResponseObject,
} from "../../functions/openapi/openApiDocument.ts";
import { type Compiled, compileDocument, findMismatch, findTextMismatch } from "./documentSchemas.ts";

export interface Exchange {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly answer: { readonly status: number; readonly headers: Headers; readonly text: string };
}

export interface Contract {
  /** @throws Error that says what does not match the document. */
  readonly check: (exchange: Exchange) => void;
  /** Why a value does not match a schema of the document, which is given by its name there; `undefined` if it does. */
  readonly findMismatch: (name: string, value: unknown) => string | undefined;
  /** The same for the text of a parameter. */
  readonly findParameterMismatch: (parameter: ParameterObject, text: string) => string | undefined;
}

/** Headers that HTTP and the Functions host add and the document does not mention. */
const FOREIGN: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "content-type",
  "date",
  "keep-alive",
  "transfer-encoding",
  "x-ms-invocation-id",
]);

/** Headers on every answer of the code. The document mentions them once, in words. */
const CONSTANT: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** Members of request bodies for which `null` counts as absent. */
const OPTIONAL: ReadonlySet<string> = new Set(["ttl", "urgency", "topic", "display", "vapidPublicKey"]);

export function createContract(document: OpenApi): Contract {
  const compiled = compileDocument(document);
  return {
    check: (exchange) => {
      const mismatches = listMismatches(compiled, exchange);
      if (mismatches.length === 0) return;
      const { method, path, answer } = exchange;
      throw new Error(
        `not as the API's document says: ${method} ${path.slice(0, 200)} ${answer.status}: ${mismatches.join("; ")}; ` +
          `the answer: ${answer.text.slice(0, 500)}`,
      );
    },
    findMismatch: (name, value) => findMismatch(compiled, { $ref: `#/components/schemas/${name}` }, value),
    findParameterMismatch: (parameter, text) => findTextMismatch(compiled, parameter.schema, text),
  };
}

/** The members of a request body that the service reads: an optional member that is `null` counts as absent. */
export function withoutNulls(body: unknown): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  return Object.fromEntries(
    Object.entries(body).filter(([name, value]) => value !== null || !OPTIONAL.has(name)),
  );
}

function listMismatches(compiled: Compiled, exchange: Exchange): readonly string[] {
  const { method, answer } = exchange;
  const url = new URL(exchange.path, "http://localhost");
  if (!url.pathname.startsWith("/api/")) return []; // the host's own paths
  const found = findPath(compiled.document, url.pathname);
  const operation = found && findOperation(found.operations, method);
  // The host's own 404, which the document mentions in words. The host also refuses paths that are not UTF-8.
  const isBare = answer.status === 404 && answer.text === "" && !answer.headers.has("x-correlation-id");
  if (isBare && (operation === undefined || !isUtf8(url.pathname))) return [];
  if (found === undefined || operation === undefined) return ["the document has no such operation"];
  const response = operation.responses[String(answer.status)];
  if (response === undefined) return ["the document has no such status here"];
  return [
    ...(method === "HEAD" ? [] : listBodyMismatches(compiled, response, answer)),
    ...listHeaderMismatches(compiled, response, answer.headers),
    ...(answer.status < 300 ? listRequestMismatches(compiled, operation, exchange, found.params) : []),
  ];
}

function findPath(document: OpenApi, pathname: string) {
  for (const [path, operations] of Object.entries(document.paths)) {
    const pattern = path.replaceAll(".", "\\.").replaceAll(/\{(\w+)\}/g, "(?<$1>[^/]+)");
    const found = new RegExp(`^/api${pattern}/?$`, "i").exec(pathname);
    if (found !== null) return { operations, params: found.groups ?? {} };
  }
  return undefined;
}

/** HEAD works where GET needs no credential, and is documented with it. */
function findOperation(operations: Readonly<Record<string, Operation>>, method: string) {
  if (method !== "HEAD") return operations[method.toLowerCase()];
  return operations["get"]?.security.length === 0 ? operations["get"] : undefined;
}

// Answers

function listBodyMismatches(
  compiled: Compiled,
  { content }: ResponseObject,
  { status: answered, headers, text }: Exchange["answer"],
): readonly string[] {
  const type = headers.get("content-type");
  if (content === undefined)
    return [
      ...(text === "" ? [] : ["a body where the document has none"]),
      ...(type === null ? [] : [`a content-type ${type} where the document has no body`]),
    ];
  const media = content[type ?? ""];
  if (media === undefined) return [`the document has no media type ${type} here`];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return ["the body is not JSON"];
  }
  const mismatch = findMismatch(compiled, media.schema, value, true);
  if (mismatch !== undefined) return [`the answer's body: ${mismatch}`];
  if (type !== "application/problem+json") return [];
  // All problems have one schema. The examples are the reasons that are documented for this status.
  const { reason, status } = value as { readonly reason: string; readonly status: number };
  if (status !== answered) return ["the problem has another status"];
  return Object.hasOwn(media.examples ?? {}, reason) ? [] : [`the document has no reason ${reason} here`];
}

function listHeaderMismatches(
  compiled: Compiled,
  { headers: documented = {} }: ResponseObject,
  headers: Headers,
): readonly string[] {
  const mismatches: string[] = [];
  const known = new Set<string>(FOREIGN);
  for (const [name, entry] of Object.entries(documented)) {
    known.add(name.toLowerCase());
    const header =
      "$ref" in entry ? compiled.document.components.headers[entry.$ref.split("/").at(-1) ?? ""] : entry;
    const mismatch =
      header === undefined
        ? `the document lacks the header ${JSON.stringify(entry)}`
        : findHeaderMismatch(compiled, header, headers.get(name));
    if (mismatch !== undefined) mismatches.push(`the header ${name} ${mismatch}`);
  }
  // The host's own answers have none of the code's headers.
  if (headers.has("x-correlation-id"))
    for (const [name, value] of Object.entries(CONSTANT)) {
      known.add(name);
      if (headers.get(name) !== value) mismatches.push(`the header ${name} is not ${value}`);
    }
  for (const name of headers.keys())
    if (!known.has(name)) mismatches.push(`the document has no header ${name} here`);
  return mismatches;
}

function findHeaderMismatch(
  compiled: Compiled,
  header: HeaderObject,
  value: string | null,
): string | undefined {
  if (value === null) return header.required ? "is missing" : undefined;
  const mismatch = findTextMismatch(compiled, header.schema, value);
  return mismatch === undefined ? undefined : `is ${value}: ${mismatch}`;
}

// Requests that were accepted: the document must not be stricter than the code

type Params = Readonly<Record<string, string | undefined>>;

function listRequestMismatches(
  compiled: Compiled,
  operation: Operation,
  exchange: Exchange,
  params: Params,
): readonly string[] {
  return [
    ...listCredentialMismatches(compiled, operation, exchange),
    ...listParameterMismatches(compiled, operation, exchange, params),
    ...listRequestBodyMismatches(compiled, operation, exchange),
  ];
}

function listCredentialMismatches(
  { document }: Compiled,
  { security }: Operation,
  { headers, path }: Exchange,
): readonly string[] {
  const given = new Headers(headers);
  const query = new URL(path, "http://localhost").searchParams;
  const isPresented = security.some((requirement) =>
    Object.keys(requirement).every((name) => {
      const scheme = document.components.securitySchemes[name];
      if (scheme?.in === "query") return query.has(scheme.name ?? "");
      return given.has(scheme?.name ?? "authorization");
    }),
  );
  return security.length === 0 || isPresented ? [] : ["accepted without a credential of the document"];
}

function listParameterMismatches(
  compiled: Compiled,
  { parameters = [] }: Operation,
  { headers, path }: Exchange,
  params: Params,
): readonly string[] {
  const mismatches: string[] = [];
  const given = new Headers(headers);
  const { searchParams } = new URL(path, "http://localhost");
  const unknown = new Set(searchParams.keys());
  for (const scheme of Object.values(compiled.document.components.securitySchemes))
    unknown.delete(scheme.name ?? "");
  for (const { name, in: place, required, schema } of parameters) {
    const value = {
      path: decodeURIComponent(params[name] ?? ""),
      query: searchParams.get(name),
      header: given.get(name),
    }[place];
    unknown.delete(place === "query" ? name : "");
    if (value === null) {
      if (required) mismatches.push(`accepted without the parameter ${name}`);
      continue;
    }
    const mismatch = findTextMismatch(compiled, schema, value);
    if (mismatch !== undefined) mismatches.push(`accepted with the parameter ${name}: ${mismatch}`);
  }
  for (const name of unknown)
    mismatches.push(`accepted with the query parameter ${name}, which the document lacks`);
  return mismatches;
}

function listRequestBodyMismatches(
  compiled: Compiled,
  { requestBody }: Operation,
  { headers, body }: Exchange,
): readonly string[] {
  if (requestBody === undefined) return [];
  const type = new Headers(headers).get("content-type")?.split(";")[0]?.trim().toLowerCase();
  const media = requestBody.content[type ?? ""];
  if (media === undefined) return [`accepted with the media type ${type}`];
  const value: unknown = JSON.parse(Buffer.from(body ?? "").toString("utf8"));
  const mismatch = findMismatch(compiled, media.schema, withoutNulls(value));
  return mismatch === undefined ? [] : [`accepted with a body that the document refuses: ${mismatch}`];
}

function isUtf8(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
