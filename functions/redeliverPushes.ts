// redeliverPushes: works through the outbox every minute.
import type { Redeliver } from "../shared/sending/redelivery.ts";
import type { Timer } from "./timer.ts";

/** A pass begins nothing new after 50 s. This limit ends one that waits for the store. */
export const PASS_TIMEOUT_MS = 120_000;

export function redeliverPushes(schedule: string, pass: Redeliver): Timer {
  return {
    name: "redeliverPushes",
    schedule,
    run: (log, stopping) => pass(log, stopping, AbortSignal.timeout(PASS_TIMEOUT_MS)),
  };
}
