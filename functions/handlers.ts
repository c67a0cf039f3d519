// The handlers of the registered functions. main.ts loads them in the background after it has registered the functions, so that
// the libraries do not delay the start (docs/performance.md, "Cold start").
import { setTimeout } from "node:timers/promises";
import type { HttpHandler, TimerHandler } from "@azure/functions";
import { createClock } from "../shared/base/clock.ts";
import type { Config } from "../shared/config/config.ts";
import type { Log } from "../shared/base/log.ts";
import { createApp } from "./app.ts";
import { toHttpHandler } from "./http/handler.ts";
import { ROUTE_NAMES, type RouteName, type TimerName, TIMERS } from "./routeTable.ts";
import { toTimerHandler } from "./timer.ts";

export interface Handlers {
  readonly http: Readonly<Record<RouteName, HttpHandler>>;
  readonly timers: Readonly<Record<TimerName, TimerHandler>>;
}

/** @throws Error for a setting that an SDK cannot work with, and for a function that has no handler. */
export function createHandlers(config: Config, log: Log, stopping: AbortSignal): Handlers {
  const app = createApp({ config, clock: createClock(log), log, sleep });
  return {
    http: toRecord(ROUTE_NAMES, app.routes, (route) => toHttpHandler(route, app)),
    timers: toRecord(TIMERS, app.timers, (timer) => toTimerHandler(timer, stopping)),
  };
}

/** The handler of each registered function. */
function toRecord<Name extends string, Part extends { readonly name: string }, Handler>(
  names: readonly Name[],
  parts: readonly Part[],
  toHandler: (part: Part) => Handler,
): Readonly<Record<Name, Handler>> {
  const handlers = names.map((name) => {
    const part = parts.find((one) => one.name === name);
    if (part === undefined) throw new Error(`no handler for ${name}`);
    return [name, toHandler(part)] as const;
  });
  return Object.fromEntries(handlers) as Record<Name, Handler>; // every name is there
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return setTimeout(ms, undefined, { signal });
}
