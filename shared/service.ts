// The use cases. They know storage, keys, senders and the clock by their interfaces alone.
import type { CallContext } from "./base/context.ts";
import type { AlertText } from "./config/config.ts";
import { createErase } from "./sending/erasing.ts";
import { createInbox, type Inbox } from "./inbox/inbox.ts";
import {
  createInstallations,
  type Installations,
  type InstallationsOptions,
} from "./devices/installations.ts";
import { mapBounded } from "./base/deadline.ts";
import { toCause } from "./base/log.ts";
import type { UserId } from "./domain/notification.ts";
import { createRedeliver, type RedeliveryOptions, type Redeliver } from "./sending/redelivery.ts";
import { createGetReceipts, type GetReceipts } from "./inbox/receipts.ts";
import { createSend, type Send } from "./sending/sending.ts";
import type { Senders } from "./push/senders.ts";
import { createTasks, type Tasks } from "./outbox/tasks.ts";

export interface Service extends Inbox, Pick<Installations, "register" | "remove"> {
  readonly send: Send;
  readonly redeliver: Redeliver;
  readonly getReceipts: GetReceipts;
  /** Accepts that nothing of these users is to be left; the outbox sees to it within minutes. */
  readonly eraseRecipients: (userIds: readonly UserId[], context: CallContext) => Promise<void>;
  /** One part of the regular clean-up of registrations. */
  readonly sweepDevices: Installations["sweep"];
  /** Whether the service can do its work now. The answer is up to ten seconds old. */
  readonly isHealthy: (context: CallContext) => Promise<boolean>;
}

export interface ServiceOptions
  extends Omit<InstallationsOptions, "tasks">, Pick<RedeliveryOptions, "sleep"> {
  readonly alertText: AlertText;
  readonly senders: Senders;
}

const HEALTH_KEPT_MS = 10_000;
const RECIPIENTS_OF_A_TASK = 10;
const MAX_PARALLEL_RECORDS = 8;

export function createService(options: ServiceOptions): Service {
  const { store, keyring, clock } = options;
  const tasks = createTasks(options);
  const installations = createInstallations({ ...options, tasks });
  const sending = { ...options, installations };
  let health: { readonly atMs: number; readonly isHealthy: Promise<boolean> } | undefined;

  return {
    ...createInbox(options),
    register: installations.register,
    remove: installations.remove,
    send: createSend(sending),
    redeliver: createRedeliver({ ...sending, erase: createErase(sending) }),
    getReceipts: createGetReceipts(options),
    eraseRecipients: (userIds, context) => eraseRecipients({ ...sending, tasks }, userIds, context),
    sweepDevices: installations.sweep,
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

interface ErasingRequestOptions extends Pick<ServiceOptions, "keyring" | "clock"> {
  readonly tasks: Tasks;
  readonly installations: Pick<Installations, "recordErasure">;
}

async function eraseRecipients(
  { keyring, clock, tasks, installations }: ErasingRequestOptions,
  userIds: readonly UserId[],
  context: CallContext,
): Promise<void> {
  const { log, signal } = context;
  const purposes = await keyring.purposes(signal);
  const recipientKeys = [...new Set(userIds)].map((userId) => purposes.toRecipientKey(userId));
  const before = clock.now();
  await mapBounded(recipientKeys, MAX_PARALLEL_RECORDS, (recipientKey) =>
    installations.recordErasure(recipientKey, context),
  );
  // Few recipients in one task, so that each finishes within the time of one row.
  for (let i = 0; i < recipientKeys.length; i += RECIPIENTS_OF_A_TASK) {
    const some = recipientKeys.slice(i, i + RECIPIENTS_OF_A_TASK);
    await tasks.add({ kind: "erase", recipientKeys: some, before, isSecondPass: false }, signal);
  }
  log.info("erasure_accepted", { recipients: recipientKeys.length });
}
