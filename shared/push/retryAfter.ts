// The Retry-After field of an answer (RFC 9110 §10.2.3). No I/O.

/** A day: a longer pause would outlast most notifications, and a mistake of the other side would silence a device. */
const MAX_SECONDS = 86_400;

interface RetryAfterRange {
  /** For a field that is absent or unreadable. Default: 10. */
  readonly otherwise?: number;
  /** Default: a day. */
  readonly longest?: number;
}

/** How many seconds to wait: whole seconds or a date in the field, at least one second. */
export function parseRetryAfter(
  text: string | undefined,
  now: Date,
  { otherwise = 10, longest = MAX_SECONDS }: RetryAfterRange = {},
): number {
  if (text === undefined) return otherwise;
  const trimmed = text.trim();
  const seconds = /^\d+$/.test(trimmed) ? Number(trimmed) : (Date.parse(trimmed) - now.getTime()) / 1000;
  if (Number.isNaN(seconds)) return otherwise;
  return Math.min(Math.max(Math.ceil(seconds), 1), longest);
}
