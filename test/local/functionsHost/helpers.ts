// Starts fixture apps in processes of their own, and talks to them in ways that fetch() does not.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import {
  type FunctionsHostProcess,
  type FunctionsHostProcessOptions,
  startFunctionsHostProcess,
} from "../../../local/functionsHost/process.ts";

export const FIXTURE = fileURLToPath(new URL("fixtures/app", import.meta.url));

export interface TestHost extends FunctionsHostProcess {
  /** Resolves with the first line that fits, printed already or still to come. */
  readonly waitForLine: (pattern: RegExp) => Promise<string>;
}

export async function startHost(options: Partial<FunctionsHostProcessOptions> = {}): Promise<TestHost> {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const host = await startFunctionsHostProcess({
    appDirectory: FIXTURE,
    timers: false,
    ...options,
    settings: { TICK: "0 0 0 1 1 *", ...options.settings },
    onLine: (line) => {
      lines.push(line);
      for (const look of waiting) look();
    },
  });
  return {
    ...host,
    waitForLine: (pattern) =>
      new Promise((resolve, reject) => {
        void host.exited.then(() =>
          reject(new Error(`${pattern} is not in the output:\n${lines.join("\n")}`)),
        );
        const look = () => {
          const found = lines.find((line) => pattern.test(line));
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

/** The same, for one test. */
export async function startHostForTest(
  options: Partial<FunctionsHostProcessOptions> = {},
): Promise<TestHost> {
  const host = await startHost(options);
  onTestFinished(() => host.kill("SIGKILL"));
  return host;
}

/** Writes an app's files, for one test; `@azure/functions` in them is ours. */
export function writeApp(files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), "functions-host-"));
  const all = {
    "package.json": `{ "type": "module", "main": "main.js" }`,
    "host.json": `{ "version": "2.0" }`,
    ...files,
  };
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(all)) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content.replaceAll('"@azure/functions"', JSON.stringify(FUNCTIONS_LIBRARY)));
  }
  return directory;
}

const FUNCTIONS_LIBRARY = import.meta.resolve("@azure/functions");

export function openSocket(url: string): Socket {
  const { hostname, port } = new URL(url);
  return connect(Number(port), hostname);
}

/** Sends a request as it stands and answers all that comes back until the host closes the connection. */
export async function sendRaw(url: string, request: string): Promise<string> {
  const socket = openSocket(url);
  socket.write(request);
  return text(socket); // rejects when the connection does
}

/** Chunks as they arrive, for telling whether something was buffered on the way. */
export async function readUntil(socket: Socket, pattern: RegExp): Promise<string> {
  let got = "";
  socket.setEncoding("utf8");
  return new Promise((resolve, reject) => {
    const take = (chunk: string) => {
      got += chunk;
      if (!pattern.test(got)) return;
      socket.off("data", take);
      resolve(got);
    };
    socket.on("data", take);
    socket.once("close", () => reject(new Error(`closed after: ${got}`)));
  });
}
