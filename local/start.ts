// npm start: starts the whole stack on one machine, plays the story once, and then serves until Ctrl-C.
// This file reads the command line and the environment. It loads the rest (serve.ts) only after its first output,
// because loading takes a second.
import { styleText } from "node:util";
import { parseOptions, toNotes, USAGE } from "./options.ts";

const say = (line: string) => process.stdout.write(`${line}\n`);

/** Ctrl-C reaches this process from the terminal and through npm. A later one ends it at once. */
const IMPATIENT_AFTER_MS = 1_000;
const PARENT_CHECK_MS = 500;

const options = parseOptions(process.argv.slice(2));
if (options === undefined) {
  say(USAGE);
  process.exitCode = 2;
} else {
  const stopped = waitForStop();
  for (const note of toNotes(options, process.env)) say(note);
  say("Starting …");
  const { serve } = await import("./serve.ts");
  process.exitCode = await serve({
    ...options,
    stopped,
    say,
    // styleText obeys NO_COLOR, and leaves colours out where the output is not a terminal.
    paint: (style, text) => styleText(style, text, { stream: process.stdout }),
  });
}

/** Resolves when the user asks for the end, in whatever way. */
function waitForStop(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let firstAtMs = Infinity;
  const stop = () => {
    resolve();
    if (performance.now() - firstAtMs > IMPATIENT_AFTER_MS) process.exit(130);
    firstAtMs = Math.min(firstAtMs, performance.now());
  };
  process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", stop);
  // A terminal or a pipe that was closed (EIO, EPIPE): nobody reads the output any more.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => resolve());
  // npm may pass a signal to its shell only, which ends without passing it on. Then this process has another parent.
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) resolve();
  }, PARENT_CHECK_MS).unref();
  return promise;
}
