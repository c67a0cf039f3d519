// The push services behind the hub, as far as the hub sees them: a send becomes one attempt per device, each with
// an outcome. No I/O.
import {
  type HubChannel,
  type Registration,
  type StoredInstallation,
  toRegistrations,
} from "./installation.ts";
import { type HubPlatform, platforms } from "./platforms.ts";
import type { Send } from "./sendRequest.ts";
import { matchesTags } from "./tags.ts";
import { renderTemplate, toProperties } from "./templates.ts";

/** The names that telemetry uses (docs/notification-hubs-protocol.md §7.3). */
export type PushOutcomeName =
  | "Success"
  | "Skipped"
  | "BadChannel"
  | "ExpiredChannel"
  | "WrongChannel"
  | "WrongToken"
  | "InvalidToken"
  | "InvalidCredentials"
  | "InvalidNotificationFormat"
  | "InvalidNotificationSize"
  | "Throttled"
  | "ChannelThrottled"
  | "ChannelDisconnected"
  | "Dropped"
  | "PnsInterfaceError"
  | "PnsServerError"
  | "PnsUnavailable"
  | "PnsUnreachable"
  | "TokenProviderUnreachable"
  | "AbandonedNotificationMessages"
  | "UnknownError";

/** What a push service would have got. */
export interface PushContent {
  readonly contentType: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Attempt {
  readonly platform: HubPlatform;
  readonly channel: HubChannel;
  /** Unknown for a direct send. */
  readonly installationId?: string;
  readonly outcome: PushOutcomeName;
  readonly content: PushContent | undefined;
}

export interface PushOptions {
  /** Those that a send to tags sees. */
  readonly installations: readonly StoredInstallation[];
  readonly outcomeOf: (pushChannel: string) => PushOutcomeName;
  /** A test send reaches only so many. */
  readonly maxDevices?: number;
}

/** The address as one text: a browser's is its endpoint. */
export function toPushChannel(channel: HubChannel): string {
  return typeof channel === "string" ? channel : channel.endpoint;
}

/** A second push of one send to the same address is skipped, as the service does. */
export function attemptPushes(send: Send, options: PushOptions): readonly Attempt[] {
  const seen = new Set<string>();
  return listAddresses(send, options)
    .slice(0, options.maxDevices)
    .map((address) => {
      const key = JSON.stringify([toPushChannel(address.channel), address.template?.name]);
      const isRepeated = seen.has(key);
      seen.add(key);
      return isRepeated ? toAttempt(address, "Skipped", undefined) : attemptPush(send, address, options);
    });
}

function attemptPush(send: Send, address: Address, { outcomeOf }: PushOptions): Attempt {
  const content = toContent(send, address);
  if (content === undefined) return toAttempt(address, "InvalidNotificationFormat", undefined);
  // Of a template this is known only now.
  const isTooLarge = Buffer.byteLength(content.body) > platforms[address.platform].maxPayloadBytes;
  const outcome = isTooLarge ? "InvalidNotificationSize" : outcomeOf(toPushChannel(address.channel));
  return toAttempt(address, outcome, content);
}

function toAttempt(
  { platform, channel, installationId }: Address,
  outcome: PushOutcomeName,
  content: PushContent | undefined,
): Attempt {
  const known = installationId === undefined ? {} : { installationId };
  return { platform, channel, outcome, content, ...known };
}

/** A registration, or the bare channel of a direct send. */
type Address = Pick<Registration, "platform" | "channel" | "template"> &
  Partial<Pick<Registration, "installationId" | "variables">>;

function listAddresses({ notification, target }: Send, { installations }: PushOptions): readonly Address[] {
  if (target.kind === "devices") {
    if (notification.kind === "template") return [];
    const { platform } = notification;
    return target.channels.map((channel) => ({ platform, channel }));
  }
  return installations
    .flatMap(toRegistrations)
    .filter(
      (registration) =>
        (notification.kind === "template"
          ? registration.template !== undefined
          : registration.template === undefined && registration.platform === notification.platform) &&
        (target.kind === "everybody" || matchesTags(target.expression, registration.tags)),
    );
}

function toContent({ notification, bodyText }: Send, address: Address): PushContent | undefined {
  if (notification.kind === "native")
    return { contentType: notification.contentType, headers: notification.headers, body: bodyText };
  if (address.template === undefined) return undefined;
  const properties = toProperties(address.variables ?? {}, notification.properties);
  const rendered = renderTemplate(address.template.template, properties);
  return rendered.ok ? rendered.value : undefined;
}
