// HTTP streaming (`app.setup({ enableHttpStream: true })`): the request goes as it is to the library's own server
// inside the app, and that server's answer goes back; the invocation runs beside it, joined to it by its id.
import { randomUUID } from "node:crypto";
import { type Agent, type IncomingMessage, request as httpRequest } from "node:http";
import { Transform } from "node:stream";
import type { TypedData } from "./coreModule.ts";
import type { HttpFunction } from "./functionTable.ts";
import {
  answerEmpty,
  type HttpCall,
  toHeaderValue,
  toPairs,
  whenClosed,
  withoutHopByHop,
  writeHead,
} from "./httpCall.ts";
import type { Invoker } from "./invoke.ts";
import type { HostLog, LogScope } from "./log.ts";

export interface StreamingOptions {
  /** Where the library listens: its capability `HttpUri`. */
  readonly httpUri: string;
  readonly agent: Agent;
  readonly invoker: Invoker;
  readonly log: HostLog;
  readonly maxBodyBytes: number;
}

const INVOCATION_ID = "x-ms-invocation-id";

/** Resolves when the answer is out (or the client gone) and the handler has ended. Never rejects. */
export async function answerByStreaming(
  call: HttpCall,
  { name, registered }: HttpFunction,
  params: Readonly<Record<string, string>>,
  options: StreamingOptions,
): Promise<void> {
  const { invoker, log } = options;
  const invocationId = randomUUID();
  const scope = { functionName: name, invocationId };
  const fail = forward(call, scope, options);
  const leaveUnanswered = (what: string) => {
    if (!call.response.headersSent && !call.response.destroyed)
      log.write("error", `THE HANDLER ${what} WITHOUT ANSWERING: 500 here, no answer at all in Azure`, scope);
    fail(500);
  };
  let isStarted = false;
  const invoke = async (): Promise<void> => {
    try {
      const result = await invoker.invoke(registered, {
        invocationId,
        data: { http: {} },
        triggerMetadata: toTriggerMetadata(call, params),
        onStarted: () => {
          isStarted = true;
        },
      });
      if (result === undefined || result === null) leaveUnanswered("RETURNED NOTHING");
    } catch {
      leaveUnanswered("FAILED"); // the invoker has logged why
    }
  };
  const invocation = invoke();

  await whenClosed(call);
  // A request that never reached the library (its head too large, say) leaves an invocation that waits for ever.
  if (isStarted) await invocation;
}

/** Sends the request to the library's server, and its answer back. The returned function ends both with a status. */
function forward(
  call: HttpCall,
  scope: LogScope,
  { httpUri, agent, log, maxBodyBytes }: StreamingOptions,
): (status: number) => void {
  const { request, response, method, url } = call;
  const upstream = httpRequest(new URL(httpUri), {
    agent,
    method,
    path: url.pathname + url.search,
    headers: toForwardedHeaders(call, scope.invocationId),
    setHost: false,
  });
  const fail = (status: number) => {
    upstream.destroy();
    request.unpipe();
    request.resume(); // what is left of the body is of no use to anyone
    if (response.headersSent) response.destroy();
    else answerEmpty(call, status);
  };
  upstream.once("response", (answer) => passOn(answer, call));
  upstream.on("error", (error) => {
    if (response.headersSent || response.destroyed) return; // ended by us, or answered already
    log.write("error", `the app's HTTP server did not answer: ${error.message}`, scope);
    fail(502);
  });
  response.once("close", () => {
    // A client that hangs up ends the forwarded request, but does not stop the handler. If the answer came before the
    // end of the body, nobody needs the rest of the body.
    if (!response.writableFinished || !upstream.writableFinished) upstream.destroy();
    request.unpipe();
    request.resume();
  });
  request.on("error", () => upstream.destroy());

  if (method === "GET" || method === "HEAD") {
    if (hasBody(call)) log.write("warning", `the body of a ${method} request is dropped`, scope);
    request.resume();
    upstream.end();
    return fail;
  }
  const limiter = createLimiter(maxBodyBytes, () => {
    log.write("warning", "the body is over the limit of the host", scope);
    fail(413);
  });
  request.pipe(limiter).pipe(upstream);
  return fail;
}

function passOn(answer: IncomingMessage, call: HttpCall): void {
  const { response } = call;
  if (response.headersSent || response.destroyed) {
    answer.destroy();
    return;
  }
  try {
    writeHead(call, answer.statusCode ?? 502, withoutHopByHop(toPairs(answer.rawHeaders)));
  } catch {
    answer.destroy();
    answerEmpty(call, 500); // headers that cannot be sent
    return;
  }
  answer.on("error", () => response.destroy()); // cut off on the way: the client must not take it for whole
  answer.pipe(response);
}

function toForwardedHeaders(call: HttpCall, invocationId: string): Record<string, string | string[]> {
  const isBodyless = call.method === "GET" || call.method === "HEAD";
  const passed = withoutHopByHop(toPairs(call.request.rawHeaders)).filter(
    ([name]) => name.toLowerCase() !== "expect" && !(isBodyless && name.toLowerCase() === "content-length"),
  );
  const grouped = [...Map.groupBy(passed, ([name]) => name.toLowerCase())];
  return {
    ...Object.fromEntries(grouped.map(([name, pairs]) => [name, toHeaderValue(pairs)])),
    // Node frames no body of a DELETE by itself.
    ...(isBodyless || call.headers["transfer-encoding"] === undefined
      ? {}
      : { "transfer-encoding": "chunked" }),
    // What a caller sends under these names does not count.
    host: call.url.host,
    [INVOCATION_ID]: invocationId,
    "x-forwarded-host": call.url.host,
    "x-forwarded-proto": "http",
  };
}

/** From here the library takes headers and parameters. Query values show up among the parameters, as in Azure. */
function toTriggerMetadata(
  { headers, url }: HttpCall,
  params: Readonly<Record<string, string>>,
): Readonly<Record<string, TypedData>> {
  const query = toJoinedQuery(url);
  const values = Object.entries({ ...query, ...params }).map(([name, value]): [string, TypedData] => [
    name,
    { string: value },
  ]);
  return {
    ...Object.fromEntries(values),
    Query: { json: JSON.stringify(query) },
    Headers: { json: JSON.stringify(headers) },
  };
}

/** Repeated names arrive joined, as in Azure. */
function toJoinedQuery(url: URL): Readonly<Record<string, string>> {
  const grouped = Map.groupBy(url.searchParams, ([name]) => name);
  return Object.fromEntries(
    [...grouped].map(([name, pairs]) => [name, pairs.map(([, value]) => value).join(",")]),
  );
}

function hasBody({ headers }: HttpCall): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** Passes chunks on as they come; nothing is passed on once there are too many. */
function createLimiter(maxBytes: number, onOver: () => void): Transform {
  let bytes = 0;
  let isOver = false;
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        if (!isOver) onOver();
        isOver = true;
        done();
      } else done(null, chunk);
    },
  });
}
