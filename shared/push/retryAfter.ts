// The Retry-After field of an answer (RFC 9110 §10.2.3). No I/O.

const DEFAULT_SECONDS = 10;
/** A day: a longer pause would outlast most notifications, and a mistake of the other side would silence a device. */
const MAX_SECONDS = 86_400;

/**
 * How many seconds to wait: whole seconds or a date in the field, at least one second and at most a day. An absent or
 * unreadable field gets the default.
 */
export function parseRetryAfter(
  text: string | undefined,
  now: Date,
  defaultSeconds = DEFAULT_SECONDS,
): number {
  if (text === undefined) return defaultSeconds;
  const trimmed = text.trim();
  const seconds = /^\d+$/.test(trimmed) ? Number(trimmed) : (Date.parse(trimmed) - now.getTime()) / 1000;
  if (Number.isNaN(seconds)) return defaultSeconds;
  return Math.min(Math.max(Math.ceil(seconds), 1), MAX_SECONDS);
}
