// Pauses after failures. Time is moved by hand.
import { expect, test } from "vitest";
import { createCoolDown } from "../../shared/base/coolDown.ts";

function createTestCoolDown() {
  const time = { ms: 1_000_000 };
  return { time, coolDown: createCoolDown(() => time.ms) };
}

test("R27: the pause is 1 s, doubles with each failure in a row up to 30 s, and ends with a success", () => {
  const { time, coolDown } = createTestCoolDown();
  expect([coolDown.remainingMs(), coolDown.isFailing()]).toEqual([0, false]);
  for (const ms of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    coolDown.failed();
    expect([coolDown.remainingMs(), coolDown.isFailing()]).toEqual([ms, true]);
    time.ms += ms - 1;
    expect(coolDown.remainingMs()).toBe(1);
    time.ms += 1;
    expect([coolDown.remainingMs(), coolDown.isFailing()]).toEqual([0, true]);
  }
  coolDown.failed();
  coolDown.succeeded();
  expect([coolDown.remainingMs(), coolDown.isFailing()]).toEqual([0, false]);
  coolDown.failed();
  expect(coolDown.remainingMs()).toBe(1_000);
});

test("failures side by side count as one", () => {
  const { time, coolDown } = createTestCoolDown();
  for (let i = 0; i < 100; i++) coolDown.failed();
  expect(coolDown.remainingMs()).toBe(1_000);
  time.ms += 1_000;
  for (let i = 0; i < 100; i++) coolDown.failed();
  expect(coolDown.remainingMs()).toBe(2_000);
});

test("a clock that is set back ends the pause", () => {
  const { time, coolDown } = createTestCoolDown();
  coolDown.failed();
  time.ms -= 3_600_000;
  expect(coolDown.remainingMs()).toBe(0);
});
