// The file that the Functions host loads: reads the settings, builds the app, registers its functions. A setting that is
// missing or unsafe stops the start here.
import { setTimeout } from "node:timers/promises";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { app as functions } from "@azure/functions";
import { createClock } from "../shared/base/clock.ts";
import { parseConfig, toConfigErrorText } from "../shared/config/config.ts";
import { createLog } from "../shared/base/log.ts";
import { createApp } from "./app.ts";
import { toHttpHandler } from "./http/handler.ts";
import { toTimerHandler } from "./timer.ts";

const config = parseConfig(process.env);
if (!config.ok) throw new Error(toConfigErrorText(config.error));
const { extraAuthorities } = config.value;
// Before any connection is made: storage, hub, vault, issuers and push services are all verified against these too.
if (extraAuthorities !== undefined)
  setDefaultCACertificates([...getCACertificates("default"), ...extraAuthorities]);
// The platform captures the console.
const log = createLog((level, line) => console[level](line));
const app = createApp(config.value, createClock(log), log, sleep);

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return setTimeout(ms, undefined, { signal });
}

// Streams, because bodies may be chunked and are counted while they arrive.
functions.setup({ enableHttpStream: true });
for (const route of app.routes)
  functions.http(route.name, {
    methods: [...route.methods],
    route: route.path,
    // The code checks bearer tokens; the host checks function keys.
    authLevel: route.caller === "sender" && app.senderAuth === "functionKey" ? "function" : "anonymous",
    handler: toHttpHandler(route, app),
  });
const stopping = new AbortController();
functions.hook.appTerminate(() => stopping.abort());
for (const timer of app.timers)
  functions.timer(timer.name, {
    schedule: timer.schedule,
    handler: toTimerHandler(timer, stopping.signal),
  });
