// The work on one outbox row, by the queue that it came from. I/O through store, senders and devices.
import type { CallContext } from "../base/context.ts";
import { createDeadline } from "../base/deadline.ts";
import { DAY_MS, type NotificationId } from "../domain/id.ts";
import { isLeased, isSend, toFreeRow, toLaterRow } from "../outbox/outbox.ts";
import type { OutboxRow, QueueName } from "../store/outboxWork.ts";
import type { PushMessage, PushOutcome } from "../push/sender.ts";
import {
  conclude,
  giveUp,
  type HeldSend,
  listRecipients,
  readLive,
  rollBack,
  tryPushes,
} from "./delivery.ts";
import { type Gates, toDirectoryDestination } from "./gates.ts";
import type { HeldRow, RowResult } from "./queues.ts";
import type { RedeliveryOptions } from "./redelivery.ts";

export interface RowWorkOptions extends RedeliveryOptions {
  readonly gates: Gates;
}

/** A row that is leased, and the queue that found it. */
interface QueuedRow {
  readonly queue: QueueName;
  readonly held: HeldRow;
}

const ROW_TIMEOUT_MS = 20_000;
/** Of that, the pushes; the rest is for recording their results. */
const PUSHES_TIMEOUT_MS = 10_000;
/** Longer than the longest lease: what was being written when an erasure began is there by then. */
const SECOND_PASS_MS = 35_000;

export async function workOnRow(
  options: RowWorkOptions,
  { queue, held }: QueuedRow,
  { log, signal: passSignal }: CallContext,
): Promise<RowResult> {
  const deadline = createDeadline(ROW_TIMEOUT_MS, passSignal);
  const context = { log, signal: deadline.signal };
  try {
    const { key, etag, row } = held;
    if (isSend(row))
      return await workOnSend(options, queue, { id: key as NotificationId, etag, row }, context);
    return await workOnTask(options, held, context);
  } finally {
    deadline.clear();
  }
}

async function workOnSend(
  options: RowWorkOptions,
  queue: QueueName,
  held: HeldSend,
  context: CallContext,
): Promise<RowResult> {
  const { clock, gates } = options;
  const { isWritten, pending, expiresAt, urgency, display } = held.row.work;
  if (expiresAt <= clock.latest() || queue === "expire") {
    return { change: await giveUp(options, held, context), outcomes: [] };
  }
  const { live, isWhole } = await readLive(options, { id: held.id, pending }, context);
  if (!isWritten && !isWhole) {
    // Its maker failed half way and promised nothing.
    if (await rollBack(options, held, context.signal)) context.log.warn("rolled_back");
    return { outcomes: [] };
  }
  const recipients = await listRecipients(options, { pending: live, sentAt: held.row.createdAt }, context);
  // Without its topic, which is not stored: a late repetition must not replace what is newer.
  const message: PushMessage = { notificationId: held.id, expiresAt, urgency, display };
  if (!isLeased(held.row, clock.now())) return { outcomes: [] };
  const pushing = createDeadline(PUSHES_TIMEOUT_MS, context.signal);
  const tried = await tryPushes(
    options,
    { recipients, message, attempts: held.row.attempts, gates },
    { ...context, signal: pushing.signal },
  ).finally(pushing.clear);
  const { status, change } = await conclude(options, held, tried, context);
  context.log.info("redelivered", { push: status, attempts: held.row.attempts + 1 });
  return { change, outcomes: tried.outcomes };
}

async function workOnTask(options: RowWorkOptions, held: HeldRow, context: CallContext): Promise<RowResult> {
  const { clock, limits, store } = options;
  const { key, etag, row } = held;
  const before = { etag, value: row };
  const { outcome, after } = await doTask(options, row, context);
  const outcomes = outcome === undefined ? [] : [outcome];
  if (after === "done") return { change: { key, before }, outcomes };
  const isTooOld = clock.now().getTime() - row.createdAt.getTime() > limits.installationTtlDays * DAY_MS;
  if (isTooOld && after === "later") {
    // By now the sender's directory has dropped by itself what it was to remove.
    const { createdAt, attempts, work } = row;
    const letter = { reason: "abandoned", createdAt, attempts, work } as const;
    await store.putDeadLetter(key, letter, clock.now(), context.signal);
    context.log.error("task_given_up", { kind: work.kind, attempts });
    return { change: { key, before }, outcomes };
  }
  return { change: { key, before, after: after === "later" ? toLaterRow(row, clock) : after }, outcomes };
}

/** `done`, `later` (after a back-off), or the row of the task's next step. */
interface TaskResult {
  readonly after: "done" | "later" | OutboxRow;
  readonly outcome?: PushOutcome;
}

async function doTask(
  { installations, erase, clock, gates, senders }: RowWorkOptions,
  row: OutboxRow,
  context: CallContext,
): Promise<TaskResult> {
  const { work } = row;
  if (work.kind === "reconcile") {
    const result = await installations.reconcile(work, context);
    const outcome: PushOutcome =
      result === "done" ? { kind: "accepted" } : { kind: "transient", cause: "not reconciled" };
    const directory = toDirectoryDestination(senders);
    if (directory !== undefined) gates.note(directory, work.recipientKeys.join(), outcome);
    return { after: result, outcome };
  }
  if (work.kind !== "erase") throw new Error("not a task");
  const isDone = await erase(work, context);
  if (!isDone) return { after: "later" };
  if (work.isSecondPass) return { after: "done" };
  const dueAt = new Date(clock.now().getTime() + SECOND_PASS_MS);
  return { after: { ...toFreeRow(row), work: { ...work, isSecondPass: true }, due: { erase: dueAt } } };
}
