// Schedules of timers: NCRONTAB (`{second} {minute} {hour} {day} {month} {day of week}`) or a time span (`hh:mm:ss`).
// All in UTC, as in Azure. No I/O.

export interface Schedule {
  /** The first time after the given one. */
  readonly next: (after: Date) => Date;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const SECOND: Field = { name: "second", min: 0, max: 59 };
const MINUTE: Field = { name: "minute", min: 0, max: 59 };
const HOUR: Field = { name: "hour", min: 0, max: 23 };
const DAY: Field = { name: "day", min: 1, max: 31 };
const MONTH: Field = {
  name: "month",
  min: 1,
  max: 12,
  names: [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
  ],
};
const WEEKDAY: Field = {
  name: "day of week",
  min: 0, // Sunday; 7 is not known
  max: 6,
  names: ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
};

/** @throws Error that says which field is wrong, or that the schedule never comes. */
export function createSchedule(text: string): Schedule {
  const trimmed = text.trim();
  return trimmed.includes(":") ? createInterval(trimmed) : createCron(trimmed);
}

function createInterval(text: string): Schedule {
  const [, days = "0", hours = "", minutes = "", seconds = ""] =
    /^(?:(\d{1,3})\.)?(\d{1,2}):(\d{2}):(\d{2})$/.exec(text) ?? [];
  // .NET reads 24:00:00 as 24 days: better refused than waited for.
  if (hours === "" || Number(hours) > 23 || Number(minutes) > 59 || Number(seconds) > 59)
    throw new Error(`The schedule "${text}" is no time span of the form [d.]hh:mm:ss (up to 23:59:59).`);
  const intervalMs =
    (((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
  if (intervalMs === 0) throw new Error(`The schedule "${text}" is a time span of nothing.`);
  return { next: (after) => new Date(after.getTime() + intervalMs) };
}

function createCron(text: string): Schedule {
  const parts = text.split(/\s+/);
  // Five fields are taken too, as by the real host: the second is 0 then.
  const [second = "", minute = "", hour = "", day = "", month = "", weekday = ""] =
    parts.length === 5 ? ["0", ...parts] : parts;
  if (parts.length !== 5 && parts.length !== 6)
    throw new Error(
      `The schedule "${text}" does not have six fields: second minute hour day month day-of-week.`,
    );
  const times = {
    seconds: parseField(second, SECOND, text),
    minutes: parseField(minute, MINUTE, text),
    hours: parseField(hour, HOUR, text),
  };
  const days = parseField(day, DAY, text);
  const months = parseField(month, MONTH, text);
  const weekdays = parseField(weekday, WEEKDAY, text);
  // Unlike in Unix cron, a day has to be in both the day and the weekday field.
  const isDay = (date: Date) =>
    months.has(date.getUTCMonth() + 1) && days.has(date.getUTCDate()) && weekdays.has(date.getUTCDay());

  const next = (after: Date): Date | undefined => {
    const earliest = new Date(Math.floor(after.getTime() / 1000) * 1000 + 1000);
    const date = new Date(earliest);
    for (let tried = 0; tried < MAX_DAYS; tried++) {
      const found = isDay(date) ? findTime(date, times) : undefined;
      if (found !== undefined) return found;
      date.setUTCDate(date.getUTCDate() + 1);
      date.setUTCHours(0, 0, 0, 0);
    }
    return undefined;
  };
  if (next(new Date(0)) === undefined) throw new Error(`The schedule "${text}" never comes.`);
  return {
    next: (after) => {
      const found = next(after);
      if (found === undefined) throw new Error(`The schedule "${text}" does not come any more.`);
      return found;
    },
  };
}

/** The 29th of February on a given weekday comes within 28 years, or 40 around a year like 2100. */
const MAX_DAYS = 366 * 41;

interface Times {
  readonly seconds: ReadonlySet<number>;
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
}

/** The first time on that day at or after the given one. */
function findTime(from: Date, { seconds, minutes, hours }: Times): Date | undefined {
  const [fromHour, fromMinute, fromSecond] = [from.getUTCHours(), from.getUTCMinutes(), from.getUTCSeconds()];
  for (let hour = firstFrom(hours, fromHour); hour !== undefined; hour = firstFrom(hours, hour + 1)) {
    const minMinute = hour === fromHour ? fromMinute : 0;
    for (
      let minute = firstFrom(minutes, minMinute);
      minute !== undefined;
      minute = firstFrom(minutes, minute + 1)
    ) {
      const second = firstFrom(seconds, hour === fromHour && minute === fromMinute ? fromSecond : 0);
      if (second === undefined) continue;
      const found = new Date(from);
      found.setUTCHours(hour, minute, second, 0);
      return found;
    }
  }
  return undefined;
}

function firstFrom(values: ReadonlySet<number>, min: number): number | undefined {
  return [...values].filter((value) => value >= min).toSorted((a, b) => a - b)[0];
}

/** Lists of values, ranges and steps: `*`, `5`, `1-5`, `mon-fri`, an asterisk or a range or a start with `/step`. */
function parseField(text: string, field: Field, schedule: string): ReadonlySet<number> {
  const fail = (): never => {
    throw new Error(`The schedule "${schedule}" is wrong in its ${field.name}: "${text}".`);
  };
  const values = new Set<number>();
  for (const item of text.split(",")) {
    const [, range = "", stepText] = /^([^/]+)(?:\/(\d{1,2}))?$/.exec(item) ?? fail();
    const step = stepText === undefined ? 1 : Number(stepText);
    if (step === 0) fail();
    const [from, to] = parseRange(range, stepText !== undefined, field) ?? fail();
    for (let value = from; value <= to; value += step) values.add(value);
  }
  return values;
}

function parseRange(text: string, hasStep: boolean, field: Field): readonly [number, number] | undefined {
  if (text === "*") return [field.min, field.max];
  const ends = text.split("-").map((end) => parseValue(end, field));
  const [first, second, third] = ends;
  if (first === undefined || third !== undefined || (ends.length > 1 && second === undefined))
    return undefined;
  if (second === undefined) return [first, hasStep ? field.max : first]; // `5/15`: from 5 on
  return first <= second ? [first, second] : [second, first]; // turned round, as by the real host
}

function parseValue(text: string, { min, max, names = [] }: Field): number | undefined {
  if (/^\d{1,2}$/.test(text)) return Number(text) >= min && Number(text) <= max ? Number(text) : undefined;
  const index = text.length < 3 ? -1 : names.findIndex((name) => name.startsWith(text.toLowerCase()));
  return index === -1 ? undefined : index + min;
}
