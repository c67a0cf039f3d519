// Starts the servers of server.ts. I/O: processes.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export interface Hub {
  readonly connectionString: string;
  readonly close: () => void;
}

/** A hub that answers every call at once, or after a delay. */
export async function startHub(delayMs = 0): Promise<Hub> {
  const { port, close } = await start([String(delayMs)]);
  return { connectionString: toHubConnection(port), close };
}

/** The connection string of a hub on this machine. */
export function toHubConnection(port: number): string {
  return `Endpoint=http://127.0.0.1:${port}/;SharedAccessKeyName=n;SharedAccessKey=${"k".repeat(44)}`;
}

export interface SlowStore {
  readonly connectionString: string;
  readonly close: () => void;
}

/** A proxy that delays each call to a table server. Any number of calls can wait at once. */
export async function startSlowStore(connectionString: string, delayMs: number): Promise<SlowStore> {
  const endpoint = new URL(/TableEndpoint=([^;]+)/.exec(connectionString)?.[1] ?? "");
  const { port, close } = await start([String(delayMs), endpoint.port]);
  return { connectionString: connectionString.replace(endpoint.host, `127.0.0.1:${port}`), close };
}

async function start(
  args: readonly string[],
): Promise<{ readonly port: number; readonly close: () => void }> {
  const child = fork(fileURLToPath(import.meta.resolve("./server.ts")), args);
  const [{ port }] = (await once(child, "message")) as unknown as readonly [{ readonly port: number }];
  return { port, close: () => void child.kill() };
}
