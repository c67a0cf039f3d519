// When timers run: the clock is faked here, the invocation held by hand.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { TimerFunction } from "../../../local/functionsHost/functionTable.ts";
import type { InvocationInput, Invoker } from "../../../local/functionsHost/invoke.ts";
import { createTimers } from "../../../local/functionsHost/timers.ts";

const SECOND_MS = 1_000;

function createHeld(options: Partial<TimerFunction> = {}) {
  const runs: InvocationInput[] = [];
  const ends: ((error?: Error) => void)[] = [];
  const invoke: Invoker["invoke"] = (_registered, input) => {
    runs.push(input);
    return new Promise((resolve, reject) => {
      ends.push((error) => (error === undefined ? resolve(undefined) : reject(error)));
    });
  };
  const tracked: Promise<void>[] = [];
  const timers = createTimers({
    timers: [
      {
        name: "tick",
        registered: { metadata: { name: "tick", bindings: {} }, callback: () => undefined },
        schedule: "0 * * * * *",
        runOnStartup: false,
        ...options,
      },
    ],
    invoker: { invoke, runAppHooks: () => Promise.resolve(), log: () => undefined },
    track: (run) => tracked.push(run),
  });
  return { timers, runs, tracked, end: (error?: Error) => ends.shift()?.(error) };
}

function readInfo(run: InvocationInput | undefined): unknown {
  return JSON.parse(run?.data.json ?? "null");
}

describe("a timer", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: new Date("2026-01-01T00:00:30.250Z") });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("runs when its schedule says so, and is told when", async () => {
    const { timers, runs, end } = createHeld();
    timers.start();
    await vi.advanceTimersByTimeAsync(29_749);
    expect(runs).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(runs.map(readInfo)).toEqual([
      {
        Schedule: { AdjustForDST: true },
        ScheduleStatus: {
          Last: "0001-01-01T00:00:00+00:00",
          LastUpdated: "2026-01-01T00:01:00.000Z",
          Next: "2026-01-01T00:02:00.000Z",
        },
        IsPastDue: false,
      },
    ]);
    end();
    await vi.advanceTimersByTimeAsync(60 * SECOND_MS);
    expect(readInfo(runs[1])).toMatchObject({ ScheduleStatus: { Last: "2026-01-01T00:01:00.000Z" } });
  });

  test("does not run again while it runs: what it misses is left out", async () => {
    const { timers, runs, end } = createHeld();
    timers.start();
    await vi.advanceTimersByTimeAsync(200 * SECOND_MS);
    expect(runs).toHaveLength(1);
    end();
    await vi.advanceTimersByTimeAsync(9 * SECOND_MS); // 00:03:59
    expect(runs).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(SECOND_MS);
    expect(runs).toHaveLength(2);
  });

  test("that is asked for while it runs comes after", async () => {
    const { timers, runs, end } = createHeld();
    const first = timers.run("tick");
    const second = timers.run("tick");
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toHaveLength(1);
    end();
    await first;
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toHaveLength(2);
    end();
    await second;
  });

  test("that fails tells whoever asked, and runs again", async () => {
    const { timers, runs, tracked, end } = createHeld();
    timers.start();
    const asked = timers.run("tick");
    const refused = expect(asked).rejects.toThrow("no");
    await vi.advanceTimersByTimeAsync(0);
    end(new Error("no"));
    await refused;
    await vi.advanceTimersByTimeAsync(30 * SECOND_MS);
    end(new Error("no"));
    await Promise.all(tracked); // what the clock started does not reject
    await vi.advanceTimersByTimeAsync(60 * SECOND_MS);
    expect(runs).toHaveLength(3);
  });

  test("that wants to run on start-up does so, and by its schedule after that", async () => {
    const { timers, runs, end } = createHeld({ runOnStartup: true });
    timers.start();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toHaveLength(1);
    end();
    await vi.advanceTimersByTimeAsync(30 * SECOND_MS);
    expect(runs).toHaveLength(2);
  });

  test("that was stopped runs no more, also when it is stopped while it runs", async () => {
    const { timers, runs, end } = createHeld();
    timers.start();
    await vi.advanceTimersByTimeAsync(30 * SECOND_MS);
    timers.stop();
    end();
    await vi.advanceTimersByTimeAsync(600 * SECOND_MS);
    expect(runs).toHaveLength(1);
  });

  test("that is due in more than 24 days waits for it", async () => {
    const { timers, runs } = createHeld({ schedule: "0 0 0 1 3 *" });
    timers.start();
    await vi.advanceTimersByTimeAsync(Date.parse("2026-02-28T23:59:59Z") - Date.now());
    expect(runs).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(SECOND_MS);
    expect(runs).toHaveLength(1);
  });
});
