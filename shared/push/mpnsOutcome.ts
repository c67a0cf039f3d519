// What an answer of MPNS means: its status and its three headers ("Push Notification Service response codes for Windows
// Phone 8"; docs/mpns.md has the table). No I/O.
import { toHttpOutcome } from "./httpOutcome.ts";
import type { TransportAnswer } from "./httpCall.ts";
import { parseRetryAfter } from "./retryAfter.ts";
import type { PushOutcome } from "./sender.ts";

/** The service asks for increments of minutes after a full queue. */
const QUEUE_FULL_SECONDS = 60;
/** 406 and 412: one try an hour at most. MPNS blocked channels of services that did not keep to that. */
const HOUR_SECONDS = 3600;

/** The `cause` of a push that MPNS took and dropped, because the app's channel suppresses this class of pushes. */
const SUPPRESSED = "suppressed";

/** Header values are compared in any letter case; Windows Phone documents several spellings of some. */
export function toMpnsOutcome(answer: TransportAnswer, now: Date): PushOutcome {
  const { status, headers } = answer;
  const notification = headers["x-notificationstatus"]?.trim().toLowerCase();
  const subscription = headers["x-subscriptionstatus"]?.trim().toLowerCase();
  // Nothing else removes a device.
  if (status === 404 || subscription === "expired") return { kind: "gone" };
  const waitAtLeast = (seconds: number) =>
    Math.max(seconds, parseRetryAfter(headers["retry-after"], now, { otherwise: seconds }));
  // 406: the channel's quota; 412: the device has been offline for long
  if (status === 406 || status === 412)
    return { kind: "throttled", retryAfterSeconds: waitAtLeast(HOUR_SECONDS), isDeviceOnly: true };
  const outcome = toHttpOutcome(answer, now);
  return outcome.kind === "accepted" ? toAcceptance(notification, waitAtLeast(QUEUE_FULL_SECONDS)) : outcome;
}

/** A 2xx is no acceptance by itself (R128). Compatible services may leave the header out. */
function toAcceptance(notification: string | undefined, queueFullSeconds: number): PushOutcome {
  switch (notification) {
    case "queuefull":
      return { kind: "throttled", retryAfterSeconds: queueFullSeconds, isDeviceOnly: true };
    case "suppressed":
      return { kind: "damaged", cause: SUPPRESSED }; // a repeat would be suppressed as well
    case "dropped":
      return { kind: "transient", cause: "dropped" }; // not documented for a 200
    default:
      return { kind: "accepted" };
  }
}
