// redeliverPushes: every minute, works through the outbox.
import type { Redeliver } from "../shared/sending/redelivery.ts";
import type { Timer } from "./timer.ts";

/** A pass takes nothing new after 50 s; this ends one that a store holds up. */
export const PASS_TIMEOUT_MS = 120_000;

export function redeliverPushes(schedule: string, pass: Redeliver): Timer {
  return {
    name: "redeliverPushes",
    schedule,
    run: (log, stopping) => pass(log, stopping, AbortSignal.timeout(PASS_TIMEOUT_MS)),
  };
}
