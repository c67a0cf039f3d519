// dropExpired: hourly, drops the days that are over and prepares the coming ones, checks certificates (daily), and sweeps
// devices that were not renewed.
import type { CallContext } from "../shared/base/context.ts";
import type { Log } from "../shared/base/log.ts";
import type { DropExpired } from "../shared/retention/retention.ts";
import type { Timer } from "./timer.ts";

/** A pass ends in this time; the next one goes on with what it did not get to. */
export const PASS_TIMEOUT_MS = 240_000;

export interface CleanUp {
  readonly dropExpired: DropExpired;
  /** Called at each pass; does its work once a day. */
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
