// Azurite's table service in a process of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { startOnPort } from "./port.ts";

export interface Azurite {
  /** For STORAGE_CONNECTION_STRING. */
  readonly connectionString: string;
  /** Of its table service. */
  readonly url: string;
  readonly close: () => Promise<void>;
}

export interface AzuriteOptions {
  /** Where the data is kept; without it, in memory. */
  readonly directory?: string;
  /** One that is taken is replaced. Default: a free one. */
  readonly port?: number | undefined;
}

/** The well-known development account of the storage emulators (Azurite's documentation); not a secret. */
const ACCOUNT = "devstoreaccount1";
const ACCOUNT_KEY =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/** @throws Error with Azurite's own words when it does not start. */
export function createAzurite({ directory, port }: AzuriteOptions = {}): Promise<Azurite> {
  return startOnPort(port, (free) => start(free, directory));
}

async function start(port: number, directory: string | undefined): Promise<Azurite> {
  const script = createRequire(import.meta.url).resolve("azurite/dist/src/table/main.js");
  const child = spawn(
    process.execPath,
    [
      "--import",
      new URL("./endWithParent.ts", import.meta.url).href,
      script,
      "--tableHost",
      "127.0.0.1",
      "--tablePort",
      String(port),
      // A newer SDK's api-version is taken for the newest that Azurite knows; nothing is reported to anyone.
      "--skipApiVersionCheck",
      "--disableTelemetry",
      ...(directory === undefined ? ["--inMemoryPersistence"] : ["--location", directory]),
    ],
    // A process group of its own: Ctrl-C reaches only ourselves, and we end it after the last request.
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
        if (output.includes("successfully started on")) resolve();
      });
  });
  await Promise.race([
    listening,
    exited.then(() => {
      process.off("exit", killWithUs);
      throw new Error(`Azurite did not start on port ${port}: ${output.trim()}`);
    }),
  ]);
  const url = `http://127.0.0.1:${port}/${ACCOUNT}`;
  return {
    url,
    connectionString:
      `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${ACCOUNT_KEY};` +
      `TableEndpoint=${url};`,
    close: async () => {
      process.off("exit", killWithUs);
      if (child.exitCode === null && child.signalCode === null) {
        // Without files there is nothing to write; with them it is told as by Ctrl-C (endWithParent.ts), which alone
        // makes it write what it still holds.
        if (directory === undefined) child.kill("SIGKILL");
        else child.disconnect();
      }
      await exited;
    },
  };
}
