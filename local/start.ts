// npm start: the whole stack on one machine, the story once, then it serves until Ctrl-C. `--once` ends after the
// story, with 0 only if every step held.
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createDevice } from "./device.ts";
import { appDirectory, createStack, type Ports, type Stack } from "./stack.ts";
import { CONTENT, DEVICE_TOKEN, playStory, USER } from "./story.ts";

const USUAL_PORTS: Ports = { azurite: 10002, issuer: 7073, hub: 7072, host: 7071 };
const DATA = join(appDirectory, ".local");

const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
const say = (line: string) => process.stdout.write(`${line}\n`);

const stopped = new Promise<void>((resolve) => {
  let firstAtMs = Infinity;
  const stop = () => {
    resolve();
    // Ctrl-C reaches us from the terminal and through npm; one that comes later is meant to end this at once.
    if (performance.now() - firstAtMs > 1_000) process.exit(130);
    firstAtMs = Math.min(firstAtMs, performance.now());
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
});
process.exitCode = await main(values.once);

async function main(isOnce: boolean): Promise<number> {
  const lock = await lockData();
  const held: string[] = [];
  let onLine = (line: string): void => void held.push(line); // told only if something fails
  let stack: Stack;
  try {
    stack = await createStack({
      ...(lock === undefined ? {} : { directory: DATA }),
      ports: USUAL_PORTS,
      onLine: (line) => onLine(line),
    });
  } catch (error) {
    await lock?.release();
    for (const line of held) say(`  ${line}`);
    say(error instanceof Error ? error.message : String(error));
    return 1;
  }
  try {
    tellPorts(stack);
    say("");
    const story = await playStory({ stack, write: say });
    if (!story.isTrue) for (const line of held) say(`  host | ${line}`);
    if (isOnce) return story.isTrue ? 0 : 1;

    onLine = (line) => say(`  host | ${line}`);
    await tellCommands(stack, story.id);
    const phone = servePhone(stack);
    const ended = await Promise.race([stopped.then(() => "stopped"), stack.host.exited.then(() => "died")]);
    phone.close();
    if (ended === "died") say("The Functions host ended by itself; its last lines stand above.");
    else say("\nStopping …");
    return ended === "died" ? 1 : 0;
  } finally {
    await stack.close();
    await lock?.release();
  }
}

/** One start at a time keeps its data here: two Azurites over the same files would spoil them. */
async function lockData(): Promise<{ readonly release: () => Promise<void> } | undefined> {
  await mkdir(DATA, { recursive: true, mode: 0o700 });
  const path = join(DATA, "running.pid");
  for (let tries = 0; tries < 2; tries++) {
    try {
      const file = await open(path, "wx");
      await file.writeFile(String(process.pid));
      await file.close();
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const pid = Number(await readFile(path, "utf8").catch(() => ""));
    if (isRunning(pid)) {
      say(`Another start (process ${pid}) keeps its data in .local/; this one keeps nothing.`);
      return undefined;
    }
    await rm(path, { force: true }); // left by one that was killed
  }
  return undefined;
}

function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

function tellPorts({ azurite, issuer, hub, host }: Stack): void {
  const parts = [
    { name: "Table Storage (Azurite)", url: azurite.url, usual: USUAL_PORTS.azurite },
    { name: "OpenID Connect issuer", url: issuer.url, usual: USUAL_PORTS.issuer },
    { name: "Notification Hub (emulated)", url: hub.url, usual: USUAL_PORTS.hub },
    { name: "Functions host", url: host.url, usual: USUAL_PORTS.host },
  ];
  for (const { name, url, usual } of parts) {
    const { origin, port } = new URL(url);
    say(`${name.padEnd(28)} ${origin}${port === String(usual) ? "" : `   (port ${usual} is taken)`}`);
  }
}

async function tellCommands(
  { host, hub, issuer, functionKey }: Stack,
  id: string | undefined,
): Promise<void> {
  const token = await issuer.buildUserToken(USER);
  say(`
It keeps running; Ctrl-C ends it. In another terminal, send a notification (the phone here fetches it):

  curl -s ${host.url}/api/notifications -H 'x-functions-key: ${functionKey}' \\
    -H 'content-type: application/json' -d '{"to":"${USER}","payload":{"text":"Hello"}}'
${
  id === undefined
    ? ""
    : `
Fetch the one of the story as ${USER}, whose token is good for an hour:

  curl -s ${host.url}/api/notifications/${id} \\
    -H 'authorization: Bearer ${token}'
`
}
What the push network was given (not "${CONTENT}"):

  curl -s '${hub.url}$inspect/deliveries'

A token of anybody else, from the issuer here that believes everybody:

  curl -s ${issuer.url}/token -d grant_type=password -d username=bob
`);
}

/** The phone goes on: it fetches whatever it is woken for, and shows it. */
function servePhone({ hub, host, issuer }: Stack): { readonly close: () => void } {
  const phone = createDevice({ hub, platform: "apns", pushChannel: DEVICE_TOKEN });
  const ended = new AbortController();
  const run = async () => {
    while (!ended.signal.aborted) {
      const { id } = await phone.next(ended.signal);
      const response = await fetch(`${host.url}/api/notifications/${id}`, {
        headers: { authorization: `Bearer ${await issuer.buildUserToken(USER)}` },
        signal: ended.signal,
      });
      say(`${USER}'s phone woke with ${id} and fetched: ${await response.text()}`);
    }
  };
  run().catch((error: unknown) => {
    if (!ended.signal.aborted) say(`${USER}'s phone: ${error instanceof Error ? error.message : "failed"}`);
  });
  return {
    close: () => {
      ended.abort();
      phone.close();
    },
  };
}
