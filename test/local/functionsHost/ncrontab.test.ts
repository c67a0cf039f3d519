// Schedules against times, all in UTC.
import { describe, expect, test } from "vitest";
import { createSchedule } from "../../../local/functionsHost/ncrontab.ts";

const NEW_YEAR = "2026-01-01T00:00:00.000Z"; // a Thursday

describe("schedules", () => {
  test.each([
    { schedule: "0 * * * * *", after: NEW_YEAR, next: "2026-01-01T00:01:00.000Z" },
    { schedule: "0 * * * * *", after: "2026-01-01T00:00:59.999Z", next: "2026-01-01T00:01:00.000Z" },
    { schedule: "0 0 * * * *", after: "2025-12-31T23:30:00.000Z", next: NEW_YEAR },
    { schedule: "* * * * * *", after: "2026-01-01T00:00:00.500Z", next: "2026-01-01T00:00:01.000Z" },
    { schedule: "*/20 * * * * *", after: "2026-01-01T00:00:40.000Z", next: "2026-01-01T00:01:00.000Z" },
    { schedule: "5/15 * * * * *", after: "2026-01-01T00:00:36.000Z", next: "2026-01-01T00:00:50.000Z" },
    { schedule: "0 10-20/5 * * * *", after: "2026-01-01T00:15:00.000Z", next: "2026-01-01T00:20:00.000Z" },
    { schedule: "0 20-10 * * * *", after: NEW_YEAR, next: "2026-01-01T00:10:00.000Z" }, // turned round
    { schedule: "0 0,30 9 * * *", after: "2026-01-01T09:00:00.000Z", next: "2026-01-01T09:30:00.000Z" },
    { schedule: "30 0 9 * * *", after: "2026-01-01T09:00:30.000Z", next: "2026-01-02T09:00:30.000Z" },
    { schedule: "59 59 23 31 12 *", after: NEW_YEAR, next: "2026-12-31T23:59:59.000Z" },
    { schedule: "0 0 0 31 * *", after: "2026-01-31T00:00:00.000Z", next: "2026-03-31T00:00:00.000Z" },
    { schedule: "0 0 0 29 2 *", after: NEW_YEAR, next: "2028-02-29T00:00:00.000Z" },
    { schedule: "0 0 0 29 2 *", after: "2096-03-01T00:00:00.000Z", next: "2104-02-29T00:00:00.000Z" },
    { schedule: "0 0 0 29 2 mon", after: NEW_YEAR, next: "2044-02-29T00:00:00.000Z" },
    { schedule: "0 30 9 * * 1-5", after: "2026-01-02T09:30:00.000Z", next: "2026-01-05T09:30:00.000Z" },
    { schedule: "0 30 9 * Jan Mon", after: "2026-01-26T09:30:00.000Z", next: "2027-01-04T09:30:00.000Z" },
    { schedule: "0 0 0 * * sunday", after: NEW_YEAR, next: "2026-01-04T00:00:00.000Z" },
    { schedule: "0 0 0 * * fri-sat", after: "2026-01-03T00:00:00.000Z", next: "2026-01-09T00:00:00.000Z" },
    // The day and the weekday both have to fit, unlike in Unix cron: a Friday the 13th.
    { schedule: "0 0 0 13 * 5", after: NEW_YEAR, next: "2026-02-13T00:00:00.000Z" },
    { schedule: "  0   0 0 1 * * ", after: NEW_YEAR, next: "2026-02-01T00:00:00.000Z" },
    { schedule: "*/5 * * * *", after: NEW_YEAR, next: "2026-01-01T00:05:00.000Z" }, // five fields
    { schedule: "00:00:10", after: "2026-01-01T00:00:00.500Z", next: "2026-01-01T00:00:10.500Z" },
    { schedule: "23:59:59", after: NEW_YEAR, next: "2026-01-01T23:59:59.000Z" },
    { schedule: "7.00:00:00", after: NEW_YEAR, next: "2026-01-08T00:00:00.000Z" },
  ])("$schedule comes after $after at $next", ({ schedule, after, next }) => {
    expect(createSchedule(schedule).next(new Date(after)).toISOString()).toBe(next);
  });

  test.each([
    { schedule: "", why: "six fields" },
    { schedule: "* * * *", why: "six fields" },
    { schedule: "* * * * * * *", why: "six fields" },
    { schedule: "60 * * * * *", why: 'second: "60"' },
    { schedule: "* 60 * * * *", why: "minute" },
    { schedule: "* * 24 * * *", why: "hour" },
    { schedule: "* * * 0 * *", why: "day" },
    { schedule: "* * * * 13 *", why: "month" },
    { schedule: "* * * * * 7", why: "day of week" },
    { schedule: "*/0 * * * * *", why: "second" },
    { schedule: "1,,2 * * * * *", why: "second" },
    { schedule: "1-2-3 * * * * *", why: "second" },
    { schedule: "-1 * * * * *", why: "second" },
    { schedule: "1- * * * * *", why: "second" },
    { schedule: "x * * * * *", why: "second" },
    { schedule: "? * * * * *", why: "second" },
    { schedule: "* * * * * mo", why: "day of week" },
    { schedule: "0 0 0 30 2 *", why: "never comes" },
    { schedule: "24:00:00", why: "time span" }, // 24 days in .NET
    { schedule: "00:60:00", why: "time span" },
    { schedule: "00:00:00", why: "nothing" },
    { schedule: "1:2", why: "time span" },
  ])("$schedule is refused: $why", ({ schedule, why }) => {
    expect(() => createSchedule(schedule)).toThrow(why);
  });
});
