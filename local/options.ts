// The command line of `npm start`. No I/O.
import { parseArgs } from "node:util";

export interface StartOptions {
  /** Ends after the story. */
  readonly once: boolean;
  /** Logs JSON. */
  readonly verbose: boolean;
}

export const USAGE = `Usage: npm start                 plays the story and keeps serving
       npm start -- --once       plays the story and ends: 0 if every step succeeded
       npm start -- --verbose    logs JSON instead of one short line per request`;

/** Undefined when the command line holds anything else. */
export function parseOptions(args: readonly string[]): StartOptions | undefined {
  try {
    const flag = { type: "boolean", default: false } as const;
    const { once, verbose } = parseArgs({ args: [...args], options: { once: flag, verbose: flag } }).values;
    return { once, verbose };
  } catch {
    return undefined;
  }
}

/** What to say of options that stand before `--`: npm keeps them, and only its environment shows them. */
export function toNotes(
  { once, verbose }: StartOptions,
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const swallowed = [
    ...(environment["npm_config_once"] === "true" && !once ? ["--once"] : []),
    ...(environment["npm_config_loglevel"] === "verbose" && !verbose ? ["--verbose"] : []),
  ];
  return swallowed.map((option) => `npm kept ${option} to itself. To pass it on: npm start -- ${option}`);
}
