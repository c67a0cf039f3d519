// The connection to a hub: the SDK reads the connection string, makes the SAS tokens and writes the requests
// (docs/notification-hubs-protocol.md §1, §2). A token is kept for a while, and requests go through our HTTP client: both
// cost the SDK most of a call's CPU (docs/performance.md).
import { createClientContext, type NotificationHubsClientContext } from "@azure/notification-hubs/api";
import { createHttpHeaders } from "@azure/core-rest-pipeline";
import { createHttpClient } from "../base/httpClient.ts";
import type { Secret } from "../base/secret.ts";
import { isLoopback, isSecure } from "../base/url.ts";

export interface HubContextOptions {
  readonly connectionString: Secret<string>;
  readonly hubName: string;
  readonly allowLoopback: boolean;
}

/** The SDK's tokens are valid for an hour. */
const TOKEN_KEPT_MS = 10 * 60_000;

/** @throws Error, without the text of the setting, when the connection string is not one or is not https. */
export function connectToHub(options: HubContextOptions): NotificationHubsClientContext {
  const { connectionString, hubName, allowLoopback } = options;
  let context: NotificationHubsClientContext;
  let url: URL;
  try {
    context = createClientContext(connectionString.reveal(), hubName);
    url = context.requestUrl(); // an endpoint that is no URL throws here, with its text in the error
  } catch {
    throw new Error("NOTIFICATION_HUB_CONNECTION_STRING: is not a hub's connection string");
  }
  if (!isSecure(url, allowLoopback))
    throw new Error("NOTIFICATION_HUB_CONNECTION_STRING: must hold an sb:// or https:// endpoint");
  // The SDK accepts an endpoint alone and fails at the first call.
  if (!/(?:^|;)\s*SharedAccessKey\s*=\s*[^;\s]/.test(connectionString.reveal()))
    throw new Error("NOTIFICATION_HUB_CONNECTION_STRING: holds no SharedAccessKey");
  return toLeanContext(context, allowLoopback && isLoopback(url));
}

/** The same context with a kept token and without the SDK's pipeline: no retries, no redirects, no tracing. */
function toLeanContext(
  context: NotificationHubsClientContext,
  allowInsecureConnection: boolean,
): NotificationHubsClientContext {
  const httpClient = createHttpClient();
  let kept: { readonly headers: Record<string, string>; readonly atMs: number } | undefined;
  return {
    requestUrl: () => context.requestUrl(),
    createHeaders: async (operation, raw = {}) => {
      const nowMs = performance.now(); // a clock that is set back keeps no token too long
      if (kept === undefined || nowMs - kept.atMs > TOKEN_KEPT_MS) {
        const headers = (await context.createHeaders(operation)).toJSON({ preserveCase: true });
        kept = { headers, atMs: nowMs };
      }
      return createHttpHeaders({ ...raw, ...kept.headers });
    },
    sendRequest: (request) => {
      request.allowInsecureConnection = allowInsecureConnection;
      return httpClient.sendRequest(request);
    },
  };
}
