// The HTTP client under the Azure SDKs' pipelines: Node's own, with connections that are kept alive. The SDKs' client costs
// three to four times the CPU for a call (docs/performance.md). It never uses a proxy from the environment and never follows a
// redirect.
import * as http from "node:http";
import * as https from "node:https";
import { urlToHttpOptions } from "node:url";
import {
  createHttpHeaders,
  type HttpClient,
  type PipelineRequest,
  type PipelineResponse,
  RestError,
} from "@azure/core-rest-pipeline";

/** Connections to one origin. More requests than that wait for a free one. */
const MAX_SOCKETS = 128;
/** Shorter than the four minutes after which Azure's load balancers drop an idle connection. */
const KEEP_ALIVE_MS = 60_000;

/** A client for text bodies, which is all that tables and hubs need. */
export function createHttpClient(): HttpClient {
  const options = { keepAlive: true, maxSockets: MAX_SOCKETS, timeout: KEEP_ALIVE_MS };
  const agents = { "http:": new http.Agent(options), "https:": new https.Agent(options) };
  const origins = new Map<string, Origin>();
  const findOrigin = (text: string): Origin => {
    let origin = origins.get(text); // one or two: a client is for one account or one hub
    if (origin === undefined) origins.set(text, (origin = toOrigin(text, agents)));
    return origin;
  };
  return { sendRequest: (request) => send(findOrigin, request) };
}

/** What all requests to one origin share. */
interface Origin {
  /** As the Host field names it (RFC 9110 §7.2). */
  readonly host: string;
  readonly isSecure: boolean;
  readonly options: http.RequestOptions;
}

function toOrigin(text: string, agents: Readonly<Record<string, http.Agent>>): Origin {
  const url = new URL(text);
  const { hostname, port } = urlToHttpOptions(url);
  const { protocol, host } = url;
  return {
    host,
    isSecure: protocol === "https:",
    options: { protocol, hostname, port, agent: agents[protocol] },
  };
}

async function send(
  findOrigin: (text: string) => Origin,
  request: PipelineRequest,
): Promise<PipelineResponse> {
  const { method, abortSignal } = request;
  const [, originText = "", path = ""] = /^(\w+:\/\/[^/?]+)(.*)$/.exec(request.url) ?? [];
  const { host, isSecure, options } = findOrigin(originText);
  if (!isSecure && !request.allowInsecureConnection) throw new Error("a request without TLS is not allowed");
  if (abortSignal?.aborted === true) throw toAbortError(); // its event has passed
  const body = typeof request.body === "string" ? request.body : undefined;
  const headers = toFields(request, host, body);
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(toRestError(error, request));
    const outgoing = (isSecure ? https : http).request(
      { ...options, method, path: path.startsWith("/") ? path : `/${path}`, headers },
      (incoming) => {
        const { statusCode: status = 0, headers: fields } = incoming;
        readBody(incoming, fail, (bodyAsText) =>
          resolve({ request, status, headers: createHttpHeaders(toFlatHeaders(fields)), bodyAsText }),
        );
      },
    );
    const abort = () => outgoing.destroy(toAbortError());
    abortSignal?.addEventListener("abort", abort);
    outgoing.on("close", () => abortSignal?.removeEventListener("abort", abort));
    outgoing.on("error", fail);
    outgoing.end(body);
  });
}

/**
 * Names and values in turn, which costs Node less than an object. Instrumentation that copies the fields as an object
 * (OpenTelemetry's for http) would break them.
 */
function toFields({ method, headers }: PipelineRequest, host: string, body: string | undefined): string[] {
  const fields = ["host", host];
  for (const [name, value] of headers) if (!/^(?:host|content-length)$/i.test(name)) fields.push(name, value);
  if (body !== undefined || method !== "GET")
    fields.push("content-length", String(body === undefined ? 0 : Buffer.byteLength(body)));
  return fields;
}

function toAbortError(): DOMException {
  return new DOMException("the call was aborted", "AbortError");
}

/** With listeners: an iterator costs a promise and a stream's end-of-stream check for each answer. */
function readBody(
  incoming: http.IncomingMessage,
  fail: (error: unknown) => void,
  done: (text: string) => void,
): void {
  const chunks: Buffer[] = [];
  incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
  incoming.on("end", () => done(Buffer.concat(chunks).toString("utf8")));
  incoming.on("error", fail);
}

/** Of several fields of one name their values joined by commas. */
export function toFlatHeaders(headers: http.IncomingHttpHeaders): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) flat[name] = typeof value === "string" ? value : value.join(", ");
  return flat;
}

/** A broken connection, as the SDKs' retry policies know it: an error with the system's code. */
function toRestError(error: unknown, request: PipelineRequest): unknown {
  if (!(error instanceof Error) || error.name === "AbortError") return error;
  const code = "code" in error && typeof error.code === "string" ? error.code : RestError.REQUEST_SEND_ERROR;
  return new RestError(error.message, { code: code === "EPIPE" ? "ECONNRESET" : code, request });
}
