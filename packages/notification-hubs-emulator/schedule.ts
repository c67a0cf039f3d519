// Work that is due later, by the hub's clock. I/O: a timer, which does not keep the process alive.

export interface Schedule {
  /** Work that is due already is done before this returns. */
  readonly add: (id: string, dueAt: Date, work: () => void) => void;
  /** Returns false if the work was done or removed before. */
  readonly remove: (id: string) => boolean;
  /** Does what is due by the hub's clock, which may be ahead of the timer's. */
  readonly runDue: () => void;
  readonly clear: () => void;
}

/** setTimeout knows no longer wait. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export function createSchedule(now: () => Date): Schedule {
  const scheduled = new Map<string, { readonly dueAt: Date; readonly work: () => void }>();
  let timer: NodeJS.Timeout | undefined;

  function runDue(): void {
    for (const [id, { dueAt, work }] of scheduled) {
      if (dueAt > now()) continue;
      scheduled.delete(id);
      work();
    }
    clearTimeout(timer);
    const next = Math.min(...[...scheduled.values()].map(({ dueAt }) => dueAt.getTime()));
    if (next === Infinity) return;
    const waitMs = Math.min(Math.max(next - now().getTime(), 1), MAX_TIMEOUT_MS);
    timer = setTimeout(runDue, waitMs).unref();
  }

  return {
    add: (id, dueAt, work) => {
      scheduled.set(id, { dueAt, work });
      runDue();
    },
    remove: (id) => scheduled.delete(id),
    runDue,
    clear: () => {
      scheduled.clear();
      clearTimeout(timer);
    },
  };
}
