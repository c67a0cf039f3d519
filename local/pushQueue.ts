// The pushes that a simulated device has received and its app has not yet asked for. No I/O.

export interface PushQueue<Push> {
  /**
   * The next push: one that has arrived already, or one that is still to come. Returns each push once, in order.
   * Rejects when the signal aborts or the queue is closed.
   */
  readonly next: (signal?: AbortSignal) => Promise<Push>;
  /** Stops listening, and rejects a `next` that waits. */
  readonly close: () => void;
}

/** @param listen Calls `add` with each push until the function that it returned is called. */
export function createPushQueue<Push>(listen: (add: (push: Push) => void) => () => void): PushQueue<Push> {
  const waiting: Push[] = [];
  const closed = new AbortController();
  let arrived = Promise.withResolvers<void>();
  const stop = listen((push) => {
    waiting.push(push);
    arrived.resolve();
    arrived = Promise.withResolvers();
  });
  return {
    next: async (signal) => {
      const end = signal === undefined ? closed.signal : AbortSignal.any([signal, closed.signal]);
      for (;;) {
        end.throwIfAborted();
        const push = waiting.shift();
        if (push !== undefined) return push;
        await untilAborted(arrived.promise, end);
      }
    },
    close: () => {
      stop();
      closed.abort(new Error("the device is closed"));
    },
  };
}

/** Resolves with the promise; rejects when the signal aborts first. */
async function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
