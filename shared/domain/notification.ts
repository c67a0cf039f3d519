// The domain's things: what a back end and a device may ask for, parsed at the edge; inside, the type is the
// proof. No I/O.
import { ECDH } from "node:crypto";
import * as z from "zod";
import { MAX_TTL_SECONDS, MIN_TTL_SECONDS } from "../config/config.ts";
import { MAX_PAYLOAD_DEPTH } from "../base/json.ts";
import { foldUserId, USER_ID } from "./userId.ts";

/** Recipients of one sendSecure call. */
export const MAX_RECIPIENTS = 100;
/** Recipients × bytes of the payload: what one call may write. */
export const MAX_WRITTEN_BYTES = 8 * 1024 * 1024;

const UserIdText = z.string().regex(USER_ID, "must be 1 to 256 visible ASCII characters");

/** A user id in its folded form (userId.ts): 1–256 visible ASCII characters. */
export const UserId = UserIdText.transform(foldUserId).brand<"UserId">();
export type UserId = z.infer<typeof UserId>;

/** One user id or a list of them; inside, always a list. */
const Recipients = z
  .union([UserIdText, z.array(UserIdText).min(1).max(MAX_RECIPIENTS)], {
    error: `must be a user id, or a list of 1 to ${MAX_RECIPIENTS}`,
  })
  .transform((to) => [to].flat().map((text) => UserId.parse(text)))
  .describe(
    "A user id, or a list of them in which repeated ones count once. A GUID, or two joined by a full stop, is the same " +
      "in either letter case; any other is compared to the letter.",
  );

export const Urgency = z
  .enum(["very-low", "low", "normal", "high"])
  .describe("How much a device's battery may pay for it (RFC 8030 §5.3).");
export type Urgency = z.infer<typeof Urgency>;

export const Display = z
  .enum(["alert", "silent"])
  .describe("`alert`: a generic text that the app may replace; `silent`: a background wake.");
export type Display = z.infer<typeof Display>;

/** Leaves the service only as a keyed hash. */
const Topic = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,32}$/, "must be 1 to 32 of A-Z a-z 0-9 _ -")
  .describe("A newer push replaces an undelivered one of the same topic (RFC 8030 §5.4).");

/**
 * What sendSecure takes. `payload` is any JSON value; its source text is kept beside the parsed body (json.ts),
 * so here it only has to be there.
 */
export const SendRequest = z
  .strictObject({
    to: Recipients,
    payload: z
      .unknown()
      .refine((value) => value !== undefined, "is missing")
      .describe(`Any JSON value, at most ${MAX_PAYLOAD_DEPTH} levels deep. It comes back to the byte.`),
    ttl: z
      .int()
      .min(MIN_TTL_SECONDS)
      .max(MAX_TTL_SECONDS)
      .optional()
      .describe("Seconds until the notification is gone."),
    urgency: Urgency.default("normal"),
    topic: Topic.optional(),
    display: Display.optional(),
  })
  .meta({ id: "SendRequest" });
export type SendRequest = z.infer<typeof SendRequest>;

/** What getReceipts takes; an `id` that is none of ours is as unknown as any. */
export const ReceiptsRequest = z
  .strictObject({ id: z.string(), to: Recipients })
  .meta({ id: "ReceiptsRequest" });

/** What eraseRecipient takes. */
export const EraseRequest = z.strictObject({ to: Recipients }).meta({ id: "EraseRequest" });

/** What listNotifications takes, as text: `limit` in decimal digits alone (R75). */
export const ListQuery = z.strictObject({
  unread: z
    .enum(["true", "false"])
    .default("false")
    .transform((text) => text === "true"),
  limit: z
    .string()
    .regex(/^(?:[1-9]\d?|100)$/)
    .default("20")
    .transform(Number),
  cursor: z.string().optional(),
});
export type ListQuery = z.infer<typeof ListQuery>;

/** The id that a device gives itself; it stands inside its user's partition. */
export const InstallationId = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,64}$/)
  .meta({
    id: "InstallationId",
    description: "The id that a device gives itself. Another user's device may have the same.",
    examples: ["phone-1"],
  })
  .brand<"InstallationId">();
export type InstallationId = z.infer<typeof InstallationId>;

/** Platforms by the hub's installation names; `browser` is served by the hub or by Web Push directly. */
export const PLATFORMS = ["apns", "fcmv1", "wns", "adm", "xiaomi", "browser", "mpns"] as const;
export type Platform = (typeof PLATFORMS)[number];

/** A browser's push subscription; every member is a secret (the endpoint is a credential by itself). */
export interface Subscription {
  readonly endpoint: string;
  readonly p256dh: string;
  readonly authSecret: string;
}

/** The device's address at its push service: a token, a channel URI, or a browser's subscription. */
export type PushChannel = string | Subscription;

/** What registerInstallation takes: device tokens for apps, a channel URI for WNS, a subscription for browsers. */
export const InstallationRequest = z
  .discriminatedUnion("platform", [
    z.strictObject({
      platform: z.literal("apns"),
      // APNs device tokens are hexadecimal; their length may change (Apple's documentation), so it is only bounded.
      pushChannel: z
        .string()
        .max(512)
        .regex(/^(?:[0-9A-Fa-f]{2})+$/, "must be a device token in hexadecimal")
        .describe("The device token in hexadecimal."),
    }),
    z.strictObject({ platform: z.enum(["fcmv1", "adm", "xiaomi"]), pushChannel: token() }),
    z.strictObject({ platform: z.enum(["wns", "mpns"]), pushChannel: channelUri() }),
    z.strictObject({
      platform: z.literal("browser"),
      pushChannel: z
        .strictObject({ endpoint: channelUri(), p256dh: publicKey(), auth: authSecret() })
        .transform(({ endpoint, p256dh, auth }): Subscription => ({ endpoint, p256dh, authSecret: auth })),
      vapidPublicKey: publicKey()
        .describe(
          "The application server key that the browser subscribed under, as push-config answered it (RFC 8292 §4). Without it the newest one is assumed.",
        )
        .optional(),
    }),
  ])
  .meta({ id: "InstallationRequest" });
export type InstallationRequest = z.infer<typeof InstallationRequest>;

function token() {
  return z
    .string()
    .max(2048)
    .regex(/^[\x21-\x7e]+$/, "must be visible ASCII characters")
    .describe("The token that the push service gave the app.");
}

/**
 * https, no user information, no fragment, written as the parser writes it but for letter case; answers what the
 * parser writes (R130, R131). What a pattern can say of that stands in the pattern, which the API's document shows.
 */
function channelUri() {
  const message = "must be a normalised https URL without user information or fragment";
  return z
    .string()
    .max(2048)
    .regex(/^[hH][tT][tT][pP][sS]:\/\/[!-"$-~]+$/, message)
    .transform((text, context) => {
      const url = URL.parse(text);
      // Without a path the parser adds one.
      const isNormalised =
        url !== null && [text, `${text}/`].some((form) => form.toLowerCase() === url.href.toLowerCase());
      if (isNormalised && url.protocol === "https:" && url.username === "" && url.password === "")
        return url.href;
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    })
    .describe("A normalised https URL without user information or fragment.");
}

/** 16 bytes in base64url, in the one canonical form: the last character has four bits left, which are zero. */
function authSecret() {
  return z
    .string()
    .regex(/^[A-Za-z0-9_-]{21}[AQgw]$/, "must be 16 bytes in base64url")
    .describe("The authentication secret of RFC 8291 §3.2.");
}

/**
 * A public key of RFC 8291 §3.1: a point on P-256 in the uncompressed form, 65 bytes of which the first is 4, in
 * canonical base64url.
 */
function publicKey() {
  const message = "must be a point on P-256 in the uncompressed form, in base64url";
  return z
    .string()
    .regex(/^B[A-P][A-Za-z0-9_-]{84}[AEIMQUYcgkosw048]$/, { error: message, abort: true })
    .refine((text) => {
      try {
        // OpenSSL checks that it lies on the curve (R73).
        ECDH.convertKey(Buffer.from(text, "base64url"), "prime256v1");
        return true;
      } catch {
        return false;
      }
    }, message)
    .describe("The user agent's public key: a point on P-256 (RFC 8291 §3.1).");
}

/** What a push came to, over the devices of one recipient or over several recipients. */
export const PUSH_STATUSES = ["accepted", "pending", "failed", "noDevices"] as const;
export type PushStatus = (typeof PUSH_STATUSES)[number];

/** One status for several recipients: the first of `pending`, `failed`, `accepted` that any of them has, else `noDevices`. */
export function toPushStatus(statuses: readonly PushStatus[]): PushStatus {
  const order = ["pending", "failed", "accepted"] as const;
  return order.find((status) => statuses.includes(status)) ?? "noDevices";
}
