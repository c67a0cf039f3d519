// What the app registered, checked by the rules of the real host and sorted by trigger. No I/O.
import type { Binding, RegisteredFunction } from "./coreModule.ts";
import { findTrigger } from "./invoke.ts";
import { createRouteMatcher, type RouteMatcher } from "./routes.ts";

export interface HttpFunction {
  readonly name: string;
  readonly registered: RegisteredFunction;
  /** With the prefix, without a leading slash. */
  readonly route: string;
  /** In upper case; empty: all. */
  readonly methods: readonly string[];
  readonly authLevel: "anonymous" | "function" | "admin";
  readonly matcher: RouteMatcher;
}

export interface TimerFunction {
  readonly name: string;
  readonly registered: RegisteredFunction;
  /** A setting's value where the app says `%SETTING%`. */
  readonly schedule: string;
  readonly runOnStartup: boolean;
}

export interface FunctionTable {
  /** In the order in which they are tried: by name. */
  readonly http: readonly HttpFunction[];
  readonly timers: readonly TimerFunction[];
  /** Other triggers: they run through /admin only. */
  readonly others: readonly { readonly name: string; readonly registered: RegisteredFunction }[];
}

/** A function as /admin and the lines of the start show it. */
export interface FunctionSummary {
  readonly name: string;
  /** Of an HTTP function, with the prefix. */
  readonly route?: string;
  /** In upper case; all, when absent. */
  readonly methods?: readonly string[];
  readonly schedule?: string;
}

export interface FunctionTableOptions {
  readonly routePrefix: string;
  readonly settings: Readonly<Record<string, string | undefined>>;
}

/** @throws Error with every fault: unlike the real host, which leaves a faulty function out, we refuse the app. */
export function toFunctionTable(
  functions: readonly RegisteredFunction[],
  { routePrefix, settings }: FunctionTableOptions,
): FunctionTable {
  const faults: string[] = [];
  const http: HttpFunction[] = [];
  const timers: TimerFunction[] = [];
  const others: { name: string; registered: RegisteredFunction }[] = [];

  const sorted = functions
    .filter(({ metadata }) => !isDisabled(metadata.name, settings))
    .toSorted((a, b) => compare(a.metadata.name.toLowerCase(), b.metadata.name.toLowerCase()));
  for (const registered of sorted) {
    const { name } = registered.metadata;
    try {
      if (!/^[a-z][a-z0-9_-]{0,127}$/i.test(name) || name.toLowerCase() === "host")
        throw new Error("the name is not allowed");
      const { binding } = findTrigger(registered);
      switch (binding.type.toLowerCase()) {
        case "httptrigger":
          http.push(toHttpFunction(registered, binding, routePrefix, http));
          break;
        case "timertrigger":
          timers.push({
            name,
            registered,
            schedule: resolveSetting(binding.schedule ?? "", settings),
            runOnStartup: binding.runOnStartup ?? false,
          });
          break;
        default:
          others.push({ name, registered });
      }
    } catch (error) {
      faults.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (faults.length > 0) throw new Error(`The app's functions are not accepted:\n${faults.join("\n")}`);
  return { http, timers, others };
}

function toHttpFunction(
  registered: RegisteredFunction,
  binding: Binding,
  routePrefix: string,
  others: readonly HttpFunction[],
): HttpFunction {
  const { name } = registered.metadata;
  const own = binding.route ?? name;
  if (/^\/?(?:admin|runtime)/i.test(binding.route ?? "")) throw new Error(`the route "${own}" is reserved`);
  if (own.startsWith("/")) throw new Error(`the route "${own}" must not begin with /`);
  const route = [routePrefix, own].filter((part) => part !== "").join("/");
  const methods = (binding.methods ?? []).map((method) => method.toUpperCase());
  const taken = others.find(
    (other) =>
      other.route.toLowerCase() === route.toLowerCase() &&
      (methods.length === 0 ||
        other.methods.length === 0 ||
        methods.some((method) => other.methods.includes(method))),
  );
  if (taken !== undefined) throw new Error(`the route "${own}" is taken by "${taken.name}"`);
  return {
    name,
    registered,
    route,
    methods,
    authLevel: toAuthLevel(binding.authLevel),
    matcher: createRouteMatcher(route),
  };
}

export function toSummaries({ http, timers, others }: FunctionTable): readonly FunctionSummary[] {
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

function toAuthLevel(level = "anonymous"): HttpFunction["authLevel"] {
  const lower = level.toLowerCase();
  if (lower === "anonymous" || lower === "function" || lower === "admin") return lower;
  throw new Error(`the authLevel "${level}" is not known`);
}

/** @throws Error when the setting is not there. */
function resolveSetting(text: string, settings: FunctionTableOptions["settings"]): string {
  return text.replace(/%([^%]+)%/g, (_whole, name: string) => {
    const value = settings[name];
    if (value === undefined) throw new Error(`the setting "${name}" of its schedule is missing`);
    return value;
  });
}

/** A setting of Azure's own: `AzureWebJobs.NAME.Disabled`. */
function isDisabled(name: string, settings: FunctionTableOptions["settings"]): boolean {
  return /^(?:true|1)$/i.test(settings[`AzureWebJobs.${name}.Disabled`] ?? "");
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
