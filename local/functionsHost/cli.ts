// Runs the host in this process: `node local/functionsHost/cli.ts --app DIR [--port N] [--settings FILE] [--no-timers]`.
// The settings file has the shape of local.settings.json, `-` is standard input; `"LocalKeys": { "function": { "NAME":
// "KEY" }, "master": "KEY" }` in it holds the keys of callers, which a command line would show to everyone.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createFunctionsHost } from "./host.ts";
import { toErrorText } from "./log.ts";
import { parseSettingsFile } from "./settings.ts";

/** What a stop may take: timers and handlers in flight are let end. */
const STOP_TIMEOUT_MS = 60_000;

// Started by another process (process.ts): its end is ours, whatever is going on here.
process.once("disconnect", () => process.exit(1));

try {
  const { values } = parseArgs({
    options: {
      app: { type: "string" },
      port: { type: "string" },
      settings: { type: "string" },
      "no-timers": { type: "boolean", default: false },
    },
  });
  if (values.app === undefined) throw new Error("Say which app: --app DIRECTORY");
  const file = values.settings === "-" ? 0 : values.settings;
  const parsed = file === undefined ? { settings: {} } : parseSettingsFile(readFileSync(file, "utf8"));
  const port = values.port === undefined ? undefined : parsePort(values.port);

  const host = await createFunctionsHost({
    appDirectory: values.app,
    ...parsed,
    ...(port === undefined ? {} : { port }),
    timers: !values["no-timers"],
  });

  let isStopping = false;
  const stop = async () => {
    if (isStopping) process.exit(1); // asked twice: at once
    isStopping = true;
    setTimeout(() => {
      console.error("The host gives up waiting for what is still running.");
      process.exit(1);
    }, STOP_TIMEOUT_MS).unref();
    await host.close();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void stop());

  console.log(`listening on ${host.url}`);
  process.send?.({ listening: host.url });
} catch (error) {
  console.error(
    `The Functions host did not start: ${error instanceof Error ? error.message : String(error)}`,
  );
  // Where it came from: in the app, when the app threw.
  console.error(toFrames(error instanceof Error ? (error.cause ?? error) : error));
  process.exit(1);
}

function toFrames(error: unknown): string {
  const lines = toErrorText(error).split("\n");
  return lines.filter((line) => /^\s+at /.test(line)).join("\n");
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`"${text}" is no port.`);
  return port;
}
