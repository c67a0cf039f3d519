// The host's lines: one for each message, with the function and the invocation it belongs to. No I/O of its own.
import type { LogLevel } from "./coreModule.ts";

export interface HostLog {
  readonly write: (level: LogLevel, message: string, scope?: LogScope) => void;
}

export interface LogScope {
  readonly functionName: string;
  readonly invocationId: string;
}

/** What the host drops unless host.json says otherwise, and we do not read that part of it. */
const SILENT: ReadonlySet<LogLevel> = new Set(["trace", "debug", "none"]);

export function createHostLog(writeLine: (line: string) => void): HostLog {
  return {
    write: (level, message, scope) => {
      if (SILENT.has(level)) return;
      const origin = scope === undefined ? "host" : `${scope.functionName} ${scope.invocationId}`;
      writeLine(`${level} ${origin}: ${message}`);
    },
  };
}

/** A failure for the log, with its stack; never for a caller. */
export function toErrorText(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
