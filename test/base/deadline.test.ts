// Waiting no longer than a signal allows, and working no more at once than is allowed.
import { getEventListeners } from "node:events";
import { afterEach, describe, expect, test, vi } from "vitest";
import { both, createDeadline, mapBounded, withDeadline } from "../../shared/base/deadline.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("withDeadline", () => {
  test("settles as the promise does, and leaves no listener behind", async () => {
    const { signal } = new AbortController();
    await expect(withDeadline(Promise.resolve(1), signal)).resolves.toBe(1);
    const error = new Error("failed");
    await expect(withDeadline(Promise.reject(error), signal)).rejects.toBe(error);
    await turn();
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("rejects with the signal's reason at once, and takes a later failure of the promise silently", async () => {
    const controller = new AbortController();
    const held = Promise.withResolvers<void>();
    const waited = withDeadline(held.promise, controller.signal);
    const reason = new Error("the deadline");
    controller.abort(reason);
    await expect(waited).rejects.toBe(reason);
    held.reject(new Error("too late")); // vitest fails on an unhandled rejection
    await turn();
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  test("a signal that is aborted already wins over a promise that is settled already", async () => {
    const reason = new Error("the deadline");
    await expect(withDeadline(Promise.resolve(1), AbortSignal.abort(reason))).rejects.toBe(reason);
    await expect(withDeadline(Promise.reject(new Error("failed")), AbortSignal.abort(reason))).rejects.toBe(
      reason,
    );
    await turn();
  });

  test("an abort after the end changes nothing", async () => {
    const controller = new AbortController();
    const waited = withDeadline(Promise.resolve(1), controller.signal);
    await waited;
    controller.abort(new Error("the deadline"));
    await expect(waited).resolves.toBe(1);
  });
});

describe("createDeadline", () => {
  afterEach(() => vi.useRealTimers());

  test("ends after its time, as a TimeoutError", () => {
    vi.useFakeTimers();
    const { signal } = createDeadline(1000, new AbortController().signal);
    vi.advanceTimersByTime(999);
    expect(signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(signal.reason).toMatchObject({ name: "TimeoutError" });
  });

  test("ends with the signal around it, for the same reason, now or later", () => {
    const outer = new AbortController();
    const deadline = createDeadline(60_000, outer.signal);
    expect(deadline.signal.aborted).toBe(false);
    const reason = new Error("the call is over");
    outer.abort(reason);
    const late = createDeadline(60_000, outer.signal);
    for (const { signal, clear } of [deadline, late]) {
      expect(signal.reason).toBe(reason);
      clear();
    }
  });

  test("leaves no timer and no listener behind, and never ends once it is cleared", () => {
    vi.useFakeTimers();
    const outer = new AbortController();
    const { signal, clear } = createDeadline(1000, outer.signal);
    clear();
    expect([vi.getTimerCount(), getEventListeners(outer.signal, "abort")]).toEqual([0, []]);
    outer.abort();
    vi.advanceTimersByTime(2000);
    expect(signal.aborted).toBe(false);
  });
});

describe("mapBounded", () => {
  test("never has more at work than allowed, uses all that is allowed, and keeps the order", async () => {
    let running = 0;
    let most = 0;
    const items = Array.from({ length: 50 }, (_, i) => i);
    const results = await mapBounded(items, 7, async (item) => {
      running++;
      most = Math.max(most, running);
      for (let i = 0; i < (item * 7) % 5; i++) await turn();
      running--;
      return item * 2;
    });
    expect(results).toEqual(items.map((item) => item * 2));
    expect(most).toBe(7);
  });

  test.each([1, 3, 100])("of fewer items than %i allows all are worked on", async (limit) => {
    expect(await mapBounded([], limit, () => Promise.resolve(1))).toEqual([]);
    expect(await mapBounded(["a", "b"], limit, (item) => Promise.resolve(item))).toEqual(["a", "b"]);
  });

  test("after an error begins nothing new, and throws it when all that had begun has ended", async () => {
    const held = Promise.withResolvers<void>();
    const begun: number[] = [];
    let isSettled = false;
    const mapped = mapBounded([0, 1, 2, 3], 2, async (item) => {
      begun.push(item);
      if (item === 1) throw new Error("the first");
      await held.promise;
      throw new Error("the second");
    });
    const settled = mapped.then(
      () => expect.unreachable(),
      (error: unknown) => {
        isSettled = true;
        return error;
      },
    );
    await turn();
    expect(begun).toEqual([0, 1]);
    expect(isSettled).toBe(false);
    held.resolve();
    expect(await settled).toMatchObject({ message: "the first" });
    expect(begun).toEqual([0, 1]);
  });

  test("an error that is undefined is an error", async () => {
    // oxlint-disable-next-line typescript/only-throw-error, typescript/prefer-promise-reject-errors -- what others throw
    await expect(mapBounded([1], 1, () => Promise.reject(undefined))).rejects.toBeUndefined();
  });

  test("work that throws before it waits is an error like others", async () => {
    const mapped = mapBounded([1, 2], 2, () => {
      throw new Error("at once");
    });
    await expect(mapped).rejects.toThrow("at once");
  });
});

describe("both", () => {
  test("gives both values", async () => {
    expect(await both(Promise.resolve(1), Promise.resolve("b"))).toEqual([1, "b"]);
  });

  test("when one fails, waits for the other before it throws", async () => {
    const held = Promise.withResolvers<number>();
    let isSettled = false;
    const waited = both(Promise.reject(new Error("a")), held.promise).finally(() => {
      isSettled = true;
    });
    waited.catch(() => undefined);
    await turn();
    expect(isSettled).toBe(false);
    held.resolve(1);
    await expect(waited).rejects.toThrow("a");
  });

  test("when both fail, throws the first in their order, not in time", async () => {
    const held = Promise.withResolvers<number>();
    const waited = both(held.promise, Promise.reject(new Error("b")));
    held.reject(new Error("a"));
    await expect(waited).rejects.toThrow("a");
  });
});
