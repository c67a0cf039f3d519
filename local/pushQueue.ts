// The pushes that a simulated device has got and its app has not yet asked for. No I/O.
import { untilAborted } from "./device.ts";
import type { ReceivedPush } from "./devices.ts";

export interface PushQueue {
  readonly add: (push: ReceivedPush) => void;
  /** Resolves with the next push. Rejects when the signal aborts and when the queue is closed. */
  readonly next: (signal: AbortSignal) => Promise<ReceivedPush>;
  readonly close: () => void;
}

export function createPushQueue(): PushQueue {
  const waiting: ReceivedPush[] = [];
  const closed = new AbortController();
  let arrived = Promise.withResolvers<void>();
  return {
    add: (push) => {
      waiting.push(push);
      arrived.resolve();
      arrived = Promise.withResolvers();
    },
    next: async (signal) => {
      const end = AbortSignal.any([signal, closed.signal]);
      for (;;) {
        end.throwIfAborted();
        const push = waiting.shift();
        if (push !== undefined) return push;
        await untilAborted(arrived.promise, end);
      }
    },
    close: () => closed.abort(new Error("the device is closed")),
  };
}
