// One structured line for each event. No I/O of its own: where lines go is handed in.

export type LogLevel = "info" | "warn" | "error";

/** The fields of a log line: ids, reasons, statuses, counts. Never a payload, token, key or push channel. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  readonly info: (event: string, fields?: LogFields) => void;
  readonly warn: (event: string, fields?: LogFields) => void;
  readonly error: (event: string, fields?: LogFields) => void;
  /** The same log, with these fields on every line. */
  readonly with: (fields: LogFields) => Log;
}

/** Writes one line of text. No text from outside can start a second line or move a terminal's cursor. */
export type WriteLine = (level: LogLevel, line: string) => void;

// JSON.stringify escapes C0 controls only. These remain: DEL, C1 controls (CSI among them), line and paragraph separators,
// and bidirectional marks.
const unsafe = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A log whose lines are JSON objects with time, level, event and fields. `bound` is on every line. */
export function createLog(write: WriteLine, now: () => Date = () => new Date(), bound: LogFields = {}): Log {
  const at = (level: LogLevel) => (event: string, fields?: LogFields) => {
    const line = JSON.stringify({ time: now().toISOString(), level, event, ...bound, ...fields });
    write(
      level,
      line.replace(unsafe, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`),
    );
  };
  return {
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => createLog(write, now, { ...bound, ...fields }),
  };
}

/** Why something failed, for a log: the message of our own errors, only the name of errors with a foreign text. */
export function toCause(error: unknown): string {
  if (!(error instanceof Error)) return "not an error";
  return error.name === "RestError" || error.name === "SyntaxError" ? error.name : error.message;
}
