// The clock, corrected by the store's, under every kind of wrong time.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import { createLog } from "../../shared/base/log.ts";

const T0 = Date.parse("2026-05-01T12:00:00.000Z");
const HOUR_MS = 3_600_000;

/** Our own clock stands at `time.ms` until it is moved. */
function createTestClock() {
  const time = { ms: T0 };
  const lines: string[] = [];
  const clock = createClock(
    createLog((_, line) => lines.push(line)),
    () => time.ms,
  );
  return { time, clock, lines };
}

/** What an HTTP Date header can say: whole seconds. */
const toHeader = (ms: number) => new Date(Math.floor(ms / 1000) * 1000);

test("uncorrected, it is our own", () => {
  const { clock, time } = createTestClock();
  expect(clock.now()).toEqual(new Date(T0));
  time.ms += 1;
  expect(clock.now()).toEqual(new Date(T0 + 1));
  expect(clock.latest()).toEqual(new Date(T0 + 1));
  expect(clock.uncorrectedMs()).toBe(T0 + 1);
});

test("R106: an hour behind or ahead it follows the store, and warns once", () => {
  for (const skewMs of [HOUR_MS, -HOUR_MS]) {
    const { clock, lines, time } = createTestClock();
    for (let i = 0; i < 3; i++) {
      clock.observe(toHeader(T0 + skewMs), time.ms, time.ms);
      expect(Math.abs(clock.now().getTime() - (time.ms + skewMs))).toBeLessThan(1000);
    }
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ level: "warn", event: "clock_skewed" }),
    ]);
  }
});

test("R106: latest is never before our own time, nor before the store's", () => {
  const ahead = createTestClock();
  ahead.clock.observe(toHeader(T0 + HOUR_MS), T0, T0);
  expect(ahead.clock.latest()).toEqual(ahead.clock.now());
  const behind = createTestClock();
  behind.clock.observe(toHeader(T0 - HOUR_MS), T0, T0);
  expect(behind.clock.now().getTime()).toBeLessThan(T0);
  expect(behind.clock.latest()).toEqual(new Date(T0));
});

test("a right clock is left alone: the header's seconds and a slow answer explain the rest", () => {
  const { clock, time, lines } = createTestClock();
  for (const tookMs of [0, 1, 500, 999, 1000, 30_000])
    for (const serverMs of [0, tookMs / 2, tookMs]) {
      clock.observe(toHeader(time.ms + serverMs), time.ms, time.ms + tookMs);
      expect(clock.now()).toEqual(new Date(time.ms));
      time.ms += 777;
    }
  expect(lines).toEqual([]);
});

test("a skew is warned of past five minutes, not at five, and again after it was right between", () => {
  const { clock, lines } = createTestClock();
  const skew = (seconds: number) => clock.observe(new Date(T0 + seconds * 1000), T0, T0);
  skew(299);
  skew(300);
  expect(lines).toHaveLength(0);
  skew(301);
  skew(302);
  expect(lines).toHaveLength(1);
  skew(0);
  skew(-302);
  expect(lines).toHaveLength(2);
});

describe("what is not believed", () => {
  test.each([
    ["a date that is none", new Date(Number.NaN), T0, T0],
    ["an answer received before it was asked: our clock was put back meanwhile", new Date(0), T0, T0 - 1],
  ])("%s", (_, serverDate, sentAtMs, receivedAtMs) => {
    const { clock } = createTestClock();
    clock.observe(serverDate, sentAtMs, receivedAtMs);
    expect(clock.now()).toEqual(new Date(T0));
  });
});

test("our clock jumping an hour within a request, forth, is corrected by the next answer", () => {
  const { clock, time } = createTestClock();
  time.ms = T0 + HOUR_MS; // it jumped
  clock.observe(toHeader(T0), T0, time.ms);
  clock.observe(toHeader(T0), time.ms, time.ms);
  expect(Math.abs(clock.now().getTime() - T0)).toBeLessThan(1000);
  time.ms = T0; // and back
  clock.observe(toHeader(T0), T0, T0);
  expect(Math.abs(clock.now().getTime() - T0)).toBeLessThan(1000);
});

test("whatever skew and delay: after one answer the error is below the delay and the header's second", () => {
  const span = fc.integer({ min: -40 * HOUR_MS, max: 40 * HOUR_MS });
  fc.assert(
    fc.property(
      fc.array(fc.record({ skewMs: span, thereMs: fc.nat(5000), backMs: fc.nat(5000) }), { minLength: 1 }),
      (answers) => {
        const { clock, time } = createTestClock();
        for (const { skewMs, thereMs, backMs } of answers) {
          const sentAtMs = time.ms;
          const serverMs = sentAtMs + thereMs + skewMs;
          time.ms += thereMs + backMs;
          clock.observe(toHeader(serverMs), sentAtMs, time.ms);
          const errorMs = Math.abs(clock.now().getTime() - (time.ms + skewMs));
          expect(errorMs).toBeLessThanOrEqual(thereMs + backMs + 999);
          expect(clock.latest().getTime()).toBe(Math.max(clock.now().getTime(), time.ms));
        }
      },
    ),
  );
});
