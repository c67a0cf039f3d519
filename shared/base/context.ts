// What every step of a call carries: where its events are logged, and when it has to end. No I/O.
import type { Log } from "./log.ts";

export interface CallContext {
  /** Carries the call's correlation id on every line. */
  readonly log: Log;
  /** Ends in time for an answer to be given. */
  readonly signal: AbortSignal;
}
