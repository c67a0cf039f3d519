// Notification IDs: what they contain, how they are made and read. No I/O except the system's random source.
//
// 160 bits in 32 characters of Crockford's base32: a zero bit (reserved) · the expiry day (15 bits, days since 1970) · the
// creation time, inverted so that newer IDs sort first (48 bits, ms) · 96 random bits. Opaque to callers. The day names the
// only table that can have the row.
import { randomBytes } from "node:crypto";
import * as z from "zod";
import { MAX_TTL_SECONDS } from "./limits.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const MAX_CREATED_MS = 2 ** 48 - 1;
export const DAY_MS = 86_400_000;

/** The ID of a notification, as URLs, rows and push messages have it. */
export const NotificationId = z
  .string()
  .regex(/^[0-9A-F][0-9A-HJKMNP-TV-Z]{31}$/) // the first bit is zero
  .meta({
    id: "NotificationId",
    description: "The ID of a notification; opaque.",
    examples: ["0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4"],
  })
  .brand<"NotificationId">();
export type NotificationId = z.infer<typeof NotificationId>;

/** A day, in days since 1970-01-01 UTC. The day of a notification is the day on which it expires. */
export type Day = number;

export function toDay(at: Date): Day {
  return Math.floor(at.getTime() / DAY_MS);
}

/** `YYYYMMDD`, as in the names of tables. */
export function toDayName(day: Day): string {
  const at = new Date(day * DAY_MS);
  const digits = at.getUTCFullYear() * 10_000 + (at.getUTCMonth() + 1) * 100 + at.getUTCDate();
  return String(digits).padStart(8, "0");
}

/** The day of a name that `toDayName` made; `undefined` for any other text. */
export function parseDayName(name: string): Day | undefined {
  const [, year, month, day] = /^(\d{4})(\d{2})(\d{2})$/.exec(name) ?? [];
  const at = Date.UTC(Number(year), Number(month) - 1, Number(day));
  // Date.UTC takes the 31st of a month with 30 days for the 1st of the next month.
  return Number.isNaN(at) || toDayName(at / DAY_MS) !== name ? undefined : at / DAY_MS;
}

/** The days on which a notification that exists now can expire: one more than the longest lifetime, because clocks differ. */
export function toLivingDays(now: Date): { readonly first: Day; readonly last: Day } {
  const first = toDay(now);
  return { first, last: first + (MAX_TTL_SECONDS * 1000) / DAY_MS + 1 };
}

export function createNotificationId(
  createdAt: Date,
  expiresAt: Date,
  random: (bytes: number) => Uint8Array = randomBytes,
): NotificationId {
  const high = (BigInt(toDay(expiresAt)) << 48n) | BigInt(MAX_CREATED_MS - createdAt.getTime());
  let bits = high << 96n;
  for (const [i, byte] of random(12).entries()) bits |= BigInt(byte) << BigInt(88 - 8 * i);
  let text = "";
  for (let shift = 155n; shift >= 0n; shift -= 5n) text += ALPHABET.charAt(Number((bits >> shift) & 31n));
  return NotificationId.parse(text);
}

/**
 * The value of an ID's last digit; the letter case does not matter. It has five random bits in a notification ID and four in
 * a UUID, whose hexadecimal digits have the same values in this alphabet.
 */
export function toLastDigit(id: string): number {
  return ALPHABET.indexOf(id.slice(-1).toUpperCase());
}

/** The expiry day of an ID: its first 16 bits without the reserved one. */
export function toExpiryDay(id: NotificationId): Day {
  let bits = 0;
  for (const character of id.slice(0, 4)) bits = bits * 32 + ALPHABET.indexOf(character);
  return Math.floor(bits / 16);
}

/** The creation time of an ID. */
export function toCreatedAt(id: NotificationId): Date {
  let bits = 0n;
  // 13 characters have 65 bits: the 64 of the day and the time, and one of the random bits.
  for (const character of id.slice(0, 13)) bits = bits * 32n + BigInt(ALPHABET.indexOf(character));
  return new Date(MAX_CREATED_MS - Number((bits >> 1n) & BigInt(MAX_CREATED_MS)));
}

/**
 * The place of an ID in a list of all IDs, whatever day they expire on: its 144 bits after the day, as text. Sorted as
 * text, the newest comes first.
 */
export type Position = string & { readonly __brand: "Position" };

export function toPosition(id: NotificationId): Position {
  // The first bit of the fourth character belongs to the day.
  return (ALPHABET.charAt(ALPHABET.indexOf(id.charAt(3)) % 16) + id.slice(4)) as Position;
}

/** The ID with this position that expires on this day. */
export function toIdAt(position: Position, day: Day): NotificationId {
  const bits = day * 16 + ALPHABET.indexOf(position.charAt(0));
  const start = [15, 10, 5, 0].map((shift) => ALPHABET.charAt((bits >> shift) % 32));
  return NotificationId.parse(start.join("") + position.slice(1));
}
