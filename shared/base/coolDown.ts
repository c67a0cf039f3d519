// Pauses the calls to a service that fails, so that many callers do not ask it again and again. No I/O.

/** The pause after failures: it doubles with each failure in a row, up to a limit. All callers share it. */
export interface CoolDown {
  /** How long to wait until the next call may be made; 0 when it may be made now. */
  readonly remainingMs: () => number;
  /** Whether the last call failed. */
  readonly isFailing: () => boolean;
  readonly succeeded: () => void;
  readonly failed: () => void;
}

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/** Pauses for 1 s after the first failure, then for 2, 4, … and at most 30 s. */
export function createCoolDown(nowMs: () => number): CoolDown {
  let failures = 0;
  let failedAtMs = 0;
  const remainingMs = () => {
    if (failures === 0) return 0;
    const elapsedMs = nowMs() - failedAtMs;
    // The pause ends when the clock was set back: nobody knows how much time has passed.
    if (elapsedMs < 0) return 0;
    return Math.max(0, Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1)) - elapsedMs);
  };
  return {
    remainingMs,
    isFailing: () => failures > 0,
    succeeded: () => {
      failures = 0;
    },
    failed: () => {
      // Calls that were made side by side fail side by side: together they count as one failure.
      if (remainingMs() > 0) return;
      failures++;
      failedAtMs = nowMs();
    },
  };
}
