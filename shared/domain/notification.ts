// What a back end may send and ask, and what a device may list. Input is parsed at the edge; inside, the type is the
// proof. No I/O.
import * as z from "zod";
import { MAX_PAYLOAD_DEPTH } from "../base/json.ts";
import { MAX_RECIPIENTS, MAX_TTL_SECONDS, MIN_TTL_SECONDS } from "./limits.ts";
import { optional } from "./optional.ts";
import { foldUserId, USER_ID } from "./userId.ts";

const UserIdText = z.string().regex(USER_ID, "must be 1 to 256 visible ASCII characters");

/** A user id in its folded form (userId.ts): 1–256 visible ASCII characters. */
export const UserId = UserIdText.transform(foldUserId).brand<"UserId">();
export type UserId = z.infer<typeof UserId>;

const RECIPIENTS_RULE = `must be an array of 1 to ${MAX_RECIPIENTS} user ids, also for one user`;

const Recipients = z
  .array(UserIdText, RECIPIENTS_RULE)
  .min(1, RECIPIENTS_RULE)
  .max(MAX_RECIPIENTS, RECIPIENTS_RULE)
  .transform((to) => to.map((text) => UserId.parse(text)))
  .describe(
    "User ids; a repeated one counts once. A GUID, or two joined by a full stop, is the same user in upper and lower " +
      "case; any other user id is compared exactly.",
  );

export const Urgency = z.enum(["very-low", "low", "normal", "high"]).meta({
  id: "Urgency",
  description: "How much of a device's battery the push may cost (RFC 8030 §5.3). Default: `normal`.",
});
export type Urgency = z.infer<typeof Urgency>;

export const Display = z.enum(["alert", "silent"]).meta({
  id: "Display",
  description:
    "`alert`: a generic text that the app may replace. `silent`: the app is woken in the background.",
});
export type Display = z.infer<typeof Display>;

/** Leaves the service only as a keyed hash. */
const Topic = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,32}$/, "must be 1 to 32 of A-Z a-z 0-9 _ -")
  .describe("A newer push replaces an undelivered one of the same topic (RFC 8030 §5.4).");

const TTL_RULE = `must be a whole number of seconds from ${MIN_TTL_SECONDS} to ${MAX_TTL_SECONDS}`;

/**
 * The body of sendSecure. `payload` is any JSON value. Its source text is kept beside the parsed body (json.ts), so this
 * schema only requires it.
 */
export const SendRequest = z
  .strictObject({
    to: Recipients,
    payload: z
      .unknown()
      .refine((value) => value !== undefined, "is missing")
      .describe(
        `Any JSON value, at most ${MAX_PAYLOAD_DEPTH} levels deep. Devices get it back byte for byte.`,
      ),
    ttl: optional(
      z
        .int(TTL_RULE)
        .min(MIN_TTL_SECONDS, TTL_RULE)
        .max(MAX_TTL_SECONDS, TTL_RULE)
        .describe("Seconds until the notification expires."),
    ),
    urgency: optional(Urgency).transform((urgency) => urgency ?? "normal"),
    topic: optional(Topic),
    display: optional(Display),
  })
  .meta({ id: "SendRequest" });
export type SendRequest = z.infer<typeof SendRequest>;

/** The body of getReceipts. A text that is not an ID is as unknown as any other ID. */
export const ReceiptsRequest = z
  .strictObject({ id: z.string(), to: Recipients })
  .meta({ id: "ReceiptsRequest" });

/** The body of eraseRecipient. */
export const EraseRequest = z.strictObject({ to: Recipients }).meta({ id: "EraseRequest" });

/** The query of listNotifications, as text: `limit` in decimal digits alone (R75). */
export const ListQuery = z.strictObject({
  unread: z
    .enum(["true", "false"], "must be true or false")
    .optional()
    .transform((text) => text === "true"),
  limit: z
    .string()
    .regex(/^(?:[1-9]\d?|100)$/, "must be a whole number from 1 to 100 in decimal digits")
    .optional()
    .transform((text) => Number(text ?? 20)),
  cursor: z.string().optional(),
});
export type ListQuery = z.infer<typeof ListQuery>;

/** The result of a push, over the devices of one recipient or over several recipients. */
export const PUSH_STATUSES = ["accepted", "pending", "failed", "noDevices"] as const;
export type PushStatus = (typeof PUSH_STATUSES)[number];

/** One status for several recipients: the first of `pending`, `failed`, `accepted` that any of them has, else `noDevices`. */
export function toPushStatus(statuses: readonly PushStatus[]): PushStatus {
  const order = ["pending", "failed", "accepted"] as const;
  return order.find((status) => statuses.includes(status)) ?? "noDevices";
}
