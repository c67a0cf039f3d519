// The app with senders that a test brings along: they come before the hub, in place of those of the settings.
import { type App, createApp } from "../../functions/app.ts";
import { redeliverPushes } from "../../functions/redeliverPushes.ts";
import { createRoutes } from "../../functions/routes.ts";
import type { Clock } from "../../shared/base/clock.ts";
import type { Log } from "../../shared/base/log.ts";
import type { Config } from "../../shared/config/config.ts";
import { createLocalKeyWrapper } from "../../shared/crypto/kek.ts";
import { createKeyring } from "../../shared/crypto/keyring.ts";
import { createHubSender } from "../../shared/push/hub.ts";
import type { Sender } from "../../shared/push/sender.ts";
import { createSenders } from "../../shared/push/senders.ts";
import type { Sleep } from "../../shared/sending/redelivery.ts";
import { createService } from "../../shared/service.ts";
import { createTables } from "../../shared/store/table.ts";
import { createTableStore } from "../../shared/store/tableStore.ts";

export interface SenderAppOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly sleep: Sleep;
  readonly senders: readonly Sender[];
}

/** Its only timer is redeliverPushes. */
export function createSenderApp({ config, clock, log, sleep, senders }: SenderAppOptions): App {
  const { storage, hub, kek, limits, alertText, allowLoopback, schedules } = config;
  if (!("localKeks" in kek)) throw new Error("tests of senders have a key of their own");
  const store = createTableStore(createTables({ storage, clock, allowLoopback }));
  const keyring = createKeyring({ rows: store, wrapper: createLocalKeyWrapper(kek.localKeks), clock });
  const { connectionString, name: hubName } = hub;
  const hubSender = createHubSender({ connectionString, hubName, alertText, allowLoopback, clock });
  const all = createSenders([...senders, hubSender]);
  const service = createService({ store, keyring, senders: all, clock, limits, alertText, sleep });
  return {
    ...createApp(config, clock, log, sleep),
    routes: createRoutes(service, config, {}, all.platforms),
    timers: [redeliverPushes(schedules.redeliverPushes, service.redeliver)],
  };
}
