// The limits of what callers may ask for. Settings may narrow them. No I/O.

/** The shortest lifetime of a notification. */
export const MIN_TTL_SECONDS = 60;
/** 28 days: the longest that push services keep a message, and so the longest lifetime of a notification. */
export const MAX_TTL_SECONDS = 2_419_200;
/** The most user ids in one call. */
export const MAX_RECIPIENTS = 100;
/** The most that one sendSecure call may store: the payload's bytes times its recipients. */
export const MAX_WRITTEN_BYTES = 8 * 1024 * 1024;
