// Builds the app from the settings: chooses the implementation of every interface. It registers no functions, so that
// tests can run the same parts in their own process.
import type { TokenCredential } from "@azure/identity";
import { createTokenVerifier } from "../shared/auth/token.ts";
import type { Clock } from "../shared/base/clock.ts";
import type { Config } from "../shared/config/config.ts";
import { createKeyring } from "../shared/crypto/keyring.ts";
import { createLocalKeyWrapper, type KeyWrapper } from "../shared/crypto/kek.ts";
import { createKeyVaultWrapper } from "../shared/crypto/keyVault.ts";
import type { Log } from "../shared/base/log.ts";
import { createHubSender } from "../shared/push/hub.ts";
import { createMpnsSender, type MpnsSender } from "../shared/push/mpns.ts";
import { createWebPushSender, type WebPushSender } from "../shared/push/webPush.ts";
import type { Sender } from "../shared/push/sender.ts";
import { createSenders } from "../shared/push/senders.ts";
import type { Sleep } from "../shared/sending/redelivery.ts";
import { createDropExpired } from "../shared/retention/retention.ts";
import { createService } from "../shared/service.ts";
import { createTables } from "../shared/store/table.ts";
import { createTableStore } from "../shared/store/tableStore.ts";
import { dropExpired } from "./dropExpired.ts";
import type { PushConfig } from "./getPushConfig.ts";
import type { HandlerOptions, Route } from "./http/handler.ts";
import { redeliverPushes } from "./redeliverPushes.ts";
import { createRoutes } from "./routes.ts";
import type { Timer } from "./timer.ts";

export interface App extends HandlerOptions {
  readonly routes: readonly Route[];
  readonly timers: readonly Timer[];
}

export interface AppOptions {
  readonly config: Config;
  readonly clock: Clock;
  /** Takes what happens outside any call. */
  readonly log: Log;
  /** How a timer waits. */
  readonly sleep: Sleep;
  /** Come before the hub, in place of the senders that the settings configure. */
  readonly senders?: readonly Sender[];
}

export function createApp(options: AppOptions): App {
  const { config, clock, log, sleep } = options;
  const { storage, hub, tokens, senders, limits, alertText, allowLoopback } = config;
  const credential = createManagedIdentity();
  const { webPush, mpns } = options.senders === undefined ? createConfiguredSenders(options) : {};
  const store = createTableStore(createTables({ storage, credential, clock, allowLoopback }));
  const keyring = createKeyring({ rows: store, wrapper: createWrapper(config, credential), clock });
  const hubSender = createHubSender({
    connectionString: hub.connectionString,
    hubName: hub.name,
    alertText,
    allowLoopback,
    clock,
  });
  const configured = [webPush, mpns].filter((sender) => sender !== undefined);
  const pushSenders = createSenders([...(options.senders ?? configured), hubSender]);
  const service = createService({
    store,
    keyring,
    senders: pushSenders,
    clock,
    limits,
    alertText,
    sleep,
  });
  return {
    routes: createRoutes(service, config, toPushConfig(webPush), pushSenders.platforms),
    timers: [
      redeliverPushes(config.schedules.redeliverPushes, service.redeliver),
      dropExpired(config.schedules.dropExpired, {
        dropExpired: createDropExpired({ store, keyring, clock }),
        checkCertificates: (to) => mpns?.checkDaily(to),
        sweepDevices: service.sweepDevices,
      }),
    ],
    tokens: createTokenVerifier({
      ...tokens,
      senderRole: senders.role,
      ...(senders.clientIds === undefined ? {} : { senderClientIds: senders.clientIds }),
      allowLoopback,
      log,
      // Tokens are not compared with stored times: the store's clock has no say in who gets in.
      now: () => new Date(clock.uncorrectedMs()),
    }),
    senderAuth: senders.auth,
  };
}

interface ConfiguredSenders {
  readonly webPush?: WebPushSender;
  readonly mpns?: MpnsSender;
}

function createConfiguredSenders({ config, clock, log }: AppOptions): ConfiguredSenders {
  const { webPush, mpns, extraAuthorities } = config;
  const common = { ...(extraAuthorities && { extraAuthorities }), clock, log };
  return {
    ...(webPush && { webPush: createWebPushSender({ config: webPush, ...common }) }),
    ...(mpns && { mpns: createMpnsSender({ config: mpns, ...common }) }),
  };
}

function toPushConfig(webPush: WebPushSender | undefined): PushConfig {
  const vapidPublicKey = webPush?.vapidPublicKey;
  return vapidPublicKey === undefined ? {} : { vapidPublicKey };
}

function createWrapper({ kek, allowLoopback }: Config, credential: TokenCredential): KeyWrapper {
  if ("vaultKey" in kek) return createKeyVaultWrapper({ key: kek.vaultKey, credential, allowLoopback });
  return createLocalKeyWrapper(kek.localKeks);
}

/** Loaded only when a token is asked for: with a connection string it costs nothing. */
function createManagedIdentity(): TokenCredential {
  let credential: Promise<TokenCredential> | undefined;
  return {
    getToken: async (scopes, options) => {
      credential ??= import("../shared/base/managedIdentity.ts").then(
        ({ DefaultAzureCredential }) => new DefaultAzureCredential(),
      );
      return (await credential).getToken(scopes, options);
    },
  };
}
