// From an HTTP request to a handler and back: who may call, the deadline, the correlation id, the log, and the one
// catch. A handler of a streaming app must always answer (the Functions host waits for minutes otherwise).
import type { HttpHandler, HttpRequest, HttpResponseInit, InvocationContext } from "@azure/functions";
import { parseBearer } from "../../shared/auth/bearer.ts";
import type { TokenVerifier } from "../../shared/auth/token.ts";
import { createDeadline, withDeadline } from "../../shared/base/deadline.ts";
import { createLog, type Log, type LogFields, toCause } from "../../shared/base/log.ts";
import { UserId } from "../../shared/domain/notification.ts";
import { type Answer, type Failure, toProblem } from "../../shared/problem.ts";
import { err, ok, type Result } from "../../shared/base/result.ts";
import { Secret } from "../../shared/base/secret.ts";
import type { Description } from "./description.ts";

/** One call, as a handler sees it. */
export interface Call {
  readonly request: HttpRequest;
  /** Carries the correlation id, the route and the caller on every line. */
  readonly log: Log;
  /** Ends in time for an answer to be given. */
  readonly signal: AbortSignal;
}

export type Handled = Promise<Result<Answer, Failure>>;

/** Who may call a route is part of the route: a handler for devices cannot be reached without a user. */
type Access =
  | { readonly caller: "device"; readonly handle: (call: Call, userId: UserId) => Handled }
  | { readonly caller: "sender"; readonly handle: (call: Call, sender: Secret<string>) => Handled }
  | { readonly caller: "anyone"; readonly handle: (call: Call) => Handled };

export type Route = Access & {
  /** The function's name in Azure, and its file's. */
  readonly name: string;
  readonly methods: readonly ("GET" | "PUT" | "POST" | "DELETE")[];
  /** Below the `api` prefix, with `{parameters}`. */
  readonly path: string;
  /** When the answer is given, whatever has happened. */
  readonly timeoutMs: number;
  /** The query parameters that the route knows. */
  readonly query?: readonly string[];
  /** For the API's document, which is made at its first call. */
  readonly describe: () => Description;
};

export interface HandlerOptions {
  readonly tokens: TokenVerifier;
  /** `functionKey`: the Functions host checks senders before the code runs. */
  readonly senderAuth: "functionKey" | "token";
}

/** Left for what a handler must undo, and for the answer itself, once its signal has ended. */
const RESERVE_MS = 1_500;

/** Makes a route's handler into one for the Functions runtime: it never throws, and always answers in time. */
export function toHttpHandler(route: Route, options: HandlerOptions): HttpHandler {
  return async (request, context) => {
    const correlationId = context.invocationId;
    const log = toLog(context).with({ correlationId, route: route.name });
    const deadline = createDeadline(route.timeoutMs - RESERVE_MS);
    const lastMoment = createDeadline(route.timeoutMs - RESERVE_MS / 10);
    const { signal } = deadline;
    let result: Result<Answer, Failure>;
    try {
      result = await withDeadline(run(route, options, { request, log, signal }), lastMoment.signal);
    } catch (error) {
      result = err(toFailure(error, signal, log));
    } finally {
      lastMoment.clear();
      deadline.clear();
    }
    const answer = result.ok ? result.value : toProblem(result.error);
    if (result.ok) log.info("answered", { status: answer.status });
    else
      log[answer.status >= 500 ? "error" : "warn"]("refused", {
        status: answer.status,
        reason: result.error.reason,
        ...("detail" in result.error ? { detail: result.error.detail } : {}),
      });
    return toResponse(answer, correlationId);
  };
}

async function run(route: Route, options: HandlerOptions, call: Call): Handled {
  // The caller before anything else; then the query; then what the handler asks.
  switch (route.caller) {
    case "device": {
      const token = parseBearer(call.request.headers.get("authorization"));
      if (!token.ok) return token;
      const user = await options.tokens.verifyDevice(token.value, call.signal);
      if (!user.ok) return user;
      const userId = UserId.parse(user.value.userId);
      return checkQuery(route, call.request) ?? route.handle(withCaller(call, userId), userId);
    }
    case "sender": {
      if (options.senderAuth === "functionKey")
        return checkQuery(route, call.request) ?? route.handle(call, toKeyHolder(call.request));
      const token = parseBearer(call.request.headers.get("authorization"));
      if (!token.ok) return token;
      const sender = await options.tokens.verifySender(token.value, call.signal);
      if (!sender.ok) return sender;
      const { clientId } = sender.value;
      return (
        checkQuery(route, call.request) ??
        route.handle(withCaller(call, clientId), new Secret(`client ${clientId}`))
      );
    }
    case "anyone":
      return checkQuery(route, call.request) ?? route.handle(call);
  }
}

/** Who a sender is where the Functions host checks keys: whoever holds this one. */
function toKeyHolder({ headers, url }: HttpRequest): Secret<string> {
  const key = headers.get("x-functions-key") ?? new URL(url).searchParams.get("code") ?? "";
  return new Secret(`key ${key}`);
}

function withCaller(call: Call, caller: string): Call {
  return { ...call, log: call.log.with({ caller }) };
}

function checkQuery(route: Route, request: HttpRequest): Result<Answer, Failure> | undefined {
  const names = [...new URL(request.url).searchParams.keys()];
  const known = new Set(route.query);
  if (route.caller === "sender") known.add("code"); // where the Functions host takes its key
  const isClean = names.every((name) => known.has(name)) && new Set(names).size === names.length;
  return isClean ? undefined : err({ reason: "query_invalid" });
}

/** What a log may hold of an error: never an SDK's or a parser's own message. */
export function toFaultFields(error: unknown): LogFields & { readonly code?: string | undefined } {
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

/** Whose fault a surprise is. */
function toFailure(error: unknown, signal: AbortSignal, log: Log): Failure {
  const fields = toFaultFields(error);
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

function toResponse({ status, headers, body }: Answer, correlationId: string): HttpResponseInit {
  return {
    status,
    headers: {
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-correlation-id": correlationId,
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
  };
}

/** Lines go to the platform's log of this invocation. */
export function toLog(context: InvocationContext): Log {
  return createLog((level, line) => context[level](line));
}

/** A 2xx answer with a JSON body. */
export function answerJson(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Result<Answer, never> {
  return answerJsonText(status, JSON.stringify(body), headers);
}

/** The same, of text that is JSON already. */
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
