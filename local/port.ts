// Ports of the local stack: the usual one where it is free, else any.
import { once } from "node:events";
import { createServer } from "node:net";

/** This port if nobody listens on it, else a free one. Somebody may take it before it is used. */
export async function findPort(preferred?: number): Promise<number> {
  if (preferred !== undefined && (await listen(preferred)) !== undefined) return preferred;
  const port = await listen(0);
  if (port === undefined) throw new Error("no port is free");
  return port;
}

/** Listens for a moment; answers the port that it got, or nothing where it is taken. */
async function listen(port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    return address === null || typeof address === "string" ? undefined : address.port;
  } catch {
    return undefined;
  } finally {
    server.close();
  }
}
