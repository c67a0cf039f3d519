// The API's document of an app that serves nobody, for whoever checks or reads it. No I/O.
import { createApp } from "../functions/app.ts";
import type { Route } from "../functions/http/handler.ts";
import { toOpenApi } from "../functions/openapi/openApi.ts";
import type { OpenApi } from "../functions/openapi/openApiDocument.ts";
import { createClock } from "../shared/base/clock.ts";
import { parseConfig, toConfigErrorText } from "../shared/config/config.ts";
import { createLog } from "../shared/base/log.ts";

/** Names that nobody has. */
const SETTINGS = {
  STORAGE_TABLE_ENDPOINT: "https://account.table.core.windows.net",
  NOTIFICATION_HUB_CONNECTION_STRING:
    "Endpoint=sb://namespace.servicebus.windows.net/;SharedAccessKeyName=ListenAndSend;SharedAccessKey=a2V5",
  NOTIFICATION_HUB_NAME: "hub",
  AUTH_ISSUER: "https://issuer.example",
  AUTH_AUDIENCE: "api",
  PAYLOAD_LOCAL_KEK: Buffer.alloc(32, 7).toString("base64"),
};

/** The routes and their document, under these settings beside those that have to be. */
export function createDocument(settings: Readonly<Record<string, string>> = {}): {
  readonly routes: readonly Route[];
  readonly document: OpenApi;
} {
  const config = parseConfig({ ...SETTINGS, ...settings });
  if (!config.ok) throw new Error(toConfigErrorText(config.error));
  const log = createLog(() => undefined);
  const { routes } = createApp({
    config: config.value,
    clock: createClock(log),
    log,
    sleep: () => Promise.resolve(),
  });
  return { routes, document: toOpenApi(routes, config.value) };
}
