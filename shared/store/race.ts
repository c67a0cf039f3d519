// Changing what others may change at the same time: read, decide, write under the version read, and once more where
// somebody else was faster.
import { setTimeout } from "node:timers/promises";
import { StoreUnavailableError } from "./store.ts";

const MAX_TRIES = 20;
const MAX_PAUSE_MS = 40;

/**
 * Tries until `attempt` answers something; between tries it waits for a random time, so that those who race come one
 * by one. @throws StoreUnavailableError, with the words for what was tried, where every try was lost.
 */
export async function untilWon<T>(
  attempt: () => Promise<T | undefined>,
  wordsForLost: string,
  signal: AbortSignal,
): Promise<T> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const result = await attempt();
    if (result !== undefined) return result;
    await setTimeout(Math.random() * MAX_PAUSE_MS, undefined, { signal });
  }
  throw new StoreUnavailableError(wordsForLost);
}
