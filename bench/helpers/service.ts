// The service in this process, over a given store and hub, with a clock that a waiting pass moves: a pass is measured
// without its waiting.
import type { Log } from "../../shared/base/log.ts";
import { type Clock, createClock } from "../../shared/base/clock.ts";
import { Secret } from "../../shared/base/secret.ts";
import { createLocalKeyWrapper } from "../../shared/crypto/kek.ts";
import { createKeyring } from "../../shared/crypto/keyring.ts";
import type { Sender } from "../../shared/push/sender.ts";
import { createSenders } from "../../shared/push/senders.ts";
import { createService, type Service } from "../../shared/service.ts";
import type { Store } from "../../shared/store/store.ts";
import type { Sleep } from "../../shared/sending/redelivery.ts";

export const ALERT_TEXT = { defaultDisplay: "alert", title: { text: "t" }, body: { text: "b" } } as const;

export interface MovedClock {
  readonly clock: Clock;
  /** Returns at once, and moves the clock ahead. */
  readonly sleep: Sleep;
}

export function createMovedClock(log: Log): MovedClock {
  let aheadMs = 0;
  return {
    clock: createClock(log, () => Date.now() + aheadMs),
    sleep: (ms) => {
      aheadMs += ms;
      return Promise.resolve();
    },
  };
}

export function createBenchService(store: Store, hub: Sender, { clock, sleep }: MovedClock): Service {
  const wrapper = createLocalKeyWrapper([new Secret<Uint8Array>(Buffer.alloc(32, 1))]);
  return createService({
    store,
    keyring: createKeyring({ rows: store, wrapper, clock }),
    senders: createSenders([hub]),
    clock,
    alertText: ALERT_TEXT,
    sleep,
    limits: {
      defaultTtlSeconds: 86_400,
      maxPayloadBytes: 10_000,
      maxInstallations: 50,
      installationTtlDays: 90,
      requireIdempotencyKey: false,
    },
  });
}
