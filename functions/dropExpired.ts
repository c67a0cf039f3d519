// dropExpired: every hour, drops the tables and keys of past days, prepares those of coming days, checks certificates (once
// a day) and removes devices that were not renewed.
import type { CallContext } from "../shared/base/context.ts";
import type { Log } from "../shared/base/log.ts";
import type { DropExpired } from "../shared/retention/retention.ts";
import type { Timer } from "./timer.ts";

/** A pass ends after this time. The next one continues its work. */
export const PASS_TIMEOUT_MS = 240_000;

export interface CleanUp {
  readonly dropExpired: DropExpired;
  /** Called in each pass; does its work once a day. */
  readonly checkCertificates: (log: Log) => void;
  readonly sweepDevices: (context: CallContext) => Promise<void>;
}

export function dropExpired(
  schedule: string,
  { dropExpired: drop, checkCertificates, sweepDevices }: CleanUp,
): Timer {
  return {
    name: "dropExpired",
    schedule,
    run: async (log) => {
      checkCertificates(log); // first: it needs no store
      const context = { log, signal: AbortSignal.timeout(PASS_TIMEOUT_MS) };
      await drop(context);
      await sweepDevices(context);
    },
  };
}
