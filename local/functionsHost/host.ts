// A local Azure Functions host: loads a built app through the programming model of `@azure/functions`, as host and
// worker do in Azure, and serves its HTTP functions and timers on 127.0.0.1. One app for each process: what the app
// keeps in modules and in the environment is the process's (process.ts runs it in one of its own).
import { once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { type CorsOptions, createCors, createKeyCheck } from "./access.ts";
import { createCoreRegistry, installCoreModule } from "./coreModule.ts";
import { createDispatcher, type Dispatcher } from "./dispatch.ts";
import { type FunctionTable, toFunctionTable } from "./functionTable.ts";
import { answerEmpty, MAX_HEADER_BYTES, toBareCall, whenClosed } from "./httpCall.ts";
import { createInvoker } from "./invoke.ts";
import { createHostLog, type HostLog } from "./log.ts";
import { parseHostJson, parseMain } from "./settings.ts";
import { createTimers } from "./timers.ts";

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

export interface FunctionSummary {
  readonly name: string;
  /** Of an HTTP function, with the prefix. */
  readonly route?: string;
  /** In upper case; all, when absent. */
  readonly methods?: readonly string[];
  readonly schedule?: string;
}

export interface FunctionsHost {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /**
   * Stops listening, lets running invocations end, runs the appTerminate hooks (after five seconds in any case). The
   * library's own server stays open, so the process has to be ended after it.
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

/** @throws Error when the app cannot be loaded, breaks a rule, does not stream its HTTP, or the port is taken. */
export async function createFunctionsHost(options: FunctionsHostOptions): Promise<FunctionsHost> {
  const { port = 0, timers: isTimed = true, masterKey } = options;
  const log = createHostLog((line) => process.stdout.write(`${line}\n`));
  const appDirectory = resolve(options.appDirectory);
  const hostJson = parseHostJson(readFileSync(resolve(appDirectory, "host.json"), "utf8"));
  const cors = options.cors === undefined ? undefined : createCors(options.cors);
  const running = createTracker();
  let dispatcher: Dispatcher | undefined;

  // The port before the app: WEBSITE_HOSTNAME is part of its environment. Until it has loaded, the answer is 503.
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_MS });
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    request.on("error", () => undefined); // a client that hangs up
    response.on("error", () => undefined);
    if (!server.listening) response.shouldKeepAlive = false; // about to stop
    if (dispatcher === undefined) answerEmpty(toBareCall(response), 503);
    else running.add(dispatcher.answer(request, response));
    running.add(logRequest(request, response, log));
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  try {
    const host = `127.0.0.1:${toPort(server.address())}`;
    setEnvironment(options.settings, host);
    process.chdir(appDirectory);

    const registry = createCoreRegistry({ log: (...entry) => invoker.log(...entry) });
    const invoker = createInvoker({ registry, log });
    installCoreModule(registry);
    await loadApp(appDirectory);
    await invoker.runAppHooks("appStart", { functionAppDirectory: appDirectory });
    registry.closeRegistration();
    const model = registry.getProgrammingModel();
    const registered = registry.getFunctions();
    if (model === undefined || registered.length === 0)
      throw new Error("The app has registered no function.");
    const { HttpUri: httpUri } = await model.getCapabilities({});
    const table = toFunctionTable(registered, { routePrefix: hostJson.routePrefix, settings: process.env });
    if (httpUri === undefined && table.http.length > 0)
      throw new Error(
        "The app has HTTP functions but does not stream them, which this host needs: call app.setup({ enableHttpStream: true }).",
      );

    const timers = createTimers({ timers: table.timers, invoker, track: running.add });
    const functions = toSummaries(table);
    const runFunction = async (name: string, input: string): Promise<void> => {
      if (table.timers.some((timer) => timer.name === name)) return timers.run(name);
      const other = table.others.find((candidate) => candidate.name === name);
      if (other === undefined)
        throw new Error(`There is no function "${name}" that runs without an HTTP request.`);
      await invoker.invoke(other.registered, { data: { string: input } });
    };
    for (const line of toLines(functions)) log.write("information", line);
    const isKeyMissing = options.keys === undefined && masterKey === undefined;
    if (isKeyMissing && table.http.some(({ authLevel }) => authLevel !== "anonymous"))
      log.write("warning", "no key is configured: functions that want one answer 401");

    dispatcher = createDispatcher({
      http: table.http,
      admin: {
        functions,
        isKeyWanted: masterKey !== undefined,
        start: (name, input) => running.add(runFunction(name, input).catch(() => undefined)), // logged by the invoker
      },
      keyCheck: createKeyCheck(options),
      cors,
      customHeaders: hostJson.customHeaders,
      host,
      httpUri,
      invoker,
      log,
      maxBodyBytes: Number(process.env[BODY_LIMIT_SETTING] ?? MAX_BODY_BYTES),
    });
    if (isTimed) timers.start();

    const close = async (): Promise<void> => {
      timers.stop();
      server.close(); // idle connections with it
      // What waits by itself is told after a while that it should not, and then has its time to end.
      const patience = new AbortController();
      await Promise.race([
        running.whenIdle(),
        setTimeout(DRAIN_MS, undefined, { signal: patience.signal }).catch(() => undefined),
      ]);
      patience.abort();
      await invoker.runAppHooks("appTerminate");
      await running.whenIdle();
      dispatcher?.close();
      server.closeAllConnections();
    };
    let closed: Promise<void> | undefined;
    return { url: `http://${host}`, close: () => (closed ??= close()) };
  } catch (error) {
    server.close();
    server.closeAllConnections();
    throw error;
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

/** What is going on, so that a stop can wait for it. A surprise of the host's own is left to crash the process. */
function createTracker() {
  const running = new Set<Promise<void>>();
  return {
    add: (run: Promise<void>): void => {
      const tracked = run.finally(() => running.delete(tracked));
      running.add(tracked);
    },
    whenIdle: async (): Promise<void> => {
      while (running.size > 0) await Promise.allSettled(running);
    },
  };
}

function setEnvironment(settings: Readonly<Record<string, string>>, host: string): void {
  const defaults = {
    FUNCTIONS_WORKER_RUNTIME: "node",
    AZURE_FUNCTIONS_ENVIRONMENT: "Development",
    WEBSITE_HOSTNAME: host,
  };
  for (const [name, value] of [...Object.entries(settings), ...Object.entries(defaults)])
    process.env[name] ??= value;
}

/** Loads every file that `main` names, one after the other. */
async function loadApp(appDirectory: string): Promise<void> {
  const main = parseMain(readFileSync(resolve(appDirectory, "package.json"), "utf8"));
  if (main === undefined) return;
  const files = globSync(main, { cwd: appDirectory }).toSorted();
  if (files.length === 0) throw new Error(`Nothing matches "main" of the app's package.json: "${main}".`);
  for (const file of files)
    try {
      await import(pathToFileURL(resolve(appDirectory, file)).href);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${file} could not be loaded: ${why}`, { cause: error });
    }
}

function toSummaries({ http, timers, others }: FunctionTable): readonly FunctionSummary[] {
  return [
    ...http.map(({ name, route, methods }) => ({
      name,
      route,
      ...(methods.length === 0 ? {} : { methods }),
    })),
    ...timers.map(({ name, schedule }) => ({ name, schedule })),
    ...others.map(({ name }) => ({ name })),
  ];
}

function toLines(functions: readonly FunctionSummary[]): readonly string[] {
  return functions.map(({ name, route, methods, schedule }) => {
    if (route !== undefined) return `${name}: [${methods?.join(",") ?? "all methods"}] /${route}`;
    return schedule === undefined ? name : `${name}: timer ${schedule}`;
  });
}

function toPort(address: ReturnType<ReturnType<typeof createServer>["address"]>): number {
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
