// The HTTP client under the Azure SDKs' pipelines: connections of undici that are kept alive. The SDKs' own client costs
// three to four times the CPU for a call (docs/performance.md). It never uses a proxy from the environment and never
// follows a redirect.
import {
  createHttpHeaders,
  type HttpClient,
  type PipelineRequest,
  type PipelineResponse,
  RestError,
} from "@azure/core-rest-pipeline";
import { Agent, type Dispatcher } from "undici";

/** Connections to one origin. More requests than that wait for a free one. */
const MAX_CONNECTIONS = 128;
/** Shorter than the four minutes after which Azure's load balancers drop an idle connection. */
const KEEP_ALIVE_MS = 60_000;

/** What undici calls a broken connection, in the words that the SDKs' retry policies know. */
const CODES: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: "ECONNRESET",
  UND_ERR_CONNECT_TIMEOUT: "ETIMEDOUT",
  UND_ERR_HEADERS_TIMEOUT: "ETIMEDOUT",
  UND_ERR_BODY_TIMEOUT: "ETIMEDOUT",
  EPIPE: "ECONNRESET",
};

/** A client for text bodies, which is all that tables and hubs need. */
export function createHttpClient(): HttpClient {
  const agent = new Agent({ connections: MAX_CONNECTIONS, keepAliveTimeout: KEEP_ALIVE_MS });
  return { sendRequest: (request) => send(agent, request) };
}

async function send(agent: Agent, request: PipelineRequest): Promise<PipelineResponse> {
  const url = new URL(request.url);
  if (url.protocol !== "https:" && !request.allowInsecureConnection)
    throw new Error("a request without TLS is not allowed");
  try {
    const response = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: request.method,
      headers: request.headers.toJSON({ preserveCase: true }),
      body: typeof request.body === "string" ? request.body : null,
      signal: (request.abortSignal as AbortSignal | undefined) ?? null,
    });
    return {
      request,
      status: response.statusCode,
      headers: createHttpHeaders(toHeaders(response.headers)),
      bodyAsText: await response.body.text(),
    };
  } catch (error) {
    throw toRestError(error, request);
  }
}

function toHeaders(headers: Dispatcher.ResponseData["headers"]): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) flat[name] = typeof value === "string" ? value : value.join(", ");
  return flat;
}

function toRestError(error: unknown, request: PipelineRequest): unknown {
  if (request.abortSignal?.aborted === true || !(error instanceof Error) || !("code" in error)) return error;
  const code =
    typeof error.code === "string" ? (CODES[error.code] ?? error.code) : RestError.REQUEST_SEND_ERROR;
  return new RestError(error.message, { code, request });
}
