// Holds what went over HTTP to the API's document: path, method, status, media type, headers and body of every answer,
// and of every request that was taken. A request that was refused need not fit: most tests send such.
import { type AnySchemaObject, Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type {
  OpenApi,
  Operation,
  ParameterObject,
  ResponseObject,
} from "../../functions/openapi/openApiDocument.ts";

export interface Exchange {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly answer: { readonly status: number; readonly headers: Headers; readonly text: string };
}

export interface Contract {
  /** @throws Error that says what does not fit. */
  readonly check: (exchange: Exchange) => void;
  /** What a schema of the document, by its name there, has against a value. */
  readonly toFault: (name: string, value: unknown) => string | undefined;
  /** What a parameter has against its text. */
  readonly toParameterFault: (parameter: ParameterObject, text: string) => string | undefined;
}

/** What HTTP and the Functions host add, of which the document need not tell. */
const FOREIGN: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "content-type",
  "date",
  "keep-alive",
  "transfer-encoding",
  "x-ms-invocation-id",
]);

/** On every answer of the code, and told once, in words. */
const CONSTANT: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

export function createContract(document: OpenApi): Contract {
  const ajv = new Ajv2020({ allErrors: true, strict: true, strictTypes: false, strictRequired: false });
  ajv.addFormat("date-time", true); // its pattern says more
  ajv.addKeyword("discriminator"); // for generators; `oneOf` says the same
  const compiled = new Map<string, ValidateFunction>();
  const $defs = document.components.schemas;

  /** What is wrong with a value, if anything is. An answer may have no member that its schema does not name. */
  function toFault(schema: AnySchemaObject, value: unknown, isClosed = false): string | undefined {
    const key = `${isClosed} ${JSON.stringify(schema)}`;
    let validate = compiled.get(key);
    if (validate === undefined) {
      const text = JSON.stringify({ ...schema, $defs }, (_name, part: unknown) =>
        isClosed ? close(part) : part,
      );
      validate = ajv.compile(JSON.parse(text.replaceAll("#/components/schemas/", "#/$defs/")) as object);
      compiled.set(key, validate);
    }
    return validate(value) ? undefined : ajv.errorsText(validate.errors);
  }

  function find(pathname: string) {
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

  function toFaults(exchange: Exchange): readonly string[] {
    const { method, answer } = exchange;
    const url = new URL(exchange.path, "http://localhost");
    if (!url.pathname.startsWith("/api/")) return []; // the host's own, for whoever runs it
    const found = find(url.pathname);
    const operation = found && findOperation(found.operations, method);
    // The host's own 404, which the document tells of in words; also for what is not UTF-8, where the host refuses it.
    const isBare = answer.status === 404 && answer.text === "" && !answer.headers.has("x-correlation-id");
    if (isBare && (operation === undefined || !isUtf8(url.pathname))) return [];
    if (found === undefined || operation === undefined) return ["the document has no such operation"];
    const response = operation.responses[String(answer.status)];
    if (response === undefined) return ["the document has no such status here"];
    return [
      ...(method === "HEAD" ? [] : toBodyFaults(response, answer)),
      ...toHeaderFaults(response, answer.headers),
      ...(answer.status < 300 ? toRequestFaults(operation, exchange, url, found.params) : []),
    ];
  }

  function toBodyFaults(
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
    const fault = toFault(media.schema, value, true);
    if (fault !== undefined) return [`the answer's body: ${fault}`];
    // All problems share one schema; the examples are the reasons that are documented for this status.
    const { reason, status } = value as { readonly reason?: string; readonly status?: number };
    if (type === "application/problem+json" && status !== answered) return ["the problem has another status"];
    const isKnown = media.examples === undefined || Object.hasOwn(media.examples, reason ?? "");
    return isKnown ? [] : [`the document has no reason ${reason} here`];
  }

  function toHeaderFaults({ headers: documented = {} }: ResponseObject, headers: Headers): readonly string[] {
    const faults: string[] = [];
    const known = new Set<string>(FOREIGN);
    for (const [name, entry] of Object.entries(documented)) {
      known.add(name.toLowerCase());
      const header =
        "$ref" in entry ? document.components.headers[entry.$ref.split("/").at(-1) ?? ""] : entry;
      const value = headers.get(name);
      if (header === undefined) faults.push(`the document lacks the header ${JSON.stringify(entry)}`);
      else if (value === null) {
        if (header.required) faults.push(`the header ${name} is missing`);
      } else {
        const fault = toFault(header.schema, toValue(header.schema, value));
        if (fault !== undefined) faults.push(`the header ${name}: ${value}: ${fault}`);
      }
    }
    // What the host answers by itself has none of the code's.
    if (headers.has("x-correlation-id"))
      for (const [name, value] of Object.entries(CONSTANT)) {
        known.add(name);
        if (headers.get(name) !== value) faults.push(`the header ${name} is not ${value}`);
      }
    for (const name of headers.keys())
      if (!known.has(name)) faults.push(`the document has no header ${name} here`);
    return faults;
  }

  /** Of a request that was taken: the document must not be stricter than the code. */
  function toRequestFaults(
    { parameters = [], requestBody, security }: Operation,
    { headers: given, body }: Exchange,
    url: URL,
    params: Readonly<Record<string, string | undefined>>,
  ): readonly string[] {
    const faults: string[] = [];
    const headers = new Headers(given);
    const schemes = document.components.securitySchemes;
    const query = new Set(url.searchParams.keys());
    const isPresented = security.some((requirement) =>
      Object.keys(requirement).every((name) => {
        const scheme = schemes[name];
        if (scheme?.in === "query") return query.has(scheme.name ?? "");
        return headers.has(scheme?.name ?? "authorization");
      }),
    );
    if (security.length > 0 && !isPresented) faults.push("taken without a credential of the document");
    for (const scheme of Object.values(schemes)) query.delete(scheme.name ?? "");

    for (const parameter of parameters) {
      const { name, in: place, required } = parameter;
      const value = {
        path: decodeURIComponent(params[name] ?? ""),
        query: url.searchParams.get(name),
        header: headers.get(name),
      }[place];
      query.delete(place === "query" ? name : "");
      if (value === null || value === undefined) {
        if (required) faults.push(`taken without the parameter ${name}`);
        continue;
      }
      const fault = toParameterFault(parameter, value);
      if (fault !== undefined) faults.push(`taken with the parameter ${name}: ${fault}`);
    }
    for (const name of query) faults.push(`taken with the query parameter ${name}, which the document lacks`);

    if (requestBody === undefined) return faults;
    const type = headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
    const media = requestBody.content[type ?? ""];
    if (media === undefined) return [...faults, `taken with the media type ${type}`];
    const fault = toFault(media.schema, withoutNulls(JSON.parse(Buffer.from(body ?? "").toString("utf8"))));
    return fault === undefined
      ? faults
      : [...faults, `taken with a body that the document refuses: ${fault}`];
  }

  function toParameterFault({ schema }: ParameterObject, text: string): string | undefined {
    return toFault(schema, toValue(schema, text));
  }

  /** A parameter or header, which is text, as its schema sees it. */
  function toValue(schema: AnySchemaObject, text: string): unknown {
    const { type } = schema as { readonly type?: string };
    if ((type === "integer" || type === "number") && /^-?\d+(?:\.\d+)?$/.test(text)) return Number(text);
    if (type === "boolean" && (text === "true" || text === "false")) return text === "true";
    return text;
  }

  return {
    check: (exchange) => {
      const faults = toFaults(exchange);
      if (faults.length === 0) return;
      const { method, path, answer } = exchange;
      throw new Error(
        `not as the API's document says: ${method} ${path.slice(0, 200)} ${answer.status}: ${faults.join("; ")}; ` +
          `the answer: ${answer.text.slice(0, 500)}`,
      );
    },
    toFault: (name, value) => toFault({ $ref: `#/components/schemas/${name}` }, value),
    toParameterFault,
  };
}

/** Objects whose schema lists members take no others. */
function close(part: unknown): unknown {
  const isOpen =
    typeof part === "object" &&
    part !== null &&
    "type" in part &&
    part.type === "object" &&
    "properties" in part &&
    !("additionalProperties" in part);
  return isOpen ? { ...part, additionalProperties: false } : part;
}

function isUtf8(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The members of a request body that the service reads: an optional one that is `null` counts as absent. */
export function withoutNulls(body: unknown): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  return Object.fromEntries(
    Object.entries(body).filter(([name, value]) => value !== null || !OPTIONAL.has(name)),
  );
}

const OPTIONAL: ReadonlySet<string> = new Set(["ttl", "urgency", "topic", "display", "vapidPublicKey"]);
