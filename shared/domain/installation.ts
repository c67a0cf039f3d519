// How a device registers: its id, its platform, and the push channel at which it is reached. Input is parsed at the edge;
// inside, the type is the proof. No I/O.
import { ECDH } from "node:crypto";
import * as z from "zod";
import { isNormalised } from "../base/url.ts";
import { optional } from "./optional.ts";

/** The id that a device gives itself. Two users' devices may have the same one. */
export const InstallationId = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,64}$/, "must be 1 to 64 of A-Z a-z 0-9 . _ -")
  .meta({
    id: "InstallationId",
    description: "The id that a device gives itself. Another user's device may have the same.",
    examples: ["phone-1"],
  })
  .brand<"InstallationId">();
export type InstallationId = z.infer<typeof InstallationId>;

/** Platforms by the hub's installation names. `browser` is served by Web Push directly, or by the hub. */
export const PLATFORMS = ["apns", "fcmv1", "wns", "adm", "xiaomi", "browser", "mpns"] as const;
export type Platform = (typeof PLATFORMS)[number];

/** What carries a push. Stored with each installation, because a push channel made for one sender is useless to another. */
export const SENDER_NAMES = ["hub", "webPush", "mpns"] as const;
export type SenderName = (typeof SENDER_NAMES)[number];

/** A browser's push subscription. Every member is a secret: the endpoint alone is a credential. */
export interface Subscription {
  readonly endpoint: string;
  readonly p256dh: string;
  readonly authSecret: string;
}

/** The device's address at its push service: a token, a channel URI, or a browser's subscription. */
export type PushChannel = string | Subscription;

const ApnsDevice = z
  .strictObject({
    platform: z.literal("apns"),
    // The length of a device token may change (Apple's documentation), so it is only bounded.
    pushChannel: z
      .string()
      .max(512, "must be a device token of at most 512 hexadecimal digits")
      .regex(/^(?:[0-9A-Fa-f]{2})+$/, "must be a device token in hexadecimal")
      .describe("The device token in hexadecimal."),
  })
  .meta({ id: "ApnsDevice" });

const TokenDevice = z
  .strictObject({ platform: z.enum(["fcmv1", "adm", "xiaomi"]), pushChannel: token() })
  .meta({ id: "TokenDevice" });

const ChannelUriDevice = z
  .strictObject({ platform: z.enum(["wns", "mpns"]), pushChannel: channelUri() })
  .meta({ id: "ChannelUriDevice" });

const BrowserSubscription = z
  .strictObject({
    endpoint: channelUri(),
    p256dh: publicKey().describe("The user agent's public key: a point on P-256 (RFC 8291 §3.1)."),
    auth: authSecret(),
  })
  .transform(({ endpoint, p256dh, auth }): Subscription => ({ endpoint, p256dh, authSecret: auth }))
  .meta({
    id: "BrowserSubscription",
    description: "A browser's push subscription: its endpoint and its two keys.",
  });

const Browser = z
  .strictObject({
    platform: z.literal("browser"),
    pushChannel: BrowserSubscription,
    vapidPublicKey: optional(
      publicKey().describe(
        "The application server key that the browser subscribed under, as push-config answered it (RFC 8292 §4). " +
          "Without it the newest key is assumed.",
      ),
    ),
  })
  .meta({ id: "Browser" });

/** The schemas of the API's document that describe a platform's registration, by platform. */
const SCHEMA_OF_PLATFORM = {
  apns: "ApnsDevice",
  fcmv1: "TokenDevice",
  adm: "TokenDevice",
  xiaomi: "TokenDevice",
  wns: "ChannelUriDevice",
  mpns: "ChannelUriDevice",
  browser: "Browser",
} as const satisfies Record<Platform, string>;

/** The body of registerInstallation. */
export const InstallationRequest = z
  .discriminatedUnion("platform", [ApnsDevice, TokenDevice, ChannelUriDevice, Browser])
  .meta({
    id: "InstallationRequest",
    discriminator: {
      propertyName: "platform",
      mapping: Object.fromEntries(
        Object.entries(SCHEMA_OF_PLATFORM).map(([platform, id]) => [platform, `#/components/schemas/${id}`]),
      ),
    },
  });
export type InstallationRequest = z.infer<typeof InstallationRequest>;

function token() {
  const message = "must be 1 to 2048 visible ASCII characters";
  return z
    .string()
    .max(2048, message)
    .regex(/^[\x21-\x7e]+$/, message)
    .describe("The token that the push service gave the app.");
}

/**
 * A channel URI or endpoint in the form that the URL parser writes, except for letter case: https, no user information,
 * no fragment. The result is what the parser writes (R130, R131). The pattern holds as much of the rule as a pattern can,
 * because the API's document shows the pattern.
 */
function channelUri() {
  const message =
    "must be a normalised https URL of at most 2048 characters without user information or fragment";
  return z
    .string()
    .max(2048, message)
    .regex(/^[hH][tT][tT][pP][sS]:\/\/[!-"$-~]+$/, message)
    .transform((text, context) => {
      const url = URL.parse(text);
      if (
        url !== null &&
        isNormalised(text, url) &&
        url.protocol === "https:" &&
        url.username === "" &&
        url.password === ""
      )
        return url.href;
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    })
    .describe("A normalised https URL without user information or fragment.");
}

/** 16 bytes in canonical base64url: the last character carries four bits of no byte, which are zero. */
function authSecret() {
  return z
    .string()
    .regex(/^[A-Za-z0-9_-]{21}[AQgw]$/, "must be 16 bytes in base64url")
    .describe("The authentication secret (RFC 8291 §3.2).");
}

/**
 * A public key in the form of RFC 8291 §3.1: an uncompressed point on P-256, which is 65 bytes of which the first is 4, in
 * canonical base64url.
 */
function publicKey() {
  const message = "must be a point on P-256 in the uncompressed form, in base64url";
  return z
    .string()
    .regex(/^B[A-P][A-Za-z0-9_-]{84}[AEIMQUYcgkosw048]$/, { error: message, abort: true })
    .refine(isOnCurve, message);
}

/** OpenSSL checks that the point lies on the curve (R73). */
function isOnCurve(text: string): boolean {
  try {
    ECDH.convertKey(Buffer.from(text, "base64url"), "prime256v1");
    return true;
  } catch {
    return false;
  }
}
