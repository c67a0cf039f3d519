// How many rows of a queue are worked on at once: more while the answers are good, fewer when the other side refuses. It
// starts low, so that a sender that comes back after a pause gets no burst. No I/O.
import { isTemporary } from "../push/outcome.ts";
import type { PushOutcome } from "../push/sender.ts";

export interface Limiter {
  readonly limit: () => number;
  readonly note: (outcomes: readonly PushOutcome[]) => void;
}

const FIRST_LIMIT = 4;

/** Doubles with each round of good answers, up to `most`; halves with each row that was refused. */
export function createLimiter(most: number): Limiter {
  let limit = Math.min(FIRST_LIMIT, most);
  return {
    limit: () => Math.floor(limit),
    note: (outcomes) => {
      if (outcomes.some(isTemporary)) limit = Math.max(1, limit / 2);
      else limit = Math.min(most, limit + 1);
    },
  };
}
