// The sender for browsers: Web Push, directly. One push is one POST to the subscription's endpoint (webPushRequest.ts);
// webPushOutcome.ts says what an answer means, and pinnedTransport.ts where requests may go.
import type { CallContext } from "../base/context.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { MAX_TTL_SECONDS } from "../domain/limits.ts";
import type { WebPushConfig } from "../config/webPush.ts";
import { createVapidTokens, type ToAuthorization, type VapidKey } from "../crypto/vapid.ts";
import type { PushChannel } from "../domain/installation.ts";
import { createPinnedTransport, type PinnedTransport, type Resolve } from "./pinnedTransport.ts";
import {
  type Admission,
  CUT_OFF,
  type PushMessage,
  type PushOutcome,
  type PushTarget,
  type Registration,
  type Sender,
} from "./sender.ts";
import { toDescription, toWebPushOutcome, VAPID_KEY_MISMATCH } from "./webPushOutcome.ts";
import { buildWebPushRequest } from "./webPushRequest.ts";

export interface WebPushSenderOptions {
  readonly config: WebPushConfig;
  /** PEM certificates of EXTRA_CA_FILE (authorities.ts). */
  readonly extraAuthorities?: readonly string[];
  readonly clock: Clock;
  /** Takes the line that says that this sender is stopped. */
  readonly log: Log;
  /** How names are resolved; tests replace it. */
  readonly resolve?: Resolve;
}

export interface WebPushSender extends Sender {
  /** What browsers subscribe under: the newest key. Absent while the sender is stopped. */
  readonly vapidPublicKey?: string;
  readonly close: () => Promise<void>;
}

const PLATFORMS = ["browser"] as const;

/** What all steps of a sender that serves need. */
interface Deps {
  readonly keys: readonly VapidKey[];
  readonly toAuthorization: ToAuthorization;
  readonly transport: PinnedTransport;
  readonly clock: Clock;
}

/** An error in the settings stops this sender alone: one line in the log, no new registrations, no pushes. */
export function createWebPushSender(options: WebPushSenderOptions): WebPushSender {
  const { config, extraAuthorities, clock, log, resolve } = options;
  const { vapid, hosts } = config;
  if (!vapid.ok) {
    const { setting, error } = vapid.error;
    log.error("sender_stopped", { sender: "webPush", setting, error });
    return createStoppedSender();
  }
  const { keys, subject } = vapid.value;
  const [newest] = keys;
  const transport = createPinnedTransport({
    hosts,
    offersHttp2: true,
    ...(extraAuthorities === undefined ? {} : { extraAuthorities }),
    ...(resolve === undefined ? {} : { resolve }),
  });
  const deps: Deps = { keys, toAuthorization: createVapidTokens({ subject, clock }), transport, clock };
  return {
    name: "webPush",
    platforms: PLATFORMS,
    isServing: () => true,
    ...(newest === undefined ? {} : { vapidPublicKey: newest.publicKey }),
    admit: (registration, context) => admit(deps, registration, context),
    push: (target, message, context) => push(deps, target, message, context),
    toDestination,
    close: transport.close,
  };
}

function createStoppedSender(): WebPushSender {
  return {
    name: "webPush",
    platforms: PLATFORMS,
    isServing: () => false,
    admit: () => Promise.resolve({ kind: "refused", detail: "platform: browsers are not served now" }),
    push: () => Promise.resolve({ kind: "transient", cause: "sender_stopped" }),
    toDestination,
    close: () => Promise.resolve(),
  };
}

/** The endpoint's origin: one push service. */
function toDestination(channel: PushChannel): string {
  const endpoint = typeof channel === "string" ? channel : channel.endpoint;
  return URL.parse(endpoint)?.origin ?? "";
}

/** Judges the endpoint's address (R130 to R133) and chooses the key that the subscription belongs to. */
async function admit(
  { keys, transport }: Deps,
  { channel, vapidPublicKey }: Registration,
  { signal }: CallContext,
): Promise<Admission> {
  if (typeof channel === "string") return { kind: "refused", detail: "pushChannel: must be a subscription" };
  const key = vapidPublicKey === undefined ? keys[0] : keys.find((one) => isKey(one, vapidPublicKey));
  if (key === undefined)
    return {
      kind: "refused",
      detail: "vapidPublicKey: must be the key that push-config answers; subscribe anew",
    };
  const judged = await transport.judge(channel.endpoint, signal);
  return judged.ok
    ? { kind: "admitted", subscribedUnder: key.thumbprint }
    : { kind: "refused", detail: `pushChannel.endpoint: ${judged.error}` };
}

/** Apps write the key in either alphabet, with or without padding. */
function isKey({ publicKey }: VapidKey, text: string): boolean {
  return Buffer.from(text, "base64url").toString("base64url") === publicKey;
}

async function push(
  deps: Deps,
  { channel, subscribedUnder }: PushTarget,
  message: PushMessage,
  context: CallContext,
): Promise<PushOutcome> {
  const { keys, toAuthorization, transport, clock } = deps;
  if (typeof channel === "string") return { kind: "damaged", cause: "no_subscription" };
  const key = keys.find(({ thumbprint }) => thumbprint === subscribedUnder);
  if (key === undefined) return { kind: "damaged", cause: VAPID_KEY_MISMATCH };
  const secondsLeft = Math.floor((message.expiresAt.getTime() - clock.latest().getTime()) / 1000);
  // Not an answer of the push service: the caller finds the notification expired.
  if (secondsLeft < 1) return { kind: "transient", cause: CUT_OFF };
  const ttlSeconds = Math.min(secondsLeft, MAX_TTL_SECONDS);
  const request = await buildWebPushRequest({
    subscription: channel,
    message,
    ttlSeconds,
    key,
    toAuthorization,
  });
  if (request === undefined) return { kind: "damaged", cause: "bad_subscription" };
  const answer = await transport.post({ ...request, signal: context.signal });
  if (!answer.ok) {
    const { kind, cause } = answer.error;
    return kind === "refused" ? { kind: "damaged", cause } : { kind: "transient", cause };
  }
  const outcome = toWebPushOutcome(answer.value, clock.now());
  if (outcome.kind !== "accepted") {
    const { status } = answer.value;
    const description = toDescription(answer.value);
    context.log.warn("push_service_answer", { destination: toDestination(channel), status, description });
  }
  return outcome;
}
