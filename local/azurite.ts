// A service of Azurite in a process of its own: tables, or blobs for the real Functions host.
// Azurite writes its files every few seconds and when it ends. When its process is killed, what was stored in the last
// seconds is lost, even with a directory. That does not happen in Azure.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { startOnPort } from "./port.ts";

export interface Azurite {
  /** For STORAGE_CONNECTION_STRING. */
  readonly connectionString: string;
  /** Of the service, with the account. */
  readonly url: string;
  /** The id of its process, which changes when it is restarted. */
  readonly pid: () => number | undefined;
  readonly close: () => Promise<void>;
}

export interface AzuriteOptions {
  /** Default: `table`. */
  readonly service?: "table" | "blob";
  /** Where the data is kept; without it, in memory. */
  readonly directory?: string;
  /** A port that is taken is replaced. Default: a free one. */
  readonly port?: number | undefined;
  /**
   * Called with a sentence for the user when Azurite ended by itself, and when it runs again. With it, Azurite is
   * restarted on the same port; without it, it is not.
   */
  readonly onTrouble?: (sentence: string) => void;
}

/** The public development account of the storage emulators (Azurite's documentation); not a secret. */
const ACCOUNT = "devstoreaccount1";
const ACCOUNT_KEY =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/** Maximum number of restarts. If Azurite keeps ending, another restart does not help. */
const MAX_RESTARTS = 5;

/** @throws Error with Azurite's own output when it does not start. */
export async function createAzurite(options: AzuriteOptions = {}): Promise<Azurite> {
  const { port, current } = await startOnPort(options.port, async (free) => ({
    port: free,
    current: await startProcess(free, options),
  }));
  const running: Running = { port, current, isClosed: false };
  const watching = options.onTrouble === undefined ? Promise.resolve() : keepRunning(running, options);
  const url = `http://127.0.0.1:${port}/${ACCOUNT}`;
  return {
    url,
    connectionString:
      `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${ACCOUNT_KEY};` +
      `${options.service === "blob" ? "Blob" : "Table"}Endpoint=${url};`,
    pid: () => running.current.child.pid,
    close: async () => {
      running.isClosed = true;
      await endProcess(running.current, options.directory);
      await watching;
      await endProcess(running.current, options.directory); // one that was being restarted meanwhile
    },
  };
}

interface AzuriteProcess {
  readonly child: ChildProcess;
  /** Resolves when it has ended. */
  readonly exited: Promise<unknown>;
  readonly killWithUs: () => void;
}

interface Running {
  readonly port: number;
  current: AzuriteProcess;
  isClosed: boolean;
}

async function keepRunning(running: Running, options: AzuriteOptions): Promise<void> {
  const { directory, onTrouble = () => undefined } = options;
  for (let restarts = 0; ; restarts++) {
    await running.current.exited;
    if (running.isClosed) return;
    const { exitCode, signalCode } = running.current.child;
    process.off("exit", running.current.killWithUs);
    const why = signalCode ?? `exit code ${exitCode}`;
    if (restarts === MAX_RESTARTS)
      return onTrouble(`Table Storage (Azurite) ended again (${why}). It is not restarted any more.`);
    onTrouble(`Table Storage (Azurite) ended unexpectedly (${why}). It is being restarted.`);
    try {
      running.current = await startProcess(running.port, options);
    } catch (error) {
      return onTrouble(error instanceof Error ? error.message : String(error));
    }
    onTrouble(
      directory === undefined
        ? "Table Storage (Azurite) runs again, without its data, which was in memory."
        : "Table Storage (Azurite) runs again. What was stored in its last seconds may be lost.",
    );
  }
}

async function startProcess(
  port: number,
  { service = "table", directory }: AzuriteOptions,
): Promise<AzuriteProcess> {
  const script = createRequire(import.meta.url).resolve(`azurite/dist/src/${service}/main.js`);
  const child = spawn(
    process.execPath,
    [
      `--import=${new URL("./endWithParent.ts", import.meta.url).href}`,
      script,
      `--${service}Host=127.0.0.1`,
      `--${service}Port=${port}`,
      // Azurite treats an unknown, newer api-version as the newest that it knows.
      "--skipApiVersionCheck",
      "--disableTelemetry",
      ...(directory === undefined ? ["--inMemoryPersistence"] : ["--location", directory]),
    ],
    // A process group of its own: Ctrl-C reaches only this process, which ends Azurite after the last request.
    { stdio: ["ignore", "pipe", "pipe", "ipc"], detached: true },
  );
  const exited = once(child, "exit");
  const killWithUs = () => child.kill("SIGKILL");
  process.once("exit", killWithUs);
  let output = "";
  const listening = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-4096);
        if (/successfully (?:started|listens) on/.test(output)) resolve();
      });
  });
  await Promise.race([
    listening,
    exited.then(() => {
      process.off("exit", killWithUs);
      throw new Error(`Azurite did not start on port ${port}: ${output.trim()}`);
    }),
  ]);
  return { child, exited, killWithUs };
}

async function endProcess(
  { child, exited, killWithUs }: AzuriteProcess,
  directory: string | undefined,
): Promise<void> {
  process.off("exit", killWithUs);
  if (child.exitCode === null && child.signalCode === null) {
    // In memory there is nothing to write. With files, closing the channel ends Azurite as Ctrl-C does
    // (endWithParent.ts), and only then does it write what it still holds.
    if (directory === undefined) child.kill("SIGKILL");
    else if (child.connected) child.disconnect();
  }
  await exited;
}
