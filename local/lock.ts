// One start at a time uses a directory: two Azurites on the same files would damage them.
// Each start that wants the directory puts a file of its own there, which names a port on which it listens. Then it looks
// at the files of others. A file is dead if nobody answers on its port with its name: a process id would not do, since
// another process may have it after a crash. Whoever finds no other live file holds the lock. Of two that write their
// files at the same time, the later one finds the other, so that never both hold it.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import * as z from "zod";
import { toPort } from "./server.ts";

export interface Lock {
  readonly release: () => Promise<void>;
}

export interface LockHolder {
  readonly pid: number;
}

const PREFIX = "running.";
const Content = z.object({ pid: z.int(), port: z.int().min(1).max(65_535) });

/** One that accepts a connection and does not answer for so long counts as the holder: it may be suspended. */
const ANSWER_TIMEOUT_MS = 2_000;
const POLL_MS = 50;

/** Locks a directory that exists. Returns the holder when another process has it locked. */
export async function lockDirectory(directory: string): Promise<Lock | LockHolder> {
  const name = randomUUID();
  const path = join(directory, `${PREFIX}${name}`);
  let state: State = "trying";
  const server = createServer((socket) => {
    socket.on("error", () => undefined).end(`${name} ${state}`);
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  const content = JSON.stringify({ pid: process.pid, port: toPort(server) });
  const release = async () => {
    await rm(path, { force: true });
    server.close();
  };
  try {
    for (;;) {
      await writeWhole(path, content);
      const outcome = await compete(directory, name);
      if (outcome === "won") {
        state = "held";
        return { release };
      }
      await rm(path, { force: true });
      if (outcome !== "lost") {
        server.close();
        return outcome;
      }
      await setTimeout(POLL_MS);
    }
  } catch (error) {
    await release();
    throw error;
  }
}

type State = "trying" | "held";

interface Rival {
  readonly name: string;
  readonly pid: number;
  readonly state: State;
}

/** Waits for rivals whose names come later. `lost`: to one that still tries, so that a new try may be needed. */
async function compete(directory: string, name: string): Promise<"won" | "lost" | LockHolder> {
  for (;;) {
    const rivals = await findRivals(directory, name);
    const holder = rivals.find(({ state }) => state === "held");
    if (holder !== undefined) return { pid: holder.pid };
    if (rivals.length === 0) return "won";
    if (rivals.some((rival) => rival.name < name)) return "lost";
    await setTimeout(POLL_MS);
  }
}

/** The other starts that are alive. Removes the files of the dead: names are never used again. */
async function findRivals(directory: string, own: string): Promise<readonly Rival[]> {
  const files = (await readdir(directory)).filter((file) => file.startsWith(PREFIX));
  const others = files.filter((file) => file !== `${PREFIX}${own}`);
  const rivals = await Promise.all(
    others.map(async (file): Promise<Rival | undefined> => {
      const path = join(directory, file);
      const rival = await findRival(file.slice(PREFIX.length), await readFile(path, "utf8").catch(() => ""));
      if (rival === undefined) await rm(path, { force: true });
      return rival;
    }),
  );
  return rivals.filter((rival) => rival !== undefined);
}

async function findRival(name: string, content: string): Promise<Rival | undefined> {
  const parsed = Content.safeParse(parseJson(content));
  if (!parsed.success) return undefined;
  const { pid, port } = parsed.data;
  const socket = connect(port, "127.0.0.1");
  const patience = new AbortController();
  const answer = await Promise.race([
    text(socket).catch(() => ""),
    setTimeout(ANSWER_TIMEOUT_MS, `${name} held`, { signal: patience.signal }).catch(() => ""),
  ]);
  patience.abort();
  socket.destroy();
  if (answer === `${name} held`) return { name, pid, state: "held" };
  return answer === `${name} trying` ? { name, pid, state: "trying" } : undefined;
}

function parseJson(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}

/** The file appears with its whole content. Others would take half of it for a dead one. */
async function writeWhole(path: string, content: string): Promise<void> {
  const unfinished = join(path, "..", `starting.${randomUUID()}`);
  await writeFile(unfinished, content);
  await rename(unfinished, path);
}
