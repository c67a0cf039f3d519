// Emulators for tests, and two ways to talk to one: the real SDK, and requests that the SDK would never make.
import { createAppleNotification, NotificationHubsClient } from "@azure/notification-hubs";
import { onTestFinished } from "vitest";
import {
  createHubEmulator,
  type HubEmulator,
  type HubEmulatorOptions,
} from "../../../packages/notification-hubs-emulator/emulator.ts";
import { signSas } from "../../../packages/notification-hubs-emulator/sas.ts";

/** Lives as long as the test that calls. */
export async function startHub(options?: HubEmulatorOptions): Promise<HubEmulator> {
  const hub = await createHubEmulator(options);
  onTestFinished(hub.close);
  return hub;
}

export function createSdkClient(hub: HubEmulator, ruleName?: string): NotificationHubsClient {
  const connectionString = ruleName === undefined ? hub.connectionString : hub.connectionStringOf(ruleName);
  return new NotificationHubsClient(connectionString, hub.hubName, {
    retryOptions: { maxRetries: 0 },
    additionalPolicies: [
      {
        position: "perCall",
        policy: {
          name: "allowPlainHttp",
          sendRequest: (outgoing, next) => {
            outgoing.allowInsecureConnection = true;
            return next(outgoing);
          },
        },
      },
    ],
  });
}

interface RequestParts {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Without the question mark; default: the SDK's api-version. */
  readonly query?: string;
  /** Default: a good token of the rule that may listen and send. `null`: none. */
  readonly authorization?: string | null;
}

/** `path` is below the hub. */
export function request(
  hub: HubEmulator,
  method: string,
  path: string,
  { headers, body, query = "api-version=2020-06", authorization = createToken(hub) }: RequestParts = {},
): Promise<Response> {
  return fetch(`${hub.url}${hub.hubName}/${path}?${query}`, {
    method,
    headers: { ...headers, ...(authorization === null ? {} : { authorization }) },
    ...(body === undefined ? {} : { body }),
  });
}

interface TokenParts {
  readonly ruleName?: string;
  readonly audience?: string;
  readonly expiry?: number;
  /** Default: the rule's own. */
  readonly key?: string;
}

/** A token as the SDK makes it, but for what is said otherwise. */
export function createToken(hub: HubEmulator, parts: TokenParts = {}): string {
  const { ruleName = "ListenAndSend", audience = hub.url } = parts;
  const { expiry = Math.floor(Date.now() / 1000) + 3600, key = keyOf(hub, ruleName) } = parts;
  const encoded = encodeURIComponent(audience);
  const signature = encodeURIComponent(signSas(encoded, String(expiry), key));
  return `SharedAccessSignature sr=${encoded}&sig=${signature}&se=${expiry}&skn=${encodeURIComponent(ruleName)}`;
}

export function keyOf(hub: HubEmulator, ruleName: string): string {
  return /SharedAccessKey=(.+)$/.exec(hub.connectionStringOf(ruleName))?.[1] ?? "";
}

/** The Detail of an error answer, without the tracking text behind it. */
export function toDetail(text: string): string | undefined {
  return /<Detail>(.*)\.TrackingId:[0-9a-f-]{36}_G\d+,TimeStamp:[^<]+<\/Detail>/.exec(text)?.[1];
}

export const apple = createAppleNotification({ body: { aps: {} } });

/** A send without a target. */
export const APPLE_SEND = {
  headers: { "ServiceBusNotification-Format": "apple", "Content-Type": "application/json" },
  body: '{"aps":{}}',
} as const;

export function sendTo(hub: HubEmulator, tagExpression: string) {
  return createSdkClient(hub).sendNotification(apple, { tagExpression });
}

export function toInstallation(installationId: string, ...tags: string[]) {
  return { installationId, platform: "apns", pushChannel: `token-${installationId}`, tags } as const;
}

export async function register(hub: HubEmulator, installationId: string, ...tags: string[]): Promise<void> {
  await createSdkClient(hub).createOrUpdateInstallation({ ...toInstallation(installationId), tags });
}

/** A PUT that the SDK's types would not let through. */
export function put(hub: HubEmulator, document: unknown, id = "i1"): Promise<Response> {
  return request(hub, "PUT", `installations/${id}`, { body: JSON.stringify(document) });
}
