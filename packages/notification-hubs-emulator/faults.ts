// Faults that a test orders from the emulated hub. No I/O.

export interface Fault {
  /** Default: any. */
  readonly on?: FaultTarget;
  /** For so many requests; default 1. */
  readonly times?: number;
  readonly answer: FaultAnswer;
}

export type FaultTarget = "send" | "installation" | "any";

/**
 * An answer in place of the hub's own, or `hang` (no answer until the connection or the emulator ends), `reset`
 * (the connection breaks), neither of which has an effect; `resetAfter` (the request takes effect, then the
 * connection breaks) and `delayMs` (it takes effect at once and is answered late).
 */
export type FaultAnswer =
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  | { readonly delayMs: number }
  | "hang"
  | "reset"
  | "resetAfter";

export interface FaultQueue {
  readonly add: (fault: Fault) => void;
  readonly clear: () => void;
  /** The oldest fault for a request of this kind, used up once. */
  readonly take: (on: FaultTarget) => FaultAnswer | undefined;
}

export function createFaultQueue(): FaultQueue {
  let queue: readonly { readonly fault: Fault; readonly left: number }[] = [];
  return {
    add: (fault) => {
      queue = [...queue, { fault, left: fault.times ?? 1 }];
    },
    clear: () => {
      queue = [];
    },
    take: (on) => {
      const found = queue.find(({ fault }) => [undefined, "any", on].includes(fault.on));
      if (found === undefined) return undefined;
      queue = queue.flatMap((entry) => {
        if (entry !== found) return [entry];
        return entry.left > 1 ? [{ ...entry, left: entry.left - 1 }] : [];
      });
      return found.fault.answer;
    },
  };
}
