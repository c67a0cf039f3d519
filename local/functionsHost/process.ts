// The host in a process of its own, which ends with ours. Settings go through a pipe: they are neither on disk nor in
// the process list.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { FunctionsHostOptions } from "./host.ts";
import type { SettingsFile } from "./settings.ts";

export interface FunctionsHostProcessOptions extends FunctionsHostOptions {
  /** Takes every line of the host and the app, standard output and standard error alike. */
  readonly onLine?: (line: string) => void;
}

interface FunctionsHostExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface FunctionsHostProcess {
  readonly url: string;
  /** Lets running invocations end; resolves when the process has ended. */
  readonly close: () => Promise<void>;
  /** Sends a signal to the whole process group; resolves when the process has ended. */
  readonly kill: (signal: NodeJS.Signals) => Promise<void>;
  readonly exited: Promise<FunctionsHostExit>;
  /** The lines so far, the newest last; the oldest are dropped. */
  readonly output: readonly string[];
}

const MAX_LINES = 10_000;
/** Read by Node.js when a process starts: set by the app's settings they would come too late. */
const NODE_SETTINGS = ["NODE_EXTRA_CA_CERTS", "NODE_OPTIONS"];
/** All that the process needs of our own environment. */
const INHERITED = ["PATH", "SystemRoot", "TMPDIR", "TEMP"];

/** @throws Error with the host's own words when it does not start. */
export async function startFunctionsHostProcess(
  options: FunctionsHostProcessOptions,
): Promise<FunctionsHostProcess> {
  const child = spawnHost(options);
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("no pipes"); // never: asked for in spawnHost
  const killWithUs = () => signalGroup(child, "SIGKILL");
  process.once("exit", killWithUs);

  const output: string[] = [];
  const take = (line: string) => {
    output.push(line);
    if (output.length > MAX_LINES) output.shift();
    options.onLine?.(line);
  };
  // "close" comes when the output is at its end too; "exit" may come before its last lines.
  const exited = Promise.all([once(child, "close"), readLines(stdout, take), readLines(stderr, take)]).then(
    (): FunctionsHostExit => {
      process.off("exit", killWithUs);
      return { code: child.exitCode, signal: child.signalCode };
    },
  );

  stdin.on("error", () => undefined); // the process ended before it read them; `exited` tells why
  stdin.end(JSON.stringify(toSettingsFile(options)));
  const url = await Promise.race([
    whenListening(child),
    exited.then(({ code, signal }) => {
      throw new Error(
        `The Functions host ended (${signal ?? code}) before it listened:\n${output.join("\n")}`,
      );
    }),
  ]);

  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (signal === "SIGKILL") signalGroup(child, signal);
    else child.kill(signal);
    await exited;
  };
  let closed: Promise<void> | undefined; // a second signal would end it at once
  return { url, kill, close: () => (closed ??= kill("SIGTERM")), exited, output };
}

function spawnHost({
  appDirectory,
  port,
  settings,
  timers = true,
}: FunctionsHostProcessOptions): ChildProcess {
  const cli = fileURLToPath(import.meta.resolve("./cli.ts"));
  const options = [
    "--app",
    appDirectory,
    "--settings",
    "-",
    ...(port === undefined ? [] : ["--port", String(port)]),
    ...(timers ? [] : ["--no-timers"]),
  ];
  return spawn(process.execPath, [cli, ...options], {
    env: {
      ...Object.fromEntries(INHERITED.map((name) => [name, process.env[name]])),
      ...Object.fromEntries(NODE_SETTINGS.map((name) => [name, settings[name]])),
    },
    // The channel carries the message that the host listens. It closes when this process ends, in whatever way.
    stdio: ["pipe", "pipe", "pipe", "ipc"],
    // A process group of its own: Ctrl-C reaches only this process, which ends the host in its own order.
    detached: true,
  });
}

/** Resolves when the input has ended. */
async function readLines(input: Readable, take: (line: string) => void): Promise<void> {
  const reader = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  reader.on("line", take);
  await once(reader, "close");
}

/** Resolves with the host's URL. */
function whenListening(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("message", (message) => {
      if (typeof message === "object" && "listening" in message) resolve(String(message.listening));
    });
  });
}

function toSettingsFile({ settings, cors, keys, masterKey }: FunctionsHostProcessOptions): SettingsFile {
  return {
    IsEncrypted: false,
    Values: { ...settings },
    Host:
      cors === undefined ? {} : { CORS: cors.origins.join(","), CORSCredentials: cors.credentials ?? false },
    LocalKeys: {
      ...(keys === undefined ? {} : { function: { ...keys } }),
      ...(masterKey === undefined ? {} : { master: masterKey }),
    },
  };
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal); // no process groups here
  }
}
