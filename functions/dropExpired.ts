// dropExpired: hourly, drops the days that are over and prepares the coming ones, checks certificates, and sweeps devices
// that were not renewed.
import type { CallContext } from "../shared/base/context.ts";
import type { WatchCertificates } from "../shared/push/certificate.ts";
import type { DropExpired } from "../shared/retention/retention.ts";
import type { Timer } from "./timer.ts";

/** A pass ends in this time; the next one goes on with what it did not get to. */
export const PASS_TIMEOUT_MS = 240_000;

export interface CleanUp {
  readonly dropExpired: DropExpired;
  readonly watchCertificates: WatchCertificates;
  readonly sweepDevices: (context: CallContext) => Promise<void>;
}

export function dropExpired(
  schedule: string,
  { dropExpired: drop, watchCertificates, sweepDevices }: CleanUp,
): Timer {
  return {
    name: "dropExpired",
    schedule,
    run: async (log) => {
      watchCertificates(log); // first: it needs no store
      const context = { log, signal: AbortSignal.timeout(PASS_TIMEOUT_MS) };
      await drop(context);
      await sweepDevices(context);
    },
  };
}
