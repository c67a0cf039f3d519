// What the log says of an outcome. No I/O.
import type { Log } from "../base/log.ts";
import type { DirectoryOutcome, PushOutcome } from "./sender.ts";

/** One line for an outcome. What is our own fault is an error, by which the alerts go. */
export function reportOutcome(log: Log, outcome: PushOutcome | DirectoryOutcome, event: string): void {
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
    case "refused":
      log.error(event, { outcome: outcome.kind, status: outcome.status });
      return;
    case "damaged":
      log.error(event, { outcome: outcome.kind, cause: outcome.cause });
  }
}
