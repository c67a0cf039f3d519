// From a request to what answers it, in the order of the real host: CORS, /admin, route, key, function.
import { Agent, type IncomingMessage, type ServerResponse } from "node:http";
import { type Cors, findKey, isPreflight, type KeyCheck } from "./access.ts";
import { answerAdmin, type AdminOptions } from "./admin.ts";
import type { FunctionTable } from "./functionTable.ts";
import {
  answerEmpty,
  findBadRequest,
  type HttpCall,
  toBareCall,
  toJoinedHeaders,
  toPairs,
  toUrl,
} from "./httpCall.ts";
import type { Invoker } from "./invoke.ts";
import type { HostLog } from "./log.ts";
import { toSegments } from "./routes.ts";
import { answerByStreaming } from "./streaming.ts";

export interface DispatchOptions {
  readonly http: FunctionTable["http"];
  readonly admin: Omit<AdminOptions, "keyCheck">;
  readonly keyCheck: KeyCheck;
  readonly cors: Cors | undefined;
  readonly customHeaders: Readonly<Record<string, string>>;
  /** `127.0.0.1:PORT`, for requests that name no host. */
  readonly host: string;
  /** Where the library listens. An app without HTTP functions may have no such server. */
  readonly httpUri: string | undefined;
  readonly invoker: Invoker;
  readonly log: HostLog;
  readonly maxBodyBytes: number;
}

export interface Dispatcher {
  /** Resolves when the handler has ended. */
  readonly answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  readonly close: () => void;
}

/** The longest that an idle connection to the library's server is kept; the server announces a shorter time. */
const IDLE_CONNECTION_MS = 60_000;

export function createDispatcher(options: DispatchOptions): Dispatcher {
  const { http, admin, keyCheck, cors, httpUri, invoker, log, maxBodyBytes } = options;
  // The agent obeys the time that the server announces (Keep-Alive) only if it has a timeout of its own. Without one it might
  // use a connection that the server is closing.
  const agent = new Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS });
  return {
    answer: async (request, response) => {
      const call = toHttpCall(request, response, options);
      const refused = call === undefined ? 400 : findBadRequest(request);
      if (call === undefined || refused !== undefined) {
        response.shouldKeepAlive = false;
        return answerEmpty(call ?? toBareCall(response), refused ?? 400);
      }
      if (cors !== undefined && isPreflight(call.method, call.headers)) {
        const hostHeaders = [...call.hostHeaders, ...cors.toPreflightHeaders(call.headers)];
        return answerEmpty({ ...call, hostHeaders }, 204);
      }
      if (/^\/admin(?:\/|$)/i.test(call.url.pathname)) return answerAdmin(call, { ...admin, keyCheck });
      const found = findFunction(http, call);
      if (found === undefined || httpUri === undefined) return answerEmpty(call, 404);
      const { target, params } = found;
      if (!keyCheck.isAllowed(target.authLevel, findKey(call.headers, call.url)))
        return answerEmpty(call, 401);
      return answerByStreaming(call, target, params, { invoker, log, maxBodyBytes, httpUri, agent });
    },
    close: () => agent.destroy(),
  };
}

function toHttpCall(
  request: IncomingMessage,
  response: ServerResponse,
  { host, cors, customHeaders }: DispatchOptions,
): HttpCall | undefined {
  const url = toUrl(request, host);
  if (url === undefined) return undefined;
  const headers = toJoinedHeaders(toPairs(request.rawHeaders));
  return {
    request,
    response,
    method: (request.method ?? "GET").toUpperCase(),
    url,
    headers,
    hostHeaders: cors?.toHeaders(headers["origin"]) ?? [],
    customHeaders: Object.entries(customHeaders),
  };
}

/** The first by name whose route and method fit. */
function findFunction(http: FunctionTable["http"], { method, url }: HttpCall) {
  const segments = toSegments(url.pathname);
  for (const target of http) {
    if (target.methods.length > 0 && !target.methods.includes(method)) continue;
    const params = target.matcher.match(segments);
    if (params !== undefined) return { target, params };
  }
  return undefined;
}
