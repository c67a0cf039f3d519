// The run of `npm start`: build, start, story, page, serve, end. Output and the wish to stop are handed in (start.ts).
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { styleText } from "node:util";
import { bundleApp } from "../scripts/bundle.ts";
import { root } from "../scripts/root.ts";
import { wrap } from "./columns.ts";
import { toCommands } from "./commands.ts";
import { createDevices } from "./devices.ts";
import { toShownLine } from "./hostLines.ts";
import { runDevices } from "./liveDevices.ts";
import { type Page, servePage } from "./page/server.ts";
import { type Lock, lockDirectory } from "./lock.ts";
import type { StartOptions } from "./options.ts";
import { toPartLines } from "./partLines.ts";
import type { Part } from "./services.ts";
import { createStack, type Ports, type Stack } from "./stack.ts";
import { playStory, type Story } from "./story.ts";

export interface ServeOptions extends StartOptions {
  /** Resolves when the user wants the end. */
  readonly stopped: Promise<void>;
  readonly say: (line: string) => void;
  readonly paint: (style: Parameters<typeof styleText>[0], text: string) => string;
}

const USUAL_PORTS: Ports = { azurite: 10002, issuer: 7073, hub: 7072, host: 7071 };
const PAGE_PORT = 7070;
/** Often, so that a push becomes `accepted` while one looks at the page. */
const SETTINGS = { REDELIVER_SCHEDULE: "*/5 * * * * *" };
const DATA = join(root, ".local");

/** Resolves with the exit code when everything has ended. */
export async function serve(options: ServeOptions): Promise<number> {
  const { say, paint } = options;
  const log = createHostOutput(options);
  let lock: Lock | undefined;
  let stack: Stack | undefined;
  try {
    const builtAtMs = performance.now();
    await bundleApp();
    sayPart("Bundle", `dist/, built in ${Math.round(performance.now() - builtAtMs)} ms`, say);
    lock = await lockData(say);
    stack = await createStack({
      ...(lock === undefined ? {} : { directory: DATA }),
      ports: USUAL_PORTS,
      settings: SETTINGS,
      onLine: log.take,
      onPart: (part) => sayPart(part.name, toPartText(part), say),
      onTrouble: (sentence) => {
        for (const line of wrap(sentence)) say(paint("yellow", line));
      },
    });
    return await run(stack, options, log);
  } catch (error) {
    log.showHeld();
    for (const line of wrap(toStartError(error))) say(paint("red", line));
    return 1;
  } finally {
    await stack?.close();
    await lock?.release();
  }
}

async function run(
  stack: Stack,
  { once, stopped, say, paint }: ServeOptions,
  log: HostOutput,
): Promise<number> {
  const devices = createDevices(stack);
  let page: Page | undefined;
  try {
    say("");
    const story = await playStory({ stack, devices, write: (line) => say(paintStep(line, paint)) });
    if (!story.isTrue) log.showHeld();
    if (once) return story.isTrue ? 0 : 1;

    sayCommands(stack, story, say);
    page = await servePage({ ...stack, port: PAGE_PORT });
    say(`See it work, in a browser: ${paint("bold", page.url)}\n`);
    log.show();
    const running = runDevices(stack, devices, (text) => {
      for (const line of wrap(text)) say(paint("cyan", line));
    });
    const end = await Promise.race([stopped.then(() => "stopped"), stack.host.exited.then(() => "died")]);
    running.close();
    say(end === "died" ? "The Functions host ended by itself. Its last lines are above." : "\nStopping …");
    return end === "died" ? 1 : 0;
  } finally {
    await page?.close();
    for (const device of devices) device.close();
  }
}

interface HostOutput {
  readonly take: (line: string) => void;
  /** Shows the lines that were held back, and from now on each line as it comes. */
  readonly show: () => void;
  /** Shows the lines that were held back. */
  readonly showHeld: () => void;
}

/** Until the story is over, the host's lines are held back. They are shown if something fails. */
function createHostOutput({ verbose, say, paint }: ServeOptions): HostOutput {
  let held: string[] = [];
  let isShown = false;
  const showLine = (line: string) => {
    const form = verbose ? "json" : "short";
    const shown = toShownLine(line, { form, paint, now: () => new Date() });
    if (shown === undefined) return;
    for (const part of verbose ? [shown] : wrap(shown)) say(part);
  };
  return {
    take: (line) => {
      if (isShown) showLine(line);
      else held.push(line);
    },
    show: () => {
      held = [];
      isShown = true;
    },
    showHeld: () => {
      for (const line of held.splice(0)) say(`  host | ${line}`);
    },
  };
}

/** Undefined: another start has the data, and this one keeps nothing. */
async function lockData(say: (line: string) => void): Promise<Lock | undefined> {
  await mkdir(DATA, { recursive: true, mode: 0o700 });
  const lock = await lockDirectory(DATA);
  if ("release" in lock) return lock;
  const text = `Another start (process ${lock.pid}) keeps its data in .local/. This one keeps nothing.`;
  for (const line of wrap(text)) say(line);
  return undefined;
}

function sayPart(name: string, text: string, say: (line: string) => void): void {
  for (const line of toPartLines(name, text)) say(line);
}

function toPartText({ url, takenPort, note }: Part): string {
  if (takenPort === undefined) return url;
  return `${url} (port ${takenPort} is taken${note === undefined ? "" : `; ${note}`})`;
}

/** The step's number and name in bold. */
function paintStep(line: string, paint: ServeOptions["paint"]): string {
  const [, step = "", rest = ""] = /^(\d\. \S+(?: \S+)?|   FAILED)( .*)$/.exec(line) ?? [];
  return step === "" ? line : `${paint(step.includes("FAILED") ? "red" : "bold", step)}${rest}`;
}

function sayCommands(
  { host, hub, issuer, functionKey }: Stack,
  story: Story,
  say: (line: string) => void,
): void {
  const urls = { api: `${host.url}/api`, issuer: issuer.url, hub: hub.url };
  say(toCommands({ ...urls, functionKey, notificationId: story.id }));
}

/** What to tell the user of an error that ended the start. */
export function toStartError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, path } = error as NodeJS.ErrnoException;
  if (code === "EACCES" || code === "EROFS" || code === "EPERM")
    return (
      `${path ?? root} cannot be written (${code}). npm start writes to dist/ and .local/ in the project's folder: ` +
      "run it as a user who may, or in a copy."
    );
  return error.message;
}
