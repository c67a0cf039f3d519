// What the outcome of a push means for the call that asked for it. No I/O.
import type { Log } from "../base/log.ts";
import type { Failure } from "../problem.ts";
import type { PushOutcome } from "./sender.ts";

const RETRY_AFTER_SECONDS = 5;

/** The failure of a call that cannot be completed now; `undefined` where the outcome is final. */
export function toFailure(outcome: PushOutcome): Failure | undefined {
  switch (outcome.kind) {
    case "accepted":
    case "gone":
    case "message":
    case "damaged":
      return undefined;
    case "throttled":
      return { reason: "hub_unavailable", retryAfterSeconds: outcome.retryAfterSeconds };
    case "transient":
    case "credentials":
      return { reason: "hub_unavailable", retryAfterSeconds: RETRY_AFTER_SECONDS };
  }
}

/** One line for an outcome that somebody has to know of: our own faults are alarms. */
export function reportOutcome(log: Log, outcome: PushOutcome, event: string): void {
  switch (outcome.kind) {
    case "accepted":
      log.info(event, { outcome: outcome.kind, trackingId: outcome.trackingId });
      return;
    case "gone":
      log.info(event, { outcome: outcome.kind });
      return;
    case "throttled":
      log.warn(event, { outcome: outcome.kind, retryAfterSeconds: outcome.retryAfterSeconds });
      return;
    case "transient":
      log.warn(event, { outcome: outcome.kind, cause: outcome.cause });
      return;
    case "credentials":
    case "message":
      log.error(event, { outcome: outcome.kind, status: outcome.status });
      return;
    case "damaged":
      log.error(event, { outcome: outcome.kind, cause: outcome.cause });
  }
}
