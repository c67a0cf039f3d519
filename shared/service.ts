// The use cases. It sees only the seams: storage, keys, the hub, the clock.
import type { CallContext } from "./base/context.ts";
import type { AlertText } from "./config/config.ts";
import { createDelivery } from "./sending/delivery.ts";
import { createErase } from "./sending/erasing.ts";
import { createInbox, type Inbox } from "./inbox/inbox.ts";
import {
  createInstallations,
  type Installations,
  type InstallationsOptions,
} from "./devices/installations.ts";
import { toCause } from "./base/log.ts";
import type { UserId } from "./domain/notification.ts";
import { createRedeliver, type RedeliveryOptions, type Redeliver } from "./sending/redelivery.ts";
import { createGetReceipts, type GetReceipts } from "./inbox/receipts.ts";
import { createSend, type Send } from "./sending/sending.ts";
import { createTasks } from "./outbox/tasks.ts";

export interface Service extends Inbox, Pick<Installations, "register" | "remove"> {
  readonly send: Send;
  readonly redeliver: Redeliver;
  readonly getReceipts: GetReceipts;
  /** Takes note that nothing of these users is to be left; the outbox sees to it. */
  readonly eraseRecipients: (userIds: readonly UserId[], context: CallContext) => Promise<void>;
  /** Whether the service can do its work now. The answer is up to ten seconds old. */
  readonly isHealthy: (context: CallContext) => Promise<boolean>;
}

export interface ServiceOptions extends InstallationsOptions, Pick<RedeliveryOptions, "sleep"> {
  readonly alertText: AlertText;
}

const HEALTH_KEPT_MS = 10_000;
const RECIPIENTS_OF_A_TASK = 10;

export function createService(options: ServiceOptions): Service {
  const { store, keyring, clock } = options;
  const installations = createInstallations(options);
  const tasks = createTasks(options);
  const delivery = createDelivery({ ...options, installations });
  let health: { readonly atMs: number; readonly isHealthy: Promise<boolean> } | undefined;

  return {
    ...createInbox(options),
    register: installations.register,
    remove: installations.remove,
    send: createSend({ ...options, delivery }),
    redeliver: createRedeliver({
      ...options,
      delivery,
      installations,
      erase: createErase({ ...options, installations, delivery }),
    }),
    getReceipts: createGetReceipts(options),
    eraseRecipients: async (userIds, { log, signal }) => {
      const purposes = await keyring.purposes(signal);
      const recipientKeys = [...new Set(userIds)].map((userId) => purposes.toRecipientKey(userId));
      const before = clock.now();
      // Few to a task, so that each comes to its end in the time of one.
      for (let i = 0; i < recipientKeys.length; i += RECIPIENTS_OF_A_TASK)
        await tasks.add(
          { kind: "erase", recipientKeys: recipientKeys.slice(i, i + RECIPIENTS_OF_A_TASK), before },
          signal,
        );
      log.info("erasure_accepted", { recipients: recipientKeys.length });
    },

    isHealthy: ({ log, signal }) => {
      const nowMs = clock.uncorrectedMs();
      if (health === undefined || nowMs - health.atMs >= HEALTH_KEPT_MS || nowMs < health.atMs) {
        const check = async () => {
          await store.ping(signal);
          await keyring.purposes(signal); // in memory but for once an hour
        };
        const isHealthy = check().then(
          () => true,
          (error: unknown) => {
            log.error("unhealthy", { cause: toCause(error) });
            return false;
          },
        );
        health = { atMs: nowMs, isHealthy };
      }
      return health.isHealthy;
    },
  };
}
