// Timer functions: each runs when its schedule says so, never twice at once with itself. Nothing is kept on disk, so
// a run missed while the host was down is not made up for.
import type { TimerFunction } from "./functionTable.ts";
import type { Invoker } from "./invoke.ts";
import { createSchedule, type Schedule } from "./ncrontab.ts";

export interface Timers {
  /** Starts the clocks, and runs at once what wants to run on start-up. */
  readonly start: () => void;
  /** Runs one now, after a run of it that is going on. @throws what the handler threw. */
  readonly run: (name: string) => Promise<void>;
  /** No more runs by the clock; those that are going on are not touched. */
  readonly stop: () => void;
}

export interface TimersOptions {
  readonly timers: readonly TimerFunction[];
  readonly invoker: Invoker;
  /** Told of every run by the clock, so that a stop can wait for it. */
  readonly track: (run: Promise<void>) => void;
}

/** What setTimeout can wait: longer waits are made of several. */
const MAX_DELAY_MS = 2_147_483_647;

/** @throws Error for a schedule that cannot be read. */
export function createTimers({ timers, invoker, track }: TimersOptions): Timers {
  const clocks = new Map(timers.map((timer) => [timer.name, createClock(timer, invoker, track)]));
  return {
    start: () => {
      for (const clock of clocks.values()) clock.start();
    },
    run: async (name) => clocks.get(name)?.run(),
    stop: () => {
      for (const clock of clocks.values()) clock.stop();
    },
  };
}

function createClock(
  { name, registered, schedule: text, runOnStartup }: TimerFunction,
  invoker: Invoker,
  track: TimersOptions["track"],
) {
  const schedule = toSchedule(name, text);
  let timeout: NodeJS.Timeout | undefined;
  let isStopped = false;
  let lastAt: Date | undefined;
  let last: Promise<void> = Promise.resolve();

  const runAfter = async (before: Promise<void>): Promise<void> => {
    await before;
    const now = new Date();
    const data = { json: JSON.stringify(toTimerInfo(lastAt, now, schedule.next(now))) };
    lastAt = now;
    await invoker.invoke(registered, { data });
  };
  const run = (): Promise<void> => {
    const current = runAfter(last);
    last = current.catch(() => undefined); // logged by the invoker; the next run does not depend on it
    return current;
  };
  const runByClock = async () => {
    await run().catch(() => undefined);
    arm(schedule.next(new Date()));
  };
  const arm = (due: Date) => {
    if (isStopped) return;
    const delayMs = due.getTime() - Date.now();
    timeout = setTimeout(
      () => {
        // A timer may fire a little early: then it waits for the rest, or it would run twice.
        if (Date.now() < due.getTime()) arm(due);
        else track(runByClock());
      },
      Math.min(Math.max(delayMs, 0), MAX_DELAY_MS),
    );
  };
  return {
    run,
    start: () => {
      if (runOnStartup) track(runByClock());
      else arm(schedule.next(new Date()));
    },
    stop: () => {
      isStopped = true;
      clearTimeout(timeout);
    },
  };
}

function toSchedule(name: string, text: string): Schedule {
  try {
    return createSchedule(text);
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Names begin with a capital letter here: the library turns them round. */
function toTimerInfo(lastAt: Date | undefined, now: Date, next: Date): object {
  return {
    Schedule: { AdjustForDST: true },
    ScheduleStatus: {
      Last: lastAt?.toISOString() ?? "0001-01-01T00:00:00+00:00",
      LastUpdated: now.toISOString(),
      Next: next.toISOString(),
    },
    IsPastDue: false,
  };
}
