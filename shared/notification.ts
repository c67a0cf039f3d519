// The domain's things: what a back end and a device may ask for, parsed at the edge; inside, the type is the
// proof. No I/O.
import { ECDH } from "node:crypto";
import * as z from "zod";
import { MAX_TTL_SECONDS, MIN_TTL_SECONDS } from "./config.ts";
import { toUserId } from "./userId.ts";

/** Recipients of one sendSecure call. */
export const MAX_RECIPIENTS = 100;
/** Recipients × bytes of the payload: what one call may write. */
export const MAX_WRITTEN_BYTES = 8 * 1024 * 1024;

/** A user id in its folded form (userId.ts): 1–256 visible ASCII characters. */
export const UserId = z
  .string()
  .transform((text, context) => {
    const userId = toUserId(text);
    if (userId !== undefined) return userId;
    context.addIssue({ code: "custom", message: "must be 1 to 256 visible ASCII characters" });
    return z.NEVER;
  })
  .brand<"UserId">();
export type UserId = z.infer<typeof UserId>;

/** RFC 8030 §5.3 */
export const Urgency = z.enum(["very-low", "low", "normal", "high"]);
export type Urgency = z.infer<typeof Urgency>;

/** `alert`: generic text that the app may replace; `silent`: a background wake. */
export const Display = z.enum(["alert", "silent"]);
export type Display = z.infer<typeof Display>;

/** RFC 8030 §5.4. Collapses undelivered pushes; leaves the service only as a keyed hash. */
const Topic = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, "must be 1 to 32 of A-Z a-z 0-9 _ -");

/** One user id, or up to 100. */
const Recipients = z.preprocess(
  (to) => (Array.isArray(to) ? (to as readonly unknown[]) : [to]),
  z.array(UserId).min(1).max(MAX_RECIPIENTS),
);

/**
 * What sendSecure takes. `payload` is any JSON value; its source text is kept beside the parsed body (json.ts),
 * so here it only has to be there.
 */
export const SendRequest = z.strictObject({
  to: Recipients,
  payload: z.unknown().refine((value) => value !== undefined, "is missing"),
  ttl: z.int().min(MIN_TTL_SECONDS).max(MAX_TTL_SECONDS).optional(), // seconds
  urgency: Urgency.default("normal"),
  topic: Topic.optional(),
  display: Display.optional(),
});
export type SendRequest = z.infer<typeof SendRequest>;

/** What getReceipts takes; an `id` that is none of ours is as unknown as any. */
export const ReceiptsRequest = z.strictObject({ id: z.string(), to: Recipients });

/** What eraseRecipient takes. */
export const EraseRequest = z.strictObject({ to: Recipients });

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
export const InstallationRequest = z.discriminatedUnion("platform", [
  z.strictObject({
    platform: z.literal("apns"),
    // APNs device tokens are hexadecimal; their length may change (Apple's documentation), so it is only bounded.
    pushChannel: z
      .string()
      .max(512)
      .regex(/^(?:[0-9A-Fa-f]{2})+$/, "must be a device token in hexadecimal"),
  }),
  z.strictObject({ platform: z.enum(["fcmv1", "adm", "xiaomi"]), pushChannel: token() }),
  z.strictObject({ platform: z.enum(["wns", "mpns"]), pushChannel: channelUri() }),
  z.strictObject({
    platform: z.literal("browser"),
    pushChannel: z
      .strictObject({ endpoint: channelUri(), p256dh: publicKey(), auth: base64url(16) })
      .transform(({ endpoint, p256dh, auth }): Subscription => ({ endpoint, p256dh, authSecret: auth })),
  }),
]);
export type InstallationRequest = z.infer<typeof InstallationRequest>;

function token() {
  return z
    .string()
    .max(2048)
    .regex(/^[\x21-\x7e]+$/, "must be visible ASCII characters");
}

/**
 * https, no user information, no fragment, written as the parser writes it but for letter case; answers what the
 * parser writes (R130, R131).
 */
function channelUri() {
  return z
    .string()
    .max(2048)
    .transform((text, context) => {
      const url = URL.parse(text);
      // Without a path the parser adds one.
      const isNormalised =
        url !== null && [text, `${text}/`].some((form) => form.toLowerCase() === url.href.toLowerCase());
      // Other scripts have letters whose lower case is an ASCII letter.
      const isAscii = /^[\x21-\x7e]+$/.test(text);
      if (
        isNormalised &&
        isAscii &&
        url.protocol === "https:" &&
        url.username === "" &&
        url.password === "" &&
        !text.includes("#")
      )
        return url.href;
      context.addIssue({
        code: "custom",
        message: "must be a normalised https URL without user information or fragment",
      });
      return z.NEVER;
    });
}

/** Canonical base64url of so many bytes. */
function base64url(bytes: number) {
  return z.string().refine((text) => {
    const decoded = Buffer.from(text, "base64url");
    return decoded.length === bytes && decoded.toString("base64url") === text;
  }, `must be ${bytes} bytes in base64url`);
}

/** A public key of RFC 8291 §3.1: a point on P-256 in the uncompressed form. */
function publicKey() {
  return base64url(65).refine((text) => {
    const point = Buffer.from(text, "base64url");
    if (point[0] !== 0x04) return false;
    try {
      // OpenSSL checks that it lies on the curve (R73).
      ECDH.convertKey(point, "prime256v1");
      return true;
    } catch {
      return false;
    }
  }, "must be a point on P-256 in the uncompressed form");
}

/** What a push came to, over the devices of one recipient or over several recipients. */
export const PUSH_STATUSES = ["accepted", "pending", "failed", "no-devices"] as const;
export type PushStatus = (typeof PUSH_STATUSES)[number];

/** The most telling status of several recipients: design.md, "sendSecure request". */
export function toPushStatus(statuses: readonly PushStatus[]): PushStatus {
  const order = ["pending", "failed", "accepted"] as const;
  return order.find((status) => statuses.includes(status)) ?? "no-devices";
}
