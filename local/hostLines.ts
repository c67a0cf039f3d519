// The lines of the Functions host and the app, made readable: one short line for each request, and warnings and errors.
// No I/O.
import type { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

export interface LineOptions {
  /** `short`, or `json`: every line as JSON. */
  readonly form: "short" | "json";
  /** Colours a text, or leaves it as it is. */
  readonly paint: (style: Style, text: string) => string;
  readonly now: () => Date;
}

/** `LEVEL ORIGIN: MESSAGE` (functionsHost/log.ts). The origin is `host`, or a function and its invocation. */
const HOST_LINE = /^(trace|debug|information|warning|error|critical) (host|\S+ [0-9a-f-]{36}): (.*)$/;
/** `METHOD PATH STATUS DURATION ms` (functionsHost/host.ts). */
const REQUEST = /^([A-Z]+) (\S+) (\d{3}|---) (\d+) ms$/;

/** A line of the host's output for the user. Undefined: the line is not shown. */
export function toShownLine(line: string, { form, paint, now }: LineOptions): string | undefined {
  const [, level = "", origin = "", message = ""] = HOST_LINE.exec(line) ?? [];
  const request = origin === "host" ? REQUEST.exec(message) : null;
  const event = parseEvent(message);
  const time = now().toISOString();
  if (form === "json") {
    if (request !== null) return JSON.stringify({ time, level: "info", ...toRequestEvent(request) });
    if (event !== undefined) return message;
    return JSON.stringify(level === "" ? { time, message: line } : { time, level, origin, message });
  }
  const clock = paint("dim", time.slice(11, 19));
  if (request !== null) return `${clock} ${toRequestText(request, paint)}`;
  // A line without a level comes from a crash or from console.log: it is shown as it is.
  if (level === "") return line;
  if (level === "information") return undefined;
  const colour = level === "warning" ? "yellow" : "red";
  const text = event === undefined ? message : toEventText(event);
  return `${clock} ${paint(colour, level)} ${text}`;
}

function toRequestEvent([, method, path, status, duration]: RegExpExecArray): object {
  return { event: "request", method, path, status: Number(status), durationMs: Number(duration) };
}

function toRequestText(
  [, method, path, status = "", duration]: RegExpExecArray,
  paint: LineOptions["paint"],
): string {
  const colours: readonly (readonly [string, Style])[] = [
    ["2", "green"],
    ["4", "yellow"],
  ];
  const colour = colours.find(([first]) => status.startsWith(first))?.[1] ?? "red";
  return `${paint(colour, status)} ${method} ${path} ${paint("dim", `${duration} ms`)}`;
}

type Event = Readonly<Record<string, unknown>> & { readonly event: string };

/** The app's own lines are JSON objects that name an event (shared/base/log.ts). */
function parseEvent(message: string): Event | undefined {
  if (!message.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(message);
    return isEvent(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isEvent(value: unknown): value is Event {
  return typeof value === "object" && value !== null && "event" in value && typeof value.event === "string";
}

/** Members that a reader of one line does not need. `--verbose` shows them. */
const LEFT_OUT = new Set(["time", "level", "event", "correlationId", "operation"]);

function toEventText(event: Event): string {
  const members = Object.entries(event).filter(([name]) => !LEFT_OUT.has(name));
  return [event.event, ...members.map(([name, value]) => `${name}=${String(value)}`)].join(" ");
}
