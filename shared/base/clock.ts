// The clock for all times that are stored or compared with stored times: this machine's, corrected by the `Date` header
// of the store's answers. No I/O.
import type { Log } from "./log.ts";

const MAX_SKEW_WITHOUT_WARNING_MS = 5 * 60_000;

export interface Clock {
  /** The corrected time: for createdAt, expiresAt, days and leases. */
  readonly now: () => Date;
  /**
   * The later of the corrected and the uncorrected time. Use this one to judge whether a payload may still be read or
   * pushed, so that an error of either clock never brings an expired payload back.
   */
  readonly latest: () => Date;
  /**
   * Corrects the clock by an answer of the store. `serverDate` is its `Date` header (RFC 9110 §6.6.1: whole seconds);
   * `sentAtMs` and `receivedAtMs` are what `uncorrectedMs` returned before and after the request.
   */
  readonly observe: (serverDate: Date, sentAtMs: number, receivedAtMs: number) => void;
  /** This machine's time, in milliseconds since 1970. */
  readonly uncorrectedMs: () => number;
}

/** `uncorrectedMs` is the machine's clock. Warns once each time the offset exceeds five minutes. */
export function createClock(log: Log, uncorrectedMs: () => number = Date.now): Clock {
  let offsetMs = 0;
  let warned = false;
  return {
    now: () => new Date(uncorrectedMs() + offsetMs),
    latest: () => new Date(uncorrectedMs() + Math.max(0, offsetMs)),
    observe: (serverDate, sentAtMs, receivedAtMs) => {
      const serverMs = serverDate.getTime();
      if (!Number.isFinite(serverMs) || receivedAtMs < sentAtMs) return;
      // The store wrote the header between sending and receiving, and it names the second of that moment. Every offset
      // in this range explains it. The present offset is kept if it is in the range, so a correct clock stays as it is.
      const lowest = serverMs - receivedAtMs;
      const highest = serverMs + 999 - sentAtMs;
      offsetMs = Math.min(Math.max(offsetMs, lowest), highest);
      const skewed = Math.abs(offsetMs) > MAX_SKEW_WITHOUT_WARNING_MS;
      if (skewed && !warned) log.warn("clock_skewed", { offsetSeconds: Math.round(offsetMs / 1000) });
      warned = skewed;
    },
    uncorrectedMs,
  };
}
