// Starts fixture apps in processes of their own, and talks to them in ways that fetch() does not.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
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
  readonly waitForLine: Lines["waitForLine"];
}

export async function startHost(options: Partial<FunctionsHostProcessOptions> = {}): Promise<TestHost> {
  const output = createLines();
  const host = await startFunctionsHostProcess({
    appDirectory: FIXTURE,
    timers: false,
    ...options,
    settings: { TICK: "0 0 0 1 1 *", ...options.settings },
    onLine: output.add,
  });
  void host.exited.then(output.end);
  return { ...host, waitForLine: output.waitForLine };
}

/** The lines of a process. */
export function readLines(stream: Readable): Pick<Lines, "lines" | "waitForLine"> {
  const lines = createLines();
  createInterface({ input: stream }).on("line", lines.add).on("close", lines.end);
  return lines;
}

interface Lines {
  readonly lines: readonly string[];
  readonly add: (line: string) => void;
  /** No line is to come. */
  readonly end: () => void;
  /** Resolves with the first line that fits, printed already or still to come. Rejects when none does before the end. */
  readonly waitForLine: (pattern: RegExp) => Promise<string>;
}

function createLines(): Lines {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let isOver = false;
  const lookAll = () => {
    for (const look of waiting) look();
  };
  return {
    lines,
    add: (line) => {
      lines.push(line);
      lookAll();
    },
    end: () => {
      isOver = true;
      lookAll();
    },
    waitForLine: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find((line) => pattern.test(line));
          if (found !== undefined) resolve(found);
          else if (isOver) reject(new Error(`${pattern} is not in the output:\n${lines.join("\n")}`));
          else return;
          waiting.delete(look);
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
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined); // "close" follows, and a host that ends may reset a connection
  onTestFinished(() => void socket.destroy());
  return socket;
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
