// A local Azure Functions host: loads a built app (app.ts) and serves its HTTP functions and timers on 127.0.0.1.
// One app for each process; process.ts runs the host in a process of its own.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { closeServer, toPort } from "../server.ts";
import { type CorsOptions, createCors, createKeyCheck } from "./access.ts";
import { type App, startApp } from "./app.ts";
import { createDispatcher, type Dispatcher } from "./dispatch.ts";
import { type FunctionSummary, toSummaries } from "./functionTable.ts";
import { answerEmpty, MAX_HEADER_BYTES, toBareCall, whenClosed } from "./httpCall.ts";
import { createHostLog, type HostLog } from "./log.ts";
import { parseHostJson } from "./settings.ts";
import { createTimers, type Timers } from "./timers.ts";

export interface FunctionsHostOptions {
  /** Holds host.json and package.json, whose `main` says what is loaded. */
  readonly appDirectory: string;
  /** On 127.0.0.1. Default: a free one. */
  readonly port?: number;
  /** Into process.env, where not set there already. */
  readonly settings: Readonly<Record<string, string>>;
  readonly cors?: CorsOptions;
  /** Function keys by name, for `authLevel: "function"`. With none, nobody gets in there. */
  readonly keys?: Readonly<Record<string, string>>;
  /** For `authLevel: "admin"` and /admin; counts as a function key too. */
  readonly masterKey?: string;
  /** Whether timers run by the clock (default) or only when asked. */
  readonly timers?: boolean;
}

export interface FunctionsHost {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /**
   * Stops listening, waits up to five seconds for running invocations, then up to five seconds for the appTerminate hooks. Whatever
   * still runs after that is abandoned, as by the real worker. The library's own server stays open, so end the process afterwards.
   */
  readonly close: () => Promise<void>;
}

/** The real host's default, and the setting that changes it. */
const MAX_BODY_BYTES = 104_857_600;
const BODY_LIMIT_SETTING = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT";
/** As the real host's web server; clients that keep connections do not run into a closed one. */
const KEEP_ALIVE_MS = 130_000;

/** A stop waits so long for running invocations before it runs the appTerminate hooks. */
const DRAIN_MS = 5_000;
/** The hooks have so long (azure-functions-host, WorkerTerminateGracePeriodInSeconds). */
const HOOKS_MS = 5_000;

/** @throws Error when the app cannot be loaded, breaks a rule, does not stream its HTTP, or the port is taken. */
export async function createFunctionsHost(options: FunctionsHostOptions): Promise<FunctionsHost> {
  const { port = 0, timers: isTimed = true, settings } = options;
  const log = createHostLog((line) => process.stdout.write(`${line}\n`));
  const directory = resolve(options.appDirectory);
  const { routePrefix, customHeaders } = parseHostJson(readFileSync(resolve(directory, "host.json"), "utf8"));
  const cors = options.cors === undefined ? undefined : createCors(options.cors);
  const running = createTracker();
  let dispatcher: Dispatcher | undefined;
  // The port before the app: WEBSITE_HOSTNAME is part of its environment. Until it has loaded, the answer is 503.
  const server = createHttpServer({ log, running, getDispatcher: () => dispatcher });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  try {
    const host = `127.0.0.1:${toPort(server)}`;
    const app = await startApp({ directory, routePrefix, settings, host, log });
    const timers = createTimers({ timers: app.table.timers, invoker: app.invoker, track: running.add });
    const functions = toSummaries(app.table);
    reportFunctions(app, functions, options, log);
    const runFunction = createRunner(app, timers);
    dispatcher = createDispatcher({
      ...app,
      http: app.table.http,
      admin: {
        functions,
        isKeyWanted: options.masterKey !== undefined,
        start: (name, input) => running.add(runFunction(name, input).catch(() => undefined)), // logged by the invoker
      },
      keyCheck: createKeyCheck(options),
      cors,
      customHeaders,
      host,
      log,
      maxBodyBytes: Number(process.env[BODY_LIMIT_SETTING] ?? MAX_BODY_BYTES),
    });
    if (isTimed) timers.start();
    let closed: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      timers.stop();
      await drain(app, server, running);
      dispatcher?.close();
      server.closeAllConnections();
    };
    return { url: `http://${host}`, close: () => (closed ??= close()) };
  } catch (error) {
    await closeServer(server);
    throw error;
  }
}

interface HttpServerOptions {
  readonly log: HostLog;
  readonly running: Tracker;
  /** Undefined until the app has loaded. */
  readonly getDispatcher: () => Dispatcher | undefined;
}

function createHttpServer({ log, running, getDispatcher }: HttpServerOptions): Server {
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_MS });
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    request.on("error", () => undefined); // a client that hangs up
    response.on("error", () => undefined);
    if (!server.listening) response.shouldKeepAlive = false; // about to stop
    const dispatcher = getDispatcher();
    if (dispatcher === undefined) answerEmpty(toBareCall(response), 503);
    else running.add(dispatcher.answer(request, response));
    running.add(logRequest(request, response, log));
  });
  return server;
}

/** Logs what the app has registered. */
function reportFunctions(
  { table }: App,
  functions: readonly FunctionSummary[],
  { keys, masterKey }: FunctionsHostOptions,
  log: HostLog,
): void {
  for (const line of toLines(functions)) log.write("information", line);
  const isKeyMissing = keys === undefined && masterKey === undefined;
  if (isKeyMissing && table.http.some(({ authLevel }) => authLevel !== "anonymous"))
    log.write("warning", "no key is configured: functions that want one answer 401");
}

/** Runs a function that has no HTTP trigger, to its end. It rejects when there is none, and with what it threw. */
function createRunner(
  { table, invoker }: App,
  timers: Timers,
): (name: string, input: string) => Promise<void> {
  return async (name, input) => {
    if (table.timers.some((timer) => timer.name === name)) return timers.run(name);
    const other = table.others.find((candidate) => candidate.name === name);
    if (other === undefined)
      throw new Error(`There is no function "${name}" that runs without an HTTP request.`);
    await invoker.invoke(other.registered, { data: { string: input } });
  };
}

/** Stops listening, and lets what is running end. */
async function drain({ invoker }: App, server: Server, running: Tracker): Promise<void> {
  server.close(); // idle connections with it
  await waitAtMost(DRAIN_MS, running.whenIdle());
  await waitAtMost(HOOKS_MS, invoker.runAppHooks("appTerminate"));
}

async function waitAtMost(ms: number, work: Promise<void>): Promise<void> {
  const ended = new AbortController();
  const { signal } = ended;
  try {
    await Promise.race([work, setTimeout(ms, undefined, { signal }).catch(() => undefined)]);
  } finally {
    ended.abort();
  }
}

/** One line for each request, without the query, which may hold a key. Resolves when the answer has been sent. */
async function logRequest(request: IncomingMessage, response: ServerResponse, log: HostLog): Promise<void> {
  const startedAtMs = performance.now();
  await whenClosed({ response });
  const path = (request.url ?? "").split("?")[0];
  const status = response.headersSent ? response.statusCode : "---"; // the client went away
  const durationMs = Math.round(performance.now() - startedAtMs);
  log.write("information", `${request.method} ${path} ${status} ${durationMs} ms`);
}

interface Tracker {
  readonly add: (run: Promise<void>) => void;
  readonly whenIdle: () => Promise<void>;
}

/** What is going on, so that a stop can wait for it. A surprise of the host's own is left to crash the process. */
function createTracker(): Tracker {
  const running = new Set<Promise<void>>();
  return {
    add: (run) => {
      const tracked = run.finally(() => running.delete(tracked));
      running.add(tracked);
    },
    whenIdle: async () => {
      while (running.size > 0) await Promise.allSettled(running);
    },
  };
}

function toLines(functions: readonly FunctionSummary[]): readonly string[] {
  return functions.map(({ name, route, methods, schedule }) => {
    if (route !== undefined) return `${name}: [${methods?.join(",") ?? "all methods"}] /${route}`;
    return schedule === undefined ? name : `${name}: timer ${schedule}`;
  });
}
