// The file that the Functions host loads. It reads the settings, registers the functions, and then loads their handlers in the
// background. A missing or unsafe setting stops the start here. A setting that only an SDK can check ends the process a moment
// later.
import { app as functions } from "@azure/functions";
import { parseConfig, toConfigErrorText } from "../shared/config/config.ts";
import { createLog, toCause } from "../shared/base/log.ts";
import type { Handlers } from "./handlers.ts";
import { type RouteEntry, ROUTE_NAMES, ROUTES, TIMERS } from "./routeTable.ts";

/**
 * Delay before the handlers are loaded in the background. Loading keeps the process busy, so the host should learn of the functions
 * first. An earlier call loads the handlers at once.
 */
const LOAD_AFTER_MS = 100;
/** How long a stop waits for running work. The host ends the process after 5 s (azure-functions-host, WorkerTerminateGracePeriodInSeconds). */
const ENDING_MS = 4_000;
/** Time for the library to write the last answer, which it does after the handler has ended. */
const LAST_ANSWER_MS = 100;

const read = parseConfig(process.env);
if (!read.ok) refuseStart(toConfigErrorText(read.error));
const config = read.value;
// Before any connection is made: the certificates of storage, hub, vault, issuers and push services are verified against
// these authorities too.
if (config.extraAuthorities !== undefined) {
  const tls = process.getBuiltinModule("node:tls"); // not imported: few need it, and it takes time
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ...config.extraAuthorities]);
}
// The platform captures the console.
const log = createLog((level, line) => console[level](line));
const stopping = new AbortController();
/** Calls and timer runs in progress. */
const running = new Set<Promise<unknown>>();

let loading: Promise<Handlers> | undefined;
function load(): Promise<Handlers> {
  loading ??= import("./handlers.ts").then(({ createHandlers }) =>
    createHandlers(config, log, stopping.signal),
  );
  return loading;
}

/** Runs a handler once all of them are loaded. */
function run<T>(call: (handlers: Handlers) => T | Promise<T>): Promise<T> {
  const ended = load()
    .then(call)
    .finally(() => running.delete(ended));
  running.add(ended);
  return ended;
}

// Streams, because bodies may be chunked and are counted while they arrive.
functions.setup({ enableHttpStream: true });
for (const name of ROUTE_NAMES) {
  const { methods, path, caller }: RouteEntry = ROUTES[name];
  functions.http(name, {
    methods: [...methods],
    route: path,
    // The code checks bearer tokens; the host checks function keys.
    authLevel: caller === "sender" && config.senders.auth === "functionKey" ? "function" : "anonymous",
    handler: (request, context) => run(({ http }) => http[name](request, context)),
  });
}
for (const name of TIMERS)
  functions.timer(name, {
    schedule: config.schedules[name],
    handler: (timer, context) => run(({ timers }) => timers[name](timer, context)),
  });

// The worker ends the process as soon as this has resolved, whatever is still running.
functions.hook.appTerminate(async () => {
  stopping.abort();
  await Promise.race([whenIdle(), sleep(ENDING_MS)]);
  await sleep(LAST_ANSWER_MS);
});

setTimeout(() => {
  load().catch((error: unknown) => {
    log.error("start_failed", { cause: toCause(error) });
    process.exit(1);
  });
}, LOAD_AFTER_MS);

/**
 * Ends the start with an error. It registers one function first: if an app has none, the worker does not report the error, and the
 * host answers 404 to every call (azure-functions-nodejs-worker 3.9, FunctionsMetadataHandler).
 */
function refuseStart(text: string): never {
  functions.http("health", { methods: ["GET"], handler: () => ({ status: 503 }) });
  throw new Error(text);
}

async function whenIdle(): Promise<void> {
  while (running.size > 0) await Promise.allSettled(running);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
