// Waiting no longer than a signal allows. No I/O.

/**
 * Settles as `promise` does, or rejects with the signal's reason as soon as it is aborted. What stands behind
 * the promise goes on; it is for work that does not take a signal itself, or that others wait for too.
 */
export function withDeadline<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) {
      promise.catch(() => undefined);
      abort();
      return;
    }
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/**
 * Runs `work` over `items`, at most `limit` at a time; the results in the items' order. After an error nothing new
 * begins; it is thrown once all that had begun has ended, so that nothing is still at work behind a failure.
 */
export async function mapBounded<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const errors: unknown[] = [];
  const queue = items.entries();
  const run = async () => {
    for (const [index, item] of queue) {
      if (errors.length > 0) return;
      try {
        results[index] = await work(item);
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, run));
  if (errors.length > 0) throw errors[0];
  return results;
}

/** A signal that ends after so long, unless it is cleared before: a timer for each call would outlive them all. */
export function createDeadline(timeoutMs: number): {
  readonly signal: AbortSignal;
  readonly clear: () => void;
} {
  const ended = new AbortController();
  const abort = () => ended.abort(new DOMException("the call took too long", "TimeoutError"));
  const timer = setTimeout(abort, timeoutMs);
  return { signal: ended.signal, clear: () => clearTimeout(timer) };
}

/** Ends so long after `signal` does, or from now where that has ended. For what has to be undone. */
export function withGrace(signal: AbortSignal, graceMs: number): AbortSignal {
  const ended = new AbortController();
  const start = () => {
    AbortSignal.timeout(graceMs).addEventListener("abort", () => ended.abort());
  };
  if (signal.aborted) start();
  else signal.addEventListener("abort", start, { once: true });
  return ended.signal;
}

/** Waits for both, also when one fails; then throws what failed first in their order. */
export async function both<A, B>(a: Promise<A>, b: Promise<B>): Promise<readonly [A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}
