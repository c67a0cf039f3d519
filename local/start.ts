// npm start: the whole stack on one machine, the story once, then it serves until Ctrl-C. `--once` ends after the
// story, with 0 only if every step held.
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { servePhone } from "./phone.ts";
import { root } from "../scripts/root.ts";
import { createStack, type Ports, type Stack } from "./stack.ts";
import { CONTENT, playStory, USER } from "./story.ts";

const USUAL_PORTS: Ports = { azurite: 10002, issuer: 7073, hub: 7072, host: 7071 };
const DATA = join(root, ".local");

const say = (line: string) => process.stdout.write(`${line}\n`);

const stopped = new Promise<void>((resolve) => {
  let firstAtMs = Infinity;
  const stop = () => {
    resolve();
    // Ctrl-C reaches us from the terminal and through npm; one that comes later is meant to end this at once.
    if (performance.now() - firstAtMs > 1_000) process.exit(130);
    firstAtMs = Math.min(firstAtMs, performance.now());
  };
  process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", stop);
  // npm may pass a signal to its shell alone, and the shell not to us: then we have another parent.
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) resolve();
  }, 500).unref();
});

const isOnce = parseOnce(process.argv.slice(2));
process.exitCode = isOnce === undefined ? 2 : await main(isOnce);

/** Whether to end after the story; nothing where something else was asked. */
function parseOnce(args: readonly string[]): boolean | undefined {
  try {
    return parseArgs({ args: [...args], options: { once: { type: "boolean", default: false } } }).values.once;
  } catch {
    say("Usage: npm start            plays the story and keeps serving");
    say("       npm start -- --once  plays the story and ends: 0 if every step held");
    return undefined;
  }
}

async function main(endsAfterStory: boolean): Promise<number> {
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
    if (endsAfterStory) return story.isTrue ? 0 : 1;

    onLine = (line) => say(`  host | ${line}`);
    await tellCommands(stack, story.id);
    const phone = servePhone(stack, say);
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
  const lock = join(DATA, "running.pid");
  const own = join(DATA, `starting-${process.pid}`);
  await writeFile(own, String(process.pid));
  try {
    for (let tries = 0; tries < 2; tries++) {
      try {
        await link(own, lock); // there with its content, or not at all
        return { release: () => rm(lock, { force: true }) };
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      }
      const pid = Number(await readFile(lock, "utf8").catch(() => ""));
      if (isRunning(pid)) {
        say(`Another start (process ${pid}) keeps its data in .local/; this one keeps nothing.\n`);
        return undefined;
      }
      await rm(lock, { force: true }); // left by one that was killed
    }
    return undefined;
  } finally {
    await rm(own, { force: true });
  }
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
    { name: "Table Storage (Azurite)", url: azurite.url, usual: USUAL_PORTS.azurite, taken: "" },
    {
      name: "OpenID Connect issuer",
      url: issuer.url,
      usual: USUAL_PORTS.issuer,
      taken: "; tokens of earlier starts name that address, and are refused now",
    },
    { name: "Notification Hub (emulated)", url: hub.url, usual: USUAL_PORTS.hub, taken: "" },
    { name: "Functions host", url: host.url, usual: USUAL_PORTS.host, taken: "" },
  ];
  for (const { name, url, usual, taken } of parts) {
    const { origin, port } = new URL(url);
    say(`${name.padEnd(28)} ${origin}${port === String(usual) ? "" : `   (port ${usual} is taken${taken})`}`);
  }
}

async function tellCommands(
  { host, hub, issuer, functionKey }: Stack,
  id: string | undefined,
): Promise<void> {
  const token = await issuer.buildUserToken(USER);
  const fetchIt =
    id === undefined
      ? ""
      : `
Fetch the one of the story as ${USER}, whose token is good for an hour:

  curl -s ${host.url}/api/notifications/${id} \\
    -H 'authorization: Bearer ${token}'
`;
  say(`
It keeps running; Ctrl-C ends it. In another terminal, send a notification (${USER}'s phone here fetches it):

  curl -s ${host.url}/api/notifications -H 'x-functions-key: ${functionKey}' \\
    -H 'content-type: application/json' -d '{"to":"${USER}","payload":{"text":"Hello"}}'
${fetchIt}
What the push network was given (not "${CONTENT}"):

  curl -s '${hub.url}$inspect/deliveries'

Be somebody else: the issuer here believes everybody. A token of bob's, and a phone of his:

  TOKEN=$(curl -s ${issuer.url}/token -d grant_type=password -d username=bob |
    node -p 'JSON.parse(fs.readFileSync(0)).access_token')
  curl -s -X PUT ${host.url}/api/installations/bobs-phone -H "authorization: Bearer $TOKEN" \\
    -H 'content-type: application/json' -d '{"platform":"fcmv1","pushChannel":"bobs-token"}'

The whole API, as it describes itself:

  curl -s ${host.url}/api/openapi.json

What the functions write in their log follows; .local/ holds the data.
`);
}
