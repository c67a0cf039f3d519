// Loads an app into this process through the programming model of `@azure/functions`, as host and worker do in Azure.
// One app for each process, because the app's modules and environment belong to the process.
import { globSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { createCoreRegistry, installCoreModule } from "./coreModule.ts";
import { type FunctionTable, toFunctionTable } from "./functionTable.ts";
import { createInvoker, type Invoker } from "./invoke.ts";
import type { HostLog } from "./log.ts";
import { parseMain } from "./settings.ts";

export interface AppOptions {
  /** Absolute. Becomes the working directory. */
  readonly directory: string;
  /** Of the HTTP functions' routes. */
  readonly routePrefix: string;
  /** Into process.env, where not set there already. */
  readonly settings: Readonly<Record<string, string>>;
  /** `127.0.0.1:PORT` of the host. */
  readonly host: string;
  readonly log: HostLog;
}

export interface App {
  readonly invoker: Invoker;
  readonly table: FunctionTable;
  /** Where the library listens for streamed HTTP. Undefined only in an app without HTTP functions. */
  readonly httpUri: string | undefined;
}

/** @throws Error when the app cannot be loaded, breaks a rule, or does not stream its HTTP. */
export async function startApp({ directory, routePrefix, settings, host, log }: AppOptions): Promise<App> {
  setEnvironment(settings, host);
  process.chdir(directory);
  const registry = createCoreRegistry({ log: (...entry) => invoker.log(...entry) });
  const invoker = createInvoker({ registry, log });
  installCoreModule(registry);
  await loadFiles(directory);
  await invoker.runAppHooks("appStart", { functionAppDirectory: directory });
  registry.closeRegistration();
  const model = registry.getProgrammingModel();
  const registered = registry.getFunctions();
  if (model === undefined || registered.length === 0) throw new Error("The app has registered no function.");
  const { HttpUri: httpUri } = await model.getCapabilities({});
  const table = toFunctionTable(registered, { routePrefix, settings: process.env });
  if (httpUri === undefined && table.http.length > 0)
    throw new Error(
      "The app has HTTP functions but does not stream them, which this host needs: call app.setup({ enableHttpStream: true }).",
    );
  return { invoker, table, httpUri };
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
async function loadFiles(directory: string): Promise<void> {
  const main = parseMain(readFileSync(resolve(directory, "package.json"), "utf8"));
  if (main === undefined) return;
  const files = globSync(main, { cwd: directory }).toSorted();
  if (files.length === 0) throw new Error(`Nothing matches "main" of the app's package.json: "${main}".`);
  for (const file of files)
    try {
      await import(pathToFileURL(resolve(directory, file)).href);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${file} could not be loaded: ${why}`, { cause: error });
    }
}
