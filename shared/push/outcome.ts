// What follows from an outcome: whether it is tried again, and what the log says of it. No I/O.
import type { Log } from "../base/log.ts";
import type { DirectoryOutcome, PushOutcome } from "./sender.ts";

/** An outcome after which the same is tried again. */
type Temporary = Extract<PushOutcome, { readonly kind: "throttled" | "transient" | "credentials" }>;

export function isTemporary(outcome: PushOutcome | DirectoryOutcome): outcome is Temporary {
  return outcome.kind === "throttled" || outcome.kind === "transient" || outcome.kind === "credentials";
}

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
