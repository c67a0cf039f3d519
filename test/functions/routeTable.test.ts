// What main.ts registers at the start is what the app has, which it loads later.
import { expect, test } from "vitest";
import { createApp } from "../../functions/app.ts";
import { ROUTES, TIMERS } from "../../functions/routeTable.ts";
import { createClock } from "../../shared/base/clock.ts";
import { createLog } from "../../shared/base/log.ts";
import { parseConfig } from "../../shared/config/config.ts";

test("every function that is registered has a handler, and every handler is registered", () => {
  const config = parseConfig({
    STORAGE_TABLE_ENDPOINT: "https://account.table.core.windows.net",
    NOTIFICATION_HUB_CONNECTION_STRING:
      "Endpoint=sb://namespace.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=a2V5",
    NOTIFICATION_HUB_NAME: "hub",
    AUTH_ISSUER: "https://issuer.example",
    AUTH_AUDIENCE: "api://push",
    PAYLOAD_KEK: "https://vault.vault.azure.net/keys/payload-kek",
  });
  if (!config.ok) throw new Error("the settings are not valid");
  const log = createLog(() => undefined);
  const app = createApp({
    config: config.value,
    clock: createClock(log),
    log,
    sleep: () => Promise.resolve(),
  });
  const names = app.routes.map(({ name }) => name);
  expect(new Set(names)).toEqual(new Set(Object.keys(ROUTES)));
  expect(names).toHaveLength(Object.keys(ROUTES).length);
  expect(app.timers.map(({ name }) => name)).toEqual([...TIMERS]);
});
