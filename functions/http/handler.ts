// From an HTTP request to a handler and back: who may call, the deadline, the correlation id, the log, and the only place
// that catches errors. Every call gets an answer in time: without one the Functions host waits for minutes.
import type { HttpHandler, HttpRequest, HttpResponseInit, InvocationContext } from "@azure/functions";
import { parseBearer } from "../../shared/auth/bearer.ts";
import type { TokenVerifier } from "../../shared/auth/token.ts";
import type { CallContext } from "../../shared/base/context.ts";
import { createDeadline, withDeadline } from "../../shared/base/deadline.ts";
import { createLog, type Log, type LogFields, toCause } from "../../shared/base/log.ts";
import { err, ok, type Result } from "../../shared/base/result.ts";
import { Secret } from "../../shared/base/secret.ts";
import { UserId } from "../../shared/domain/notification.ts";
import { type Answer, type Failure, toProblem } from "../../shared/problem.ts";
import type { RouteEntry, RouteName } from "../routeTable.ts";
import type { Description } from "./description.ts";
import { checkQuery } from "./query.ts";

/** One call, as a handler sees it. */
export interface Call {
  readonly request: HttpRequest;
  /** Its log puts the correlation id, the route and the caller on every line; its signal ends in time for an answer. */
  readonly context: CallContext;
}

export type Handled = Promise<Result<Answer, Failure>>;

/** Who may call a route is part of the route, so that a handler for devices cannot be reached without a user. */
type Access =
  | { readonly caller: "device"; readonly handle: (call: Call, userId: UserId) => Handled }
  | { readonly caller: "sender"; readonly handle: (call: Call, sender: Secret<string>) => Handled }
  | { readonly caller: "anyone"; readonly handle: (call: Call) => Handled };

export type Route = Access &
  RouteEntry & {
    /** The function's name in Azure, and the name of its file. */
    readonly name: RouteName;
    /** For the API's document. Called when the document is first asked for. */
    readonly describe: () => Description;
  };

export interface HandlerOptions {
  readonly tokens: TokenVerifier;
  /** `functionKey`: the Functions host checks senders before the code runs. */
  readonly senderAuth: "functionKey" | "token";
}

/** What a handler may take to roll back, and the answer to be written, after its signal has ended. */
const RESERVE_MS = 1_500;

/** Makes a route's handler into one for the Functions runtime: it never throws, and always answers in time. */
export function toHttpHandler(route: Route, options: HandlerOptions): HttpHandler {
  return async (request, invocation) => {
    const correlationId = invocation.invocationId;
    const log = toLog(invocation).with({ correlationId, route: route.name });
    const deadline = createDeadline(route.timeoutMs - RESERVE_MS);
    const lastMoment = createDeadline(route.timeoutMs - RESERVE_MS / 10);
    const { signal } = deadline;
    let result: Result<Answer, Failure>;
    try {
      const handled = run(route, options, { request, context: { log, signal } });
      result = await withDeadline(handled, lastMoment.signal);
    } catch (error) {
      result = err(judgeError(error, { log, signal }));
    } finally {
      lastMoment.clear();
      deadline.clear();
    }
    const answer = result.ok ? result.value : toProblem(result.error);
    logAnswer(log, result, answer.status);
    return toResponse(request, answer, correlationId);
  };
}

function logAnswer(log: Log, result: Result<Answer, Failure>, status: number): void {
  if (result.ok) log.info("answered", { status });
  else
    log[status >= 500 ? "error" : "warn"]("refused", {
      status,
      reason: result.error.reason,
      ...("detail" in result.error ? { detail: result.error.detail } : {}),
    });
}

/** Checks the caller first, then the query; then the handler runs. */
async function run(route: Route, options: HandlerOptions, call: Call): Handled {
  switch (route.caller) {
    case "device": {
      const user = await authenticate(call, options.tokens.verifyDevice);
      if (!user.ok) return user;
      const userId = UserId.parse(user.value.userId);
      return refuseQuery(route, call) ?? route.handle(withCaller(call, userId), userId);
    }
    case "sender": {
      if (options.senderAuth === "functionKey")
        return refuseQuery(route, call) ?? route.handle(call, toKeyHolder(call.request));
      const sender = await authenticate(call, options.tokens.verifySender);
      if (!sender.ok) return sender;
      const { clientId } = sender.value;
      return (
        refuseQuery(route, call) ?? route.handle(withCaller(call, clientId), new Secret(`client ${clientId}`))
      );
    }
    case "anyone":
      return refuseQuery(route, call) ?? route.handle(call);
  }
}

/** Verifies the bearer token of a call. */
async function authenticate<T>(
  { request, context }: Call,
  verify: (token: string, signal: AbortSignal) => Promise<Result<T, Failure>>,
): Promise<Result<T, Failure>> {
  const token = parseBearer(request.headers.get("authorization"));
  return token.ok ? verify(token.value, context.signal) : token;
}

/** A sender where the Functions host checks keys: whoever has this key. */
function toKeyHolder({ headers, url }: HttpRequest): Secret<string> {
  const key = headers.get("x-functions-key") ?? new URL(url).searchParams.get("code") ?? "";
  return new Secret(`key ${key}`);
}

function withCaller({ request, context }: Call, caller: string): Call {
  return { request, context: { ...context, log: context.log.with({ caller }) } };
}

function refuseQuery(route: Route, { request }: Call): Result<never, Failure> | undefined {
  if (!request.url.includes("?")) return undefined;
  const known = new Set(route.query);
  if (route.caller === "sender") known.add("code"); // the Functions host takes its key there too
  const failure = checkQuery(request, known);
  return failure === undefined ? undefined : err(failure);
}

/** What a log may hold of an error: never the message of an SDK or a parser, which may quote input. */
export function toErrorFields(error: unknown): LogFields & { readonly code?: string | undefined } {
  const thrown: Error & { readonly code?: unknown } =
    error instanceof Error ? error : new Error("not an error");
  const { code, name, cause } = thrown;
  return {
    code: typeof code === "string" ? code : undefined,
    name,
    message: toCause(thrown),
    cause: cause instanceof Error ? cause.name : undefined,
  };
}

/** The failure that an unexpected error becomes, logged with what is known of it. */
function judgeError(error: unknown, { log, signal }: CallContext): Failure {
  const fields = toErrorFields(error);
  const { code, name } = fields;
  if (code === "STORE_UNAVAILABLE") {
    log.error("store_unavailable", fields);
    return { reason: "store_unavailable", retryAfterSeconds: 5 };
  }
  if (code === "KEY_UNAVAILABLE") {
    log.error("key_unavailable", fields);
    return { reason: "keys_unavailable", retryAfterSeconds: 30 };
  }
  // The call's own deadline, or a shorter one inside it.
  if (signal.aborted || name === "TimeoutError") {
    log.error("too_slow", fields);
    return { reason: "too_slow", retryAfterSeconds: 5 };
  }
  const frames = (error instanceof Error ? error.stack : undefined)
    ?.split("\n")
    .filter((line) => /^\s+at /.test(line));
  log.error("internal", { ...fields, stack: frames?.join(" ") });
  return { reason: "internal" };
}

/** HEAD gets the headers of GET without the body (RFC 9110 §9.3.2). */
function toResponse(
  { method }: HttpRequest,
  { status, headers, body }: Answer,
  correlationId: string,
): HttpResponseInit {
  return {
    status,
    headers: {
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-correlation-id": correlationId,
      ...headers,
    },
    ...(body === undefined || method === "HEAD" ? {} : { body }),
  };
}

/** Writes to the platform's log of this invocation. */
export function toLog(invocation: InvocationContext): Log {
  return createLog((level, line) => invocation[level](line));
}

/** A 2xx answer with a JSON body. */
export function answerJson(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Result<Answer, never> {
  return answerJsonText(status, JSON.stringify(body), headers);
}

/** The same for text that is JSON already. */
export function answerJsonText(
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Result<Answer, never> {
  return ok({ status, headers: { "content-type": "application/json", ...headers }, body });
}

/** A 2xx answer without a body. */
export function answerNothing(status = 204): Result<Answer, never> {
  return ok({ status, headers: {} });
}
