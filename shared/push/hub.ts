// Azure Notification Hubs: native sends to tags that the service made itself, direct sends, installations. The SDK
// reads the connection string and makes the SAS tokens (docs/notification-hubs-protocol.md §1, §2).
import type { BrowserPushChannel, Installation } from "@azure/notification-hubs/models";
import {
  createOrUpdateInstallation,
  deleteInstallation,
  type NotificationHubsClientContext,
  sendNotification,
} from "@azure/notification-hubs/api";
import type { Clock } from "../base/clock.ts";
import type { AlertText } from "../config/config.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import { createDeadline } from "../base/deadline.ts";
import type { Platform, PushChannel } from "../domain/installation.ts";
import type { Secret } from "../base/secret.ts";
import { HUB_PLATFORMS, type HubPlatform, toHubNotification } from "./hubMessages.ts";
import { connectToHub } from "./hubContext.ts";
import { parseRetryAfter } from "./retryAfter.ts";
import {
  CUT_OFF,
  type DirectoryEntry,
  type DirectoryOutcome,
  type PushMessage,
  type PushOutcome,
  type Sender,
} from "./sender.ts";

export interface HubOptions {
  readonly connectionString: Secret<string>;
  readonly hubName: string;
  readonly alertText: AlertText;
  readonly allowLoopback: boolean;
  readonly clock: Clock;
}

/** A longer pause would be a mistake, and keep every device of the hub waiting. */
const MAX_RETRY_AFTER_SECONDS = 3600;
/** One call (R115); a hub that hangs is one that is away. */
const CALL_TIMEOUT_MS = 5_000;

/** A new or changed installation is shown to tags after so long (measured; the hub documents no bound). */
const VISIBLE_AFTER_MS = 120_000;
/** More direct pushes than that would cost more than the hub's own fan-out is worth. */
const MAX_DIRECT_PUSHES = 5;
/** Tags of one expression (Notification Hubs: "Routing and tag expressions"). */
const MAX_TAGS = 20;

/** @throws Error, without the text of the setting, when the connection string is not one or is not https. */
export function createHubSender(options: HubOptions): Sender {
  const { clock } = options;
  const hub: Hub = { ...options, context: connectToHub(options) };
  return {
    name: "hub",
    platforms: HUB_PLATFORMS,
    isServing: () => true,
    // async, so that a refused target rejects rather than throws
    push: async ({ platform, channel }, message, { signal }) =>
      send(hub, { platform, message, target: { deviceHandle: toDeviceHandle(channel) } }, signal),
    groups: {
      maxRecipients: MAX_TAGS,
      visibleAfterMs: VISIBLE_AFTER_MS,
      maxDirectPushes: MAX_DIRECT_PUSHES,
      push: async (platform, recipients, message, { signal }) =>
        send(hub, { platform, message, target: { tagExpression: toTagExpression(recipients) } }, signal),
    },
    directory: {
      put: async (entry, { signal }) => {
        const installation = toHubInstallation(entry);
        const outcome = await call(clock, signal, async (abortSignal) => {
          await createOrUpdateInstallation(hub.context, installation, { abortSignal });
          return {};
        });
        return toDirectoryOutcome(outcome);
      },
      remove: async (entryId, { signal }) => {
        const outcome = await call(clock, signal, async (abortSignal) => {
          await deleteInstallation(hub.context, entryId, { abortSignal });
          return {};
        });
        if (outcome.kind === "credentials" && outcome.status === 404) return { kind: "accepted" };
        return toDirectoryOutcome(outcome);
      },
    },
  };
}

interface Hub extends HubOptions {
  readonly context: NotificationHubsClientContext;
}

interface HubPush {
  readonly platform: Platform;
  readonly message: PushMessage;
  readonly target:
    { readonly tagExpression: string } | { readonly deviceHandle: string | BrowserPushChannel };
}

async function send(
  { context, alertText, clock }: Hub,
  { platform, message, target }: HubPush,
  signal: AbortSignal,
): Promise<PushOutcome> {
  const notification = toHubNotification(parseHubPlatform(platform), message, alertText, clock.now());
  // Only what `target` holds may be in the options: the SDK takes a property that is there but undefined for the tag
  // "undefined", and no target at all for a broadcast.
  return call(clock, signal, async (abortSignal) => {
    const answer = await sendNotification(context, notification, { ...target, abortSignal });
    return answer.trackingId === undefined ? {} : { trackingId: answer.trackingId };
  });
}

function toHubInstallation({
  entryId,
  recipientKey,
  platform,
  channel,
  expiresAt,
}: DirectoryEntry): Installation {
  return {
    installationId: entryId,
    platform: parseHubPlatform(platform),
    pushChannel: toHubChannel(channel),
    tags: [toTag(recipientKey)],
    expirationTime: expiresAt.toISOString(),
  } as Installation; // the SDK's union cannot follow platform and channel varying together
}

/** Only a 400 says plainly that this push channel is invalid. A conflict or a missing hub passes. */
function toDirectoryOutcome(outcome: PushOutcome): DirectoryOutcome {
  switch (outcome.kind) {
    case "message":
      return outcome.status === 400
        ? { kind: "refused", status: outcome.status }
        : { kind: "transient", cause: `status ${outcome.status}` };
    case "gone":
    case "damaged":
      return { kind: "transient", cause: outcome.kind };
    default:
      return outcome;
  }
}

function parseHubPlatform(platform: Platform): HubPlatform {
  const known = HUB_PLATFORMS.find((served) => served === platform);
  if (known === undefined) throw new Error(`the hub does not serve ${platform}`);
  return known;
}

/** A tag may hold letters, digits and _ @ # . : - (docs/notification-hubs-protocol.md §9), which base64url keeps to. */
function toTag(recipientKey: RecipientKey): string {
  if (!/^[A-Za-z0-9_-]{43}$/.test(recipientKey)) throw new Error("not a recipient key");
  return `user:${recipientKey}`;
}

/** One tag, or an OR of at most 20. Nobody is an error: without a target the hub would push to everybody. */
function toTagExpression(recipients: readonly RecipientKey[]): string {
  if (recipients.length < 1 || recipients.length > MAX_TAGS)
    throw new Error("a push needs 1 to 20 recipients");
  return recipients.map(toTag).join(" || ");
}

function toDeviceHandle(channel: PushChannel): string | BrowserPushChannel {
  const handle = toHubChannel(channel);
  if (handle === "") throw new Error("a direct push needs a push channel");
  return handle;
}

function toHubChannel(channel: PushChannel): string | BrowserPushChannel {
  if (typeof channel === "string") return channel;
  return { endpoint: channel.endpoint, p256dh: channel.p256dh, auth: channel.authSecret };
}

/** Runs one call of the hub; whatever it comes to is an outcome, but for an abort, which throws. */
async function call(
  clock: Clock,
  signal: AbortSignal,
  operation: (signal: AbortSignal) => Promise<{ readonly trackingId?: string }>,
): Promise<PushOutcome> {
  const deadline = createDeadline(CALL_TIMEOUT_MS, signal);
  try {
    return { kind: "accepted", ...(await operation(deadline.signal)) };
  } catch (error) {
    // Our caller's deadline says nothing of the hub; a whole call without an answer does.
    if (signal.aborted) return { kind: "transient", cause: CUT_OFF };
    return toOutcome(error, clock.now());
  } finally {
    deadline.clear();
  }
}

function toOutcome(error: unknown, now: Date): PushOutcome {
  const { statusCode: status, response, code, name } = toRestError(error);
  if (status === undefined) {
    if (name === "AbortError") return { kind: "transient", cause: "timeout" };
    // Transport errors have a code; anything else did not come from the network and is a bug.
    if (typeof code !== "string") throw error;
    return { kind: "transient", cause: code };
  }
  const retryAfter = response?.headers.get("retry-after");
  // 403 with Retry-After is a quota of older api-versions, without it a right that is missing.
  if (status === 429 || ((status === 503 || status === 403) && retryAfter !== undefined))
    return {
      kind: "throttled",
      retryAfterSeconds: parseRetryAfter(retryAfter, now, { longest: MAX_RETRY_AFTER_SECONDS }),
    };
  // 404: there is no such hub. Never "gone": the hub takes sends in a queue and says nothing of devices here.
  if (status === 401 || status === 403 || status === 404) return { kind: "credentials", status };
  // Only these speak of the message. Anything else, a conflict (409) among it, may pass.
  if (status === 400 || status === 413) return { kind: "message", status };
  return { kind: "transient", cause: `status ${status}` };
}

interface RestErrorShape {
  readonly statusCode?: number;
  readonly code?: unknown;
  readonly name?: string;
  readonly response?: { readonly headers: { readonly get: (name: string) => string | undefined } };
}

function toRestError(error: unknown): RestErrorShape {
  return typeof error === "object" && error !== null ? error : {};
}
