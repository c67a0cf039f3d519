// One try at the pushes of a notification, and what becomes of its outbox row afterwards: the same for sendSecure, which
// makes the first try, and for redeliverPushes, which makes the others. I/O through what is handed in.
import type { CallContext } from "../base/context.ts";
import type { Clock } from "../base/clock.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import { mapBounded } from "../base/deadline.ts";
import {
  isOpen,
  type PushResult,
  pushAll,
  type Recipient,
  toOwed,
  toPushes,
  toRecipientStatus,
  toTargets,
} from "./fanOut.ts";
import { DAY_MS, type NotificationId } from "../domain/id.ts";
import type { Device } from "../devices/devices.ts";
import type { Installations } from "../devices/installations.ts";
import { toCause } from "../base/log.ts";
import { type PushStatus, toPushStatus } from "../domain/notification.ts";
import { toBackOffMs, toRenewedRow } from "../outbox/outbox.ts";
import { reportOutcome } from "../push/outcome.ts";
import type { HubSender, PushMessage, PushOutcome } from "../push/sender.ts";
import {
  type DeadReason,
  type OutboxRow,
  type Owed,
  type SendWork,
  type Store,
  StoreUnavailableError,
} from "../store/store.ts";

export interface DeliveryOptions {
  readonly store: Store;
  readonly hub: HubSender;
  readonly clock: Clock;
  readonly installations: Installations;
}

/** An outbox row of pushes that is ours, as it stands in the store. */
export interface HeldSend {
  readonly id: NotificationId;
  readonly etag: string;
  readonly row: OutboxRow & { readonly work: SendWork };
}

/** What a try came to. */
export interface Attempt {
  readonly owed: readonly Owed[];
  readonly outcomes: readonly PushOutcome[];
}

export interface Delivery {
  readonly listDevices: (owed: readonly Owed[], context: CallContext) => Promise<readonly Recipient[]>;
  /**
   * Those whose payload is still there: to others nothing is owed. Whole: each row was written, and not taken back, also
   * where its payload has been deleted since.
   */
  readonly readLive: <T extends Owed>(
    id: NotificationId,
    owed: readonly T[],
    context: CallContext,
  ) => Promise<{ readonly live: readonly T[]; readonly isWhole: boolean }>;
  /** Takes back every recipient's row, and then the outbox row; false where that is somebody else's by now. */
  readonly takeBack: (held: HeldSend, signal: AbortSignal) => Promise<boolean>;
  /** Pushes what is owed; never throws but for a bug. What `signal` ends is still owed. */
  readonly attempt: (
    recipients: readonly Recipient[],
    message: PushMessage,
    context: CallContext,
  ) => Promise<Attempt>;
  /**
   * Records what a try came to: marks; then the row is deleted, kept as dead, or due again. Where somebody else has taken
   * it meanwhile, it is theirs.
   */
  readonly conclude: (held: HeldSend, attempt: Attempt, context: CallContext) => Promise<PushStatus>;
  /** Nothing more is tried: what is still owed has failed. */
  readonly giveUp: (held: HeldSend, reason: DeadReason, context: CallContext) => Promise<void>;
}

/** The hub's name in the row by which it is paused. */
export const HUB = "hub";

/** Dead rows are kept so long, for receipts and for whoever looks after it (R111). */
export const DEAD_KEPT_MS = 7 * DAY_MS;
const MAX_PARALLEL_READS = 16;
const MAX_PARALLEL_MARKS = 16;

export function createDelivery({ store, hub, clock, installations }: DeliveryOptions): Delivery {
  /** Before the row goes, since it is what says `pending` until then. */
  async function mark(id: NotificationId, closed: readonly Owed[], signal: AbortSignal): Promise<void> {
    await mapBounded(closed, MAX_PARALLEL_MARKS, async (owed) => {
      const status = toRecipientStatus(owed);
      if (status === "failed" || status === "noDevices")
        await store.markPush(owed.recipientKey, id, status, signal);
    });
  }

  async function write(
    { id, etag, row }: HeldSend,
    open: readonly Owed[],
    failed: readonly RecipientKey[],
    later: { readonly dueAt: Date } | { readonly reason: DeadReason },
    signal: AbortSignal,
  ): Promise<void> {
    const { leaseUntil: _, dueAt: __, ...kept } = row;
    const work: SendWork = { ...row.work, isWritten: true, owed: open, failed };
    if (open.length > 0 && "dueAt" in later)
      await store.putOutbox(id, { ...kept, work, attempts: row.attempts + 1, ...later }, etag, signal);
    else if (failed.length > 0) {
      const dropAfter = new Date(clock.now().getTime() + DEAD_KEPT_MS);
      const reason = "reason" in later ? later.reason : "refused";
      await store.putOutbox(id, { ...kept, work, dropAfter, reason }, etag, signal);
    } else await store.deleteOutbox(id, etag, signal);
  }

  return {
    listDevices: (owed, { log, signal }) =>
      mapBounded(owed, MAX_PARALLEL_READS, async (one) => {
        // A direct push needs the device's channel; a tag needs none.
        const needsDevices =
          one.targets === undefined || one.targets.some(({ installationId }) => installationId !== undefined);
        const devices = needsDevices
          ? await installations.listDevices(one.recipientKey, { log, signal })
          : [];
        return { ...one, devices, targets: one.targets ?? toTargets(devices, clock.now()) };
      }),

    readLive: async (id, owed, { log, signal }) => {
      const marks = await mapBounded(owed, MAX_PARALLEL_READS, async ({ recipientKey }) => {
        try {
          const found = (await store.readMarks(recipientKey, id, signal))?.value;
          if (found === undefined || found.gone === "takenBack") return "missing";
          return found.gone === undefined ? "live" : "gone";
        } catch (error) {
          if (!(error instanceof Error && "code" in error && error.code === "ROW_DAMAGED")) throw error;
          log.error("row_damaged", { table: "notifications" });
          return "gone"; // it was written, and opens for nobody
        }
      });
      return { live: owed.filter((_one, i) => marks[i] === "live"), isWhole: !marks.includes("missing") };
    },

    takeBack: async ({ id, etag, row }, signal) => {
      // Ours once more, and for long enough: whoever takes it over after that has promised it.
      const leased = toRenewedRow(row, clock);
      const renewed = await store.putOutbox(id, leased, etag, signal);
      if (renewed === undefined) return false;
      await mapBounded(row.work.owed, MAX_PARALLEL_MARKS, async ({ recipientKey }) => {
        if (clock.now() >= leased.leaseUntil) throw new StoreUnavailableError("the lease is over");
        await store.takeBackNotification(recipientKey, id, signal);
      });
      return (await store.deleteOutbox(id, renewed, signal)) === "written";
    },

    attempt: async (recipients, message, { log, signal }) => {
      const results = await pushAll(hub, toPushes(recipients), message, signal);
      for (const { outcome, platform } of results) reportOutcome(log.with({ platform }), outcome, "pushed");
      const longest = Math.max(
        0,
        ...results.map(({ outcome }) => (outcome.kind === "throttled" ? outcome.retryAfterSeconds : 0)),
      );
      if (longest > 0)
        await store
          .pause(HUB, new Date(clock.now().getTime() + longest * 1000), signal)
          .catch((error: unknown) => {
            log.warn("pause_not_written", { cause: toCause(error) }); // the next pass is told by the hub itself
          });
      for (const device of toGone(results)) await forget(device, { log, signal });
      return {
        owed: recipients.map((recipient) => toOwed(recipient, results)),
        outcomes: results.map(({ outcome }) => outcome),
      };
    },

    conclude: async (held, { owed, outcomes }, { log, signal }) => {
      const open = owed.filter((one) => toRecipientStatus(one) === "pending");
      const closed = owed.filter((one) => !open.includes(one));
      await mark(held.id, closed, signal);
      const newlyFailed = toFailed(closed);
      const failed = [...held.row.work.failed, ...newlyFailed];
      const backOffMs = toBackOffMs(held.row.attempts, outcomes.filter(isOpen));
      // Not behind its expiry, which is to be told in time.
      const dueAt = new Date(Math.min(clock.now().getTime() + backOffMs, held.row.work.expiresAt.getTime()));
      await write(held, open, failed, { dueAt }, signal);
      if (newlyFailed.length > 0)
        log.error("push_given_up", {
          reason: "refused",
          attempts: held.row.attempts + 1,
          recipients: newlyFailed.length,
        });
      const earlier: readonly PushStatus[] = held.row.work.failed.length > 0 ? ["failed"] : [];
      const status = toPushStatus([...owed.map(toRecipientStatus), ...earlier]);
      if (status === "pending")
        log.warn("push_postponed", { attempts: held.row.attempts + 1, dueAt: dueAt.toISOString() });
      return status;
    },

    giveUp: async (held, reason, { log, signal }) => {
      const { owed, failed } = held.row.work;
      const ended = owed.map((one) => ({ ...one, targets: [], hasFailed: true }));
      // A mark needs a row, and that may be gone with its day; the dead row says the same.
      await mark(held.id, ended, signal).catch((error: unknown) => {
        log.warn("push_not_marked", { cause: toCause(error) });
      });
      await write(held, [], [...failed, ...toFailed(ended)], { reason }, signal);
      log.error("push_given_up", { reason, attempts: held.row.attempts, recipients: ended.length });
    },
  };

  async function forget(device: Device, { log, signal }: CallContext): Promise<void> {
    await installations.forget(device, { log, signal }).catch((error: unknown) => {
      log.warn("device_not_forgotten", { cause: toCause(error) }); // the next push finds it gone again
    });
  }
}

function toGone(results: readonly PushResult[]): readonly Device[] {
  return results
    .filter(({ outcome }) => outcome.kind === "gone")
    .map(({ device }) => device)
    .filter((device) => device !== undefined);
}

function toFailed(closed: readonly Owed[]): readonly RecipientKey[] {
  return closed.filter((one) => toRecipientStatus(one) === "failed").map(({ recipientKey }) => recipientKey);
}
