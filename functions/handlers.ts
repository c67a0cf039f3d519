// Everything behind the registered functions. main.ts loads it in the background once it has registered them, so that the
// libraries do not delay the start (docs/performance.md, "Cold start").
import { setTimeout } from "node:timers/promises";
import type { HttpHandler, TimerHandler } from "@azure/functions";
import { createClock } from "../shared/base/clock.ts";
import type { Config } from "../shared/config/config.ts";
import type { Log } from "../shared/base/log.ts";
import { createApp } from "./app.ts";
import { toHttpHandler } from "./http/handler.ts";
import { ROUTES, TIMERS } from "./routeTable.ts";
import { toTimerHandler } from "./timer.ts";

export interface Handlers {
  /** By the function's name. */
  readonly http: ReadonlyMap<string, HttpHandler>;
  readonly timers: ReadonlyMap<string, TimerHandler>;
}

/** @throws Error for a setting that an SDK cannot work with, and for a function that has no handler. */
export function createHandlers(config: Config, log: Log, stopping: AbortSignal): Handlers {
  const app = createApp(config, createClock(log), log, sleep);
  const http = new Map<string, HttpHandler>(
    app.routes.map((route) => [route.name, toHttpHandler(route, app)]),
  );
  const timers = new Map(app.timers.map((timer) => [timer.name, toTimerHandler(timer, stopping)]));
  const missing = [
    ...Object.keys(ROUTES).filter((name) => !http.has(name)),
    ...TIMERS.filter((name) => !timers.has(name)),
  ];
  if (missing.length > 0) throw new Error(`no handler for ${missing.join(", ")}`);
  return { http, timers };
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return setTimeout(ms, undefined, { signal });
}
