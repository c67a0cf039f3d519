// The HTTP client under the Azure SDKs' pipelines: Node's own, with connections that are kept alive. The SDKs' client costs
// three to four times the CPU for a call (docs/performance.md). It never uses a proxy from the environment and never follows a
// redirect.
import * as http from "node:http";
import * as https from "node:https";
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
  const agents = { http: new http.Agent(options), https: new https.Agent(options) };
  return { sendRequest: (request) => send(agents, request) };
}

interface Agents {
  readonly http: http.Agent;
  readonly https: https.Agent;
}

async function send(agents: Agents, request: PipelineRequest): Promise<PipelineResponse> {
  const url = new URL(request.url);
  const isSecure = url.protocol === "https:";
  if (!isSecure && !request.allowInsecureConnection) throw new Error("a request without TLS is not allowed");
  const { abortSignal } = request;
  if (abortSignal?.aborted === true) throw toAbortError(); // its event has passed
  const body = typeof request.body === "string" ? request.body : undefined;
  const headers: Record<string, string | number> = request.headers.toJSON({ preserveCase: true });
  headers["content-length"] = body === undefined ? 0 : Buffer.byteLength(body);
  if (body === undefined && request.method === "GET") delete headers["content-length"];
  return new Promise((resolve, reject) => {
    const outgoing = (isSecure ? https : http).request(
      url,
      { method: request.method, headers, agent: isSecure ? agents.https : agents.http },
      (incoming) => {
        readBody(incoming).then(
          (bodyAsText) =>
            resolve({
              request,
              status: incoming.statusCode ?? 0,
              headers: createHttpHeaders(toFlatHeaders(incoming.headers)),
              bodyAsText,
            }),
          (error: unknown) => reject(toRestError(error, request)),
        );
      },
    );
    const abort = () => outgoing.destroy(toAbortError());
    abortSignal?.addEventListener("abort", abort);
    outgoing.on("close", () => abortSignal?.removeEventListener("abort", abort));
    outgoing.on("error", (error) => reject(toRestError(error, request)));
    outgoing.end(body);
  });
}

function toAbortError(): DOMException {
  return new DOMException("the call was aborted", "AbortError");
}

async function readBody(incoming: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
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
