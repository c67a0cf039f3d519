// One clock for everything that is written or compared with stored times: ours, corrected by the `Date` of the
// store's answers. No I/O.
import type { Log } from "./log.ts";

const SKEW_WORTH_A_WARNING_MS = 5 * 60_000;

export interface Clock {
  /** The corrected time: for createdAt, expiresAt, days and leases. */
  readonly now: () => Date;
  /**
   * The later of the corrected and the uncorrected time. It alone judges whether a payload may still be read or
   * pushed, so that a clock in error, ours or the store's, never brings an expired payload back.
   */
  readonly latest: () => Date;
  /**
   * Learns from an answer of the store. `serverDate` is its `Date` header (RFC 9110 §6.6.1: whole seconds),
   * `sentAtMs` and `receivedAtMs` are readings of `uncorrectedMs` around the request.
   */
  readonly observe: (serverDate: Date, sentAtMs: number, receivedAtMs: number) => void;
  /** Our own reading, in milliseconds since 1970. */
  readonly uncorrectedMs: () => number;
}

export function createClock(log: Log, uncorrectedMs: () => number = Date.now): Clock {
  let offsetMs = 0;
  let warned = false;
  return {
    now: () => new Date(uncorrectedMs() + offsetMs),
    latest: () => new Date(uncorrectedMs() + Math.max(0, offsetMs)),
    observe: (serverDate, sentAtMs, receivedAtMs) => {
      const serverMs = serverDate.getTime();
      if (!Number.isFinite(serverMs) || receivedAtMs < sentAtMs) return;
      // The header was written between sending and receiving and names the second that it was written in. Any
      // offset in this range explains it; the one we have is kept while it does, so a right clock is left alone.
      const lowest = serverMs - receivedAtMs;
      const highest = serverMs + 999 - sentAtMs;
      offsetMs = Math.min(Math.max(offsetMs, lowest), highest);
      const skewed = Math.abs(offsetMs) > SKEW_WORTH_A_WARNING_MS;
      if (skewed && !warned) log.warn("clock_skewed", { offsetSeconds: Math.round(offsetMs / 1000) });
      warned = skewed;
    },
    uncorrectedMs,
  };
}
