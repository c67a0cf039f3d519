// The built bundle under the local Functions host, loaded anew for each of several settings: one process for all of them,
// because the start of a process takes longer than the bundle's.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

type Settings = Readonly<Record<string, string>>;

/** What the process is sent. */
export interface BundleHostsRequest {
  readonly settings: readonly Settings[];
  readonly functionKey: string;
}

export interface BundleHost {
  readonly url: string;
  /** What the app logged at its start. */
  readonly lines: readonly string[];
}

export interface BundleHosts {
  /** In the order of the settings. */
  readonly hosts: readonly BundleHost[];
  readonly close: () => Promise<void>;
}

/** @throws Error with the process's own words when one of them does not start. */
export async function startBundleHosts(request: BundleHostsRequest): Promise<BundleHosts> {
  const child = fork(fileURLToPath(import.meta.resolve("./bundleHostsProcess.ts")), {
    env: { PATH: process.env["PATH"], TMPDIR: process.env["TMPDIR"] },
    execArgv: [],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const errors: string[] = [];
  child.stderr?.on("data", (chunk: Buffer) => errors.push(chunk.toString()));
  const exited = once(child, "close");
  const started = once(child, "message") as Promise<[readonly BundleHost[]]>;
  child.send(request);
  const ended = exited.then((): never => {
    throw new Error(`The process of the bundles ended:\n${errors.join("")}`);
  });
  const [hosts] = await Promise.race([started, ended]);
  return {
    hosts,
    close: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
