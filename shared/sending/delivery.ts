// One try at the pushes of a notification, and what its outbox row becomes afterwards: the same for sendSecure, which makes
// the first try, and for redeliverPushes, which makes the others. I/O through store, senders and devices.
import type { Clock } from "../base/clock.ts";
import type { CallContext } from "../base/context.ts";
import { mapBounded } from "../base/deadline.ts";
import { toCause } from "../base/log.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import type { Device } from "../devices/devices.ts";
import type { Installations } from "../devices/installations.ts";
import type { NotificationId } from "../domain/id.ts";
import { type PushStatus, toPushStatus } from "../domain/notification.ts";
import { isLeased, toBackOffMs, toDue, toFreeRow, toLeasedRow } from "../outbox/outbox.ts";
import type { DeadLetterReason, OutboxRow, PendingRecipient, SendWork } from "../store/outboxWork.ts";
import { reportOutcome } from "../push/outcome.ts";
import { CUT_OFF, type PushMessage, type PushOutcome } from "../push/sender.ts";
import type { Senders } from "../push/senders.ts";
import { RowDamagedError } from "../store/rows.ts";
import { type OutboxChange, type Store, StoreUnavailableError } from "../store/store.ts";
import {
  type PushCall,
  type PushResult,
  type Recipient,
  toCalls,
  toCurrentTargets,
  toPending,
  toRecipientStatus,
  toTargets,
} from "./fanOut.ts";
import { type Gates, toDestination } from "./gates.ts";

export interface DeliveryOptions {
  readonly store: Store;
  readonly senders: Senders;
  readonly clock: Clock;
  readonly installations: Pick<Installations, "listDevices" | "forget">;
}

/** An outbox row of a send that this process has leased, as it is in the store. */
export interface HeldSend {
  readonly id: NotificationId;
  readonly etag: string;
  readonly row: OutboxRow<SendWork>;
}

/** The pushes to try now. */
export interface Try {
  readonly recipients: readonly Recipient[];
  readonly message: PushMessage;
  /** Tries before this one. */
  readonly attempts: number;
  readonly gates: Gates;
}

/** What is pending after a try for each recipient (with nothing pending too), and the outcome of each call. */
export interface Tried {
  readonly pending: readonly PendingRecipient[];
  readonly outcomes: readonly PushOutcome[];
}

/** The result of a try, and the change to the outbox row that records it. Marks and dead letters are written already. */
export interface Conclusion {
  readonly status: PushStatus;
  readonly change: OutboxChange;
}

const MAX_PARALLEL_READS = 16;
const MAX_PARALLEL_MARKS = 16;
const MAX_PARALLEL_PUSHES = 8;

/** The recipients of a send with their devices, and the targets that reach them. */
export function listRecipients(
  { installations, senders, clock }: DeliveryOptions,
  { pending, sentAt }: { readonly pending: readonly PendingRecipient[]; readonly sentAt: Date },
  context: CallContext,
): Promise<readonly Recipient[]> {
  return mapBounded(pending, MAX_PARALLEL_READS, async (one) => {
    const listing = await installations.listDevices(one.recipientKey, context);
    const targets =
      one.targets === undefined
        ? toTargets(listing, senders, clock.now())
        : toCurrentTargets(one.targets, listing, sentAt);
    return { ...one, listing, targets };
  });
}

/**
 * Recipients whose payload still exists: nothing is pushed to the others. Whole: each row was written and not rolled
 * back, even if its payload has been deleted since.
 */
export async function readLive<T extends PendingRecipient>(
  { store }: Pick<DeliveryOptions, "store">,
  { id, pending }: { readonly id: NotificationId; readonly pending: readonly T[] },
  { log, signal }: CallContext,
): Promise<{ readonly live: readonly T[]; readonly isWhole: boolean }> {
  const states = await mapBounded(pending, MAX_PARALLEL_READS, async ({ recipientKey }) => {
    try {
      const found = (await store.readMarks(recipientKey, id, signal))?.value;
      if (found === undefined || found.gone === "rolledBack") return "missing";
      return found.gone === undefined ? "live" : "gone";
    } catch (error) {
      if (!(error instanceof RowDamagedError)) throw error;
      log.error("row_damaged", { table: "notifications" });
      return "gone"; // it was written, and opens for nobody
    }
  });
  return { live: pending.filter((_one, i) => states[i] === "live"), isWhole: !states.includes("missing") };
}

/** Rolls back every recipient's row, and then the outbox row. False where somebody else has taken the outbox row. */
export async function rollBack(
  { store, clock }: Pick<DeliveryOptions, "store" | "clock">,
  { id, etag, row }: HeldSend,
  signal: AbortSignal,
): Promise<boolean> {
  // Lease it again, for long enough: whoever takes the row over after that has promised the notification.
  const leased = toLeasedRow(row, clock);
  const renewed = await store.writeOutbox({ key: id, before: { etag, value: row }, after: leased }, signal);
  if (renewed === undefined) return false;
  await mapBounded(row.work.pending, MAX_PARALLEL_MARKS, async ({ recipientKey }) => {
    if (!isLeased(leased, clock.now())) throw new StoreUnavailableError("the lease is over");
    await store.rollBackNotification(recipientKey, id, signal);
  });
  const before = { etag: renewed, value: leased };
  return (await store.writeOutbox({ key: id, before }, signal)) !== undefined;
}

/** Makes the pushes that are due, and says what is pending afterwards. What `signal` cuts off stays pending. */
export async function tryPushes(
  options: DeliveryOptions,
  attempt: Try,
  context: CallContext,
): Promise<Tried> {
  const { senders, clock, store, installations } = options;
  const { recipients, message, attempts, gates } = attempt;
  const { log, signal } = context;
  const now = clock.now();
  const calls = toCalls(recipients, senders, now);
  const results = await mapBounded(calls, MAX_PARALLEL_PUSHES, (call) => push(call, attempt, context));
  for (const { outcome, platform } of results) reportOutcome(log.with({ platform }), outcome, "pushed");
  for (const [name, until] of gates.takePauses())
    await store.pause(name, until, signal).catch((error: unknown) => {
      log.warn("pause_not_written", { cause: toCause(error) }); // the next pass learns it from the sender
    });
  for (const device of toGone(results))
    await installations.forget(device, context).catch((error: unknown) => {
      log.warn("device_not_forgotten", { cause: toCause(error) }); // the next push finds it gone again
    });
  // Never after the expiry, when the receipt says that it has failed.
  const latestMs = message.expiresAt.getTime();
  const toDueAt = (outcome: PushOutcome) =>
    new Date(Math.min(clock.now().getTime() + toBackOffMs(attempts, [outcome]), latestMs));
  return {
    pending: recipients.map((recipient) => toPending(recipient, results, toDueAt)),
    outcomes: results.map(({ outcome }) => outcome),
  };
}

async function push(
  { sender, platform, recipients, device }: PushCall,
  { message, gates }: Try,
  context: CallContext,
): Promise<PushResult> {
  const result = { senderName: sender.name, platform, recipients, ...(device && { device }) };
  // One device's damaged row is not the other recipients' trouble, nor is what the sender cannot make sense of.
  try {
    const channel = device?.openChannel();
    if (device !== undefined && channel === undefined) return { ...result, outcome: { kind: "damaged" } };
    const destination = toDestination(sender, channel && sender.toDestination?.(channel));
    const retryAfterSeconds = gates.closedForSeconds(destination);
    if (retryAfterSeconds !== undefined)
      return { ...result, outcome: { kind: "throttled", retryAfterSeconds } };
    if (!sender.isServing()) return { ...result, outcome: { kind: "transient", cause: "sender stopped" } };
    const outcome =
      device === undefined || channel === undefined
        ? await pushToGroup(sender, platform, recipients, { message, context })
        : await sender.push({ ...device, channel }, message, context);
    gates.note(destination, device?.channelKey ?? recipients.join(), outcome);
    return { ...result, outcome };
  } catch (error) {
    const outcome: PushOutcome = context.signal.aborted
      ? { kind: "transient", cause: CUT_OFF }
      : { kind: "damaged", cause: toCause(error) };
    return { ...result, outcome };
  }
}

function pushToGroup(
  { groups }: PushCall["sender"],
  platform: PushCall["platform"],
  recipients: readonly RecipientKey[],
  { message, context }: { readonly message: PushMessage; readonly context: CallContext },
): Promise<PushOutcome> {
  if (groups === undefined) throw new Error("a sender without groups was asked for a group push");
  return groups.push(platform, recipients, message, context);
}

function toGone(results: readonly PushResult[]): readonly Device[] {
  return results
    .filter(({ outcome }) => outcome.kind === "gone")
    .map(({ device }) => device)
    .filter((device) => device !== undefined);
}

/**
 * Records the result of a try: marks, and a dead letter where something failed for good and nothing is pending. The
 * change that the caller then writes deletes the outbox row, or has it come up when the first pending push is due.
 */
export async function conclude(
  options: DeliveryOptions,
  held: HeldSend,
  { pending: tried }: Tried,
  context: CallContext,
): Promise<Conclusion> {
  const { clock } = options;
  const { row } = held;
  const pending = tried.filter((one) => toRecipientStatus(one) === "pending");
  const ended = tried.filter((one) => toRecipientStatus(one) !== "pending");
  await mark(options, held.id, ended, context.signal);
  const newlyFailed = toFailed(ended);
  const failed = [...row.work.failed, ...newlyFailed];
  const attempts = row.attempts + 1;
  if (newlyFailed.length > 0)
    context.log.error("push_given_up", { reason: "refused", attempts, recipients: newlyFailed.length });
  const work: SendWork = { ...row.work, isWritten: true, pending, failed };
  const change = await toSendChange(
    options,
    held,
    { next: { ...row, attempts, work }, reason: "refused" },
    context.signal,
  );
  const earlier: readonly PushStatus[] = row.work.failed.length > 0 ? ["failed"] : [];
  const status = toPushStatus([...tried.map(toRecipientStatus), ...earlier]);
  if (status === "pending") {
    const due = Object.values(toDue(work, clock.now()));
    const dueAt = new Date(Math.min(...due.map((at) => at.getTime())));
    context.log.warn("push_postponed", { attempts, dueAt: dueAt.toISOString() });
  }
  return { status, change };
}

/** Gives up what is still pending when the notification expires: it has failed. Answers the change to the outbox row. */
export async function giveUp(
  options: DeliveryOptions,
  held: HeldSend,
  { log, signal }: CallContext,
): Promise<OutboxChange> {
  const { pending, failed } = held.row.work;
  const ended = pending.map((one) => ({ ...one, targets: [], hasFailed: true }));
  // A mark needs a payload row, which may be gone with its day. The dead letter says the same.
  await mark(options, held.id, ended, signal).catch((error: unknown) => {
    log.warn("push_not_marked", { cause: toCause(error) });
  });
  const work: SendWork = { ...held.row.work, pending: [], failed: [...failed, ...toFailed(ended)] };
  const reason = "expired";
  const change = await toSendChange(options, held, { next: { ...held.row, work }, reason }, signal);
  log.error("push_given_up", { reason, attempts: held.row.attempts, recipients: ended.length });
  return change;
}

/** Before the outbox row goes, because that row is what says `pending` until then. */
async function mark(
  { store }: DeliveryOptions,
  id: NotificationId,
  ended: readonly PendingRecipient[],
  signal: AbortSignal,
): Promise<void> {
  await mapBounded(ended, MAX_PARALLEL_MARKS, async (one) => {
    const status = toRecipientStatus(one);
    if (status === "failed" || status === "noDevices")
      await store.markPush(one.recipientKey, id, status, signal);
  });
}

/** What a send's row becomes with this work: deleted, after a dead letter, or looked at again when it is due. */
export async function toSendChange(
  { store, clock }: Pick<DeliveryOptions, "store" | "clock">,
  { id, etag, row }: HeldSend,
  { next, reason }: { readonly next: OutboxRow<SendWork>; readonly reason: DeadLetterReason },
  signal: AbortSignal,
): Promise<OutboxChange> {
  const before = { etag, value: row };
  const { work } = next;
  if (work.pending.length > 0) {
    const due = toDue(work, clock.now());
    return { key: id, before, after: { ...toFreeRow(next), due } };
  }
  if (work.failed.length > 0) {
    const { createdAt, attempts } = next;
    await store.putDeadLetter(id, { reason, createdAt, attempts, work }, clock.now(), signal);
  }
  return { key: id, before };
}

function toFailed(ended: readonly PendingRecipient[]): readonly RecipientKey[] {
  return ended.filter((one) => toRecipientStatus(one) === "failed").map(({ recipientKey }) => recipientKey);
}
