// Time limits, and bounded concurrency. No I/O.

/**
 * Settles as `promise` does, or rejects with the signal's reason as soon as it is aborted. The work itself goes on: use
 * this for work that takes no signal, or that others wait for too.
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
 * Runs `work` over `items`, at most `limit` at a time; returns the results in the order of the items. After an error no
 * further work begins, and the error is thrown once all work in progress has ended.
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

export interface Deadline {
  readonly signal: AbortSignal;
  /** Call it when the work is done, so that neither a timer nor a listener outlives it. */
  readonly clear: () => void;
}

/**
 * A signal that is aborted after a time, or with `outer` and for its reason. `AbortSignal.any` would do the same for eight times
 * the CPU (docs/performance.md).
 */
export function createDeadline(timeoutMs: number, outer?: AbortSignal): Deadline {
  const ended = new AbortController();
  const timer = setTimeout(
    () => ended.abort(new DOMException("the call took too long", "TimeoutError")),
    timeoutMs,
  );
  const follow = () => ended.abort(outer?.reason);
  if (outer?.aborted === true) follow();
  outer?.addEventListener("abort", follow, { once: true });
  return {
    signal: ended.signal,
    clear: () => {
      clearTimeout(timer);
      outer?.removeEventListener("abort", follow);
    },
  };
}

/** A signal that is aborted `graceMs` after `signal`, or after now if `signal` is aborted already. For undoing work. */
export function withGrace(signal: AbortSignal, graceMs: number): AbortSignal {
  const ended = new AbortController();
  const start = () => {
    AbortSignal.timeout(graceMs).addEventListener("abort", () => ended.abort());
  };
  if (signal.aborted) start();
  else signal.addEventListener("abort", start, { once: true });
  return ended.signal;
}

/** Waits for both promises even if one fails. If both fail, throws the error of `a`. */
export async function both<A, B>(a: Promise<A>, b: Promise<B>): Promise<readonly [A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}
