// One line for each event, whatever stands in its fields.
import * as fc from "fast-check";
import { expect, expectTypeOf, test } from "vitest";
import { createLog, type LogFields, type LogLevel } from "../../shared/base/log.ts";
import type { Secret } from "../../shared/base/secret.ts";

const at = new Date("2026-05-01T12:00:00.007Z");

function createTestLog() {
  const lines: { level: LogLevel; line: string }[] = [];
  const log = createLog(
    (level, line) => lines.push({ level, line }),
    () => at,
  );
  return { log, lines, read: () => lines.map(({ line }) => JSON.parse(line) as unknown) };
}

test("R144: a line holds the time in UTC, the level, the event and its fields", () => {
  const { log, lines, read } = createTestLog();
  log.info("sent", { notificationId: "x", recipients: 3, isNew: true, missing: undefined });
  log.warn("slow");
  log.error("broken", { status: 500 });
  const time = "2026-05-01T12:00:00.007Z";
  expect(read()).toEqual([
    { time, level: "info", event: "sent", notificationId: "x", recipients: 3, isNew: true },
    { time, level: "warn", event: "slow" },
    { time, level: "error", event: "broken", status: 500 },
  ]);
  expect(lines.map(({ level }) => level)).toEqual(["info", "warn", "error"]);
});

test("bound fields stand on every line, the nearest wins, and the log they came from stays as it was", () => {
  const { log, read } = createTestLog();
  const call = log.with({ correlationId: "c", route: "get" });
  call.with({ route: "send" }).info("a", { status: 1 });
  call.info("b");
  log.info("c");
  expect(read()).toMatchObject([
    { event: "a", correlationId: "c", route: "send", status: 1 },
    { event: "b", correlationId: "c", route: "get" },
    { event: "c" },
  ]);
  expect(read()[2]).not.toHaveProperty("correlationId");
});

// Controls (Cc), line and paragraph separators, and all that Unicode calls a bidirectional control.
const unsafe = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

test("R143: no character of Unicode that breaks a line, steers a terminal or turns text round gets through", () => {
  const { log, lines, read } = createTestLog();
  for (let start = 0; start < 0x110000; start += 0x1000) {
    const text = String.fromCodePoint(...Array.from({ length: 0x1000 }, (_, i) => start + i));
    log.info(text, { [text]: text });
  }
  for (const { line } of lines) expect(unsafe.test(line)).toBe(false);
  // What was escaped reads back as it was.
  expect(JSON.stringify(read()[0])).toContain("\\u001b");
  expect(read()).toHaveLength(0x110);
});

test("R143: whatever stands in a field, the line is one line of JSON that gives it back", () => {
  const names = fc
    .string({ unit: "binary" })
    .filter((name) => !["time", "level", "event", "__proto__"].includes(name));
  fc.assert(
    fc.property(
      fc.dictionary(names, fc.string({ unit: "binary" })),
      fc.string({ unit: "binary" }),
      (fields, event) => {
        const { log, lines, read } = createTestLog();
        log.info(event, fields);
        expect(lines[0]?.line).not.toMatch(unsafe);
        expect(read()).toEqual([{ time: at.toISOString(), level: "info", event, ...fields }]);
      },
    ),
  );
});

test("an unpaired surrogate, a number that JSON does not know, and an empty event are still one line", () => {
  const { log, lines, read } = createTestLog();
  log.info("", { lone: "\ud800", none: Number.NaN });
  expect(lines[0]?.line).toContain('"\\ud800"');
  expect(lines[0]?.line.isWellFormed()).toBe(true);
  expect(read()).toMatchObject([{ lone: "\ud800", none: null }]);
});

test("no secret, object or error is a field by type", () => {
  expectTypeOf<Secret<string>>().not.toExtend<LogFields[string]>();
  expectTypeOf<Error>().not.toExtend<LogFields[string]>();
  expectTypeOf<Uint8Array>().not.toExtend<LogFields[string]>();
});
