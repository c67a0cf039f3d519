// The file that the Functions host loads. It reads the settings, registers the functions, and then loads their handlers in the
// background. A missing or unsafe setting stops the start here. A setting that only an SDK can check ends the process a moment
// later.
import { app as functions } from "@azure/functions";
import { parseConfig, toConfigErrorText } from "../shared/config/config.ts";
import { createLog, toCause } from "../shared/base/log.ts";
import type { Handlers } from "./handlers.ts";
import { type RouteEntry, ROUTE_NAMES, ROUTES, TIMERS } from "./routeTable.ts";

const read = parseConfig(process.env);
if (!read.ok) throw new Error(toConfigErrorText(read.error));
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

let loading: Promise<Handlers> | undefined;
function load(): Promise<Handlers> {
  loading ??= import("./handlers.ts").then(({ createHandlers }) =>
    createHandlers(config, log, stopping.signal),
  );
  return loading;
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
    handler: async (request, context) => (await load()).http[name](request, context),
  });
}
functions.hook.appTerminate(() => stopping.abort());
for (const name of TIMERS)
  functions.timer(name, {
    schedule: config.schedules[name],
    handler: async (timer, context) => (await load()).timers[name](timer, context),
  });

setImmediate(() => {
  load().catch((error: unknown) => {
    log.error("start_failed", { cause: toCause(error) });
    process.exit(1);
  });
});
