// dropExpired: hourly, drops the days that are over and prepares the coming ones; beside it, looks after certificates.
import type { WatchCertificates } from "../shared/push/certificate.ts";
import type { DropExpired } from "../shared/retention/retention.ts";
import type { Timer } from "./timer.ts";

/** A pass ends in this time; what it did not get to is the next one's. */
const PASS_TIMEOUT_MS = 240_000;

export function dropExpired(schedule: string, pass: DropExpired, watch: WatchCertificates): Timer {
  return {
    name: "dropExpired",
    schedule,
    run: (log) => {
      watch(log); // first: a store that is away keeps nobody from being told
      return pass({ log, signal: AbortSignal.timeout(PASS_TIMEOUT_MS) });
    },
  };
}
