// What a hub is asked to send: the body and headers of each platform's push message. No I/O.
import {
  type AppleNotification,
  createAdmNotification,
  createAppleNotification,
  createBrowserNotification,
  createFcmV1Notification,
  createWindowsRawNotification,
  createXiaomiNotification,
  type Notification,
} from "@azure/notification-hubs/models";
import type { AlertText, AlertString } from "../config/config.ts";
import type { PushMessage } from "./sender.ts";

/** The hub also knows MPNS, but its SDK has no send for it. */
export const HUB_PLATFORMS = ["apns", "fcmv1", "wns", "adm", "xiaomi", "browser"] as const;
export type HubPlatform = (typeof HUB_PLATFORMS)[number];

/** The body and headers of each platform (design: "What goes over the push networks"). */
export function toHubNotification(
  platform: HubPlatform,
  message: PushMessage,
  alertText: AlertText,
  now: Date,
): Notification {
  const secureId = message.notificationId;
  const ttlSeconds = Math.max(1, Math.floor((message.expiresAt.getTime() - now.getTime()) / 1000));
  const isUrgent = message.urgency === "high";
  switch (platform) {
    case "apns":
      return toAppleNotification(message, alertText);
    case "fcmv1":
      return createFcmV1Notification({
        // The SDK's type for this body lacks the wrapper that the service needs, and does not add it either.
        body: JSON.stringify({
          message: {
            data: { secureId },
            android: {
              priority: isUrgent ? "HIGH" : "NORMAL",
              ttl: `${ttlSeconds}s`,
              ...(message.wireTopic === undefined ? {} : { collapse_key: message.wireTopic }),
            },
          },
        }),
      });
    case "wns":
      return createWindowsRawNotification({
        body: secureId,
        headers: {
          "X-WNS-Type": "wns/raw",
          "X-WNS-TTL": String(ttlSeconds),
          "X-WNS-Cache-Policy": "cache", // kept for a device that is offline
        },
      });
    case "adm":
      return createAdmNotification({
        body: {
          data: { secureId },
          expiresAfter: ttlSeconds,
          priority: isUrgent ? "high" : "normal",
          ...(message.wireTopic === undefined ? {} : { consolidationKey: message.wireTopic }),
        },
      });
    case "xiaomi":
      return createXiaomiNotification({ body: { data: { secureId } } });
    case "browser":
      return createBrowserNotification({ body: { secureId } });
  }
}

function toAppleNotification(message: PushMessage, alertText: AlertText): AppleNotification {
  const secureId = message.notificationId;
  const isSilent = message.display === "silent";
  const aps = isSilent
    ? { "content-available": 1 }
    : { alert: toAppleAlert(alertText), "mutable-content": 1 };
  // A background push must have priority 5 (Apple: "Sending notification requests to APNs").
  const isImmediate = !isSilent && (message.urgency === "normal" || message.urgency === "high");
  return createAppleNotification({
    body: { aps, secureId },
    headers: {
      "apns-push-type": isSilent ? "background" : "alert",
      "apns-priority": isImmediate ? "10" : "5",
      "apns-expiration": String(Math.floor(message.expiresAt.getTime() / 1000)),
      // Without a topic the ID, so that a push that was repeated replaces itself.
      "apns-collapse-id": message.wireTopic ?? secureId,
    },
  });
}

function toAppleAlert({ title, body }: AlertText): Readonly<Record<string, string>> {
  return { ...toAlertMember("title", "title-loc-key", title), ...toAlertMember("body", "loc-key", body) };
}

function toAlertMember(name: string, locName: string, text: AlertString): Readonly<Record<string, string>> {
  return "text" in text ? { [name]: text.text } : { [locName]: text.locKey };
}
