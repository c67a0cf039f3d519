// Loads a bundle of an app in this process, as the Functions worker does it, and sends the times. It imports nothing else, so
// that nothing else is measured. Arguments: PATH
import { existsSync } from "node:fs";
import Module from "node:module";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";

/** Milliseconds. */
export interface Loaded {
  readonly importMs: number;
  readonly sinceStartMs: number;
  /** Until the handlers, which main.js loads in the background or at the first call, are loaded too, since the process began. */
  readonly completeMs: number;
}

const [, , path = ""] = process.argv;
/** Takes registrations, as the module that the worker supplies. */
const core = {
  setProgrammingModel: () => undefined,
  registerFunction: () => ({ dispose: () => undefined }),
  registerHook: () => ({ dispose: () => undefined }),
  log: () => undefined,
  getProgrammingModel: () => undefined,
  Disposable: Object,
  version: "4.0.0",
  hostVersion: "4.0.0",
};
const original = Reflect.get(Module.prototype, "require") as (id: string) => unknown;
Reflect.set(Module.prototype, "require", function (this: unknown, id: string) {
  return id === "@azure/functions-core" ? core : original.call(this, id);
});
// The line about the certificate is not of interest, but a sender that does not start is.
console.info = () => undefined;
console.error = (line: string) => {
  throw new Error(line);
};
const startedMs = performance.now();
await import(pathToFileURL(path).href);
const sinceStartMs = performance.now(); // since the process began
const handlers = new URL("handlers.js", pathToFileURL(path));
const hasHandlers = existsSync(handlers);
if (hasHandlers) await import(handlers.href);
const completeMs = performance.now();
if (hasHandlers) await setTimeout(200); // main.js makes the app of them now, and says what is wrong with a sender
const loaded: Loaded = { importMs: sinceStartMs - startedMs, sinceStartMs, completeMs };
process.send?.(loaded, () => process.exit());
