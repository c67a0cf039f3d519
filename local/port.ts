// Ports of the local stack: the wanted one if it is free, otherwise any.
import { once } from "node:events";
import { createServer } from "node:net";
import { toPort } from "./server.ts";

const MAX_TRIES = 5;

/**
 * Starts something on the preferred port if that is free, otherwise on another one. Tries again when another process
 * takes the port first.
 */
export async function startOnPort<T>(
  preferred: number | undefined,
  start: (port: number) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const port = await findPort(tries === 1 ? preferred : undefined);
    try {
      return await start(port);
    } catch (error) {
      const wasTaken = (await listen(port)) === undefined;
      if (!wasTaken || tries === MAX_TRIES) throw error;
    }
  }
}

async function findPort(preferred?: number): Promise<number> {
  if (preferred !== undefined && (await listen(preferred)) !== undefined) return preferred;
  const port = await listen(0);
  if (port === undefined) throw new Error("no port is free");
  return port;
}

/** Listens for a moment. Returns the port that it got, or undefined if the port is taken. */
async function listen(port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return toPort(server);
  } catch {
    return undefined;
  } finally {
    server.close();
  }
}
