// The request of one push to a browser: its header fields (RFC 8030 §5), its body (RFC 8291, crypto/aes128gcm.ts) and who
// we are (RFC 8292, crypto/vapid.ts). No I/O.
import { encryptPush } from "../crypto/aes128gcm.ts";
import type { ToAuthorization, VapidKey } from "../crypto/vapid.ts";
import type { Subscription } from "../domain/installation.ts";
import type { PushMessage } from "./sender.ts";

export interface WebPushRequestOptions {
  readonly subscription: Subscription;
  readonly message: PushMessage;
  /** Whole seconds, at least 1. */
  readonly ttlSeconds: number;
  /** The key that the browser subscribed under. */
  readonly key: VapidKey;
  readonly toAuthorization: ToAuthorization;
}

export interface WebPushRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * What the plaintext is padded to, so that the length of a body says nothing. Bodies have 231 bytes: Firefox for Android
 * refuses more than 2,847.
 */
const PADDED_BYTES = 128;

/** Nothing where the subscription's endpoint or keys cannot be used. */
export async function buildWebPushRequest(
  options: WebPushRequestOptions,
): Promise<WebPushRequest | undefined> {
  const { subscription, message, ttlSeconds, key, toAuthorization } = options;
  const url = URL.parse(subscription.endpoint);
  const body = toBody(subscription, message);
  if (url === null || body === undefined) return undefined;
  return {
    url: subscription.endpoint,
    headers: {
      TTL: String(ttlSeconds),
      Urgency: message.urgency,
      ...(message.wireTopic === undefined ? {} : { Topic: message.wireTopic }),
      "Content-Encoding": "aes128gcm",
      "Content-Type": "application/octet-stream",
      // WNS refuses a TTL that its cache policy contradicts; a TTL of ours is never 0, so it may keep the push.
      ...(isWns(url.hostname) ? { "X-WNS-Cache-Policy": "cache" } : {}),
      Authorization: await toAuthorization(url.origin, key),
    },
    body,
  };
}

/** The ID and nothing else (P1). */
function toBody({ p256dh, authSecret }: Subscription, { notificationId }: PushMessage): Buffer | undefined {
  const plaintext = Buffer.from(JSON.stringify({ secureId: notificationId }));
  try {
    return encryptPush({ p256dh, authSecret }, plaintext, PADDED_BYTES);
  } catch {
    return undefined;
  }
}

function isWns(hostname: string): boolean {
  return hostname.endsWith(".notify.windows.com") || hostname.endsWith(".wns.windows.com");
}
