// What the answer of a push service means (RFC 8030 §5, §7.3, §8.4; docs/web-push.md has the table). No I/O.
import { toHttpOutcome } from "./httpOutcome.ts";
import type { TransportAnswer } from "./httpCall.ts";
import { parseRetryAfter } from "./retryAfter.ts";
import type { PushOutcome } from "./sender.ts";

/** The `cause` of a subscription that was made under another application server key. The app has to subscribe anew. */
export const VAPID_KEY_MISMATCH = "vapid_key_mismatch";

export function toWebPushOutcome(answer: TransportAnswer, now: Date): PushOutcome {
  const { status, headers } = answer;
  if (isKeyMismatch(answer)) return { kind: "damaged", cause: VAPID_KEY_MISMATCH };
  switch (status) {
    case 404: // RFC 8030 §7.3
    case 410: // what the large push services answer
      return { kind: "gone" };
    case 406: // WNS means "too many requests"
      return { kind: "throttled", retryAfterSeconds: parseRetryAfter(headers["retry-after"], now) };
    default:
      return toHttpOutcome(answer, now);
  }
}

/**
 * Whether the push service says that the device subscribed under another key. Apple: `VapidPkHashMismatch`. FCM: "the
 * VAPID credentials … do not correspond to the credentials used to create the subscriptions", `MismatchSenderId`.
 * Mozilla: 401 with `"errno":109`, which it also uses for tokens that it finds expired or made for another audience.
 */
function isKeyMismatch({ status, body }: TransportAnswer): boolean {
  if (status !== 400 && status !== 401 && status !== 403) return false;
  if (/VapidPkHashMismatch|do(?:es)? not correspond to|MismatchSenderId|public key mismatch/i.test(body))
    return true;
  return status === 401 && /"errno"\s*:\s*109\b/.test(body) && !/expir|audience/i.test(body);
}

const MAX_DESCRIPTION_CHARACTERS = 120;

/**
 * Why a push service refused, for the log: WNS's description or Apple's reason. Shortened, and without anything that
 * could be an address or a token.
 */
export function toDescription({ headers, body }: TransportAnswer): string | undefined {
  const text = headers["x-wns-error-description"] ?? /"reason"\s*:\s*"([A-Za-z]+)"/.exec(body)?.[1];
  return text?.replace(/\S+:\/\/\S*|[^\s"'.,;]{40,}/g, "…").slice(0, MAX_DESCRIPTION_CHARACTERS);
}
