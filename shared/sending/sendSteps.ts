// The steps of a send, the same with and without an Idempotency-Key. I/O through store, keyring and senders.
import type { CallContext } from "../base/context.ts";
import { createDeadline, mapBounded, withDeadline, withGrace } from "../base/deadline.ts";
import { toCause } from "../base/log.ts";
import type { Secret } from "../base/secret.ts";
import type { AlertText, Limits } from "../config/config.ts";
import type { Keyring, PurposeKeys, RecipientKey } from "../crypto/keyring.ts";
import { sealPayload } from "../crypto/payload.ts";
import { createNotificationId, toExpiryDay } from "../domain/id.ts";
import type { Display, PushStatus, SendRequest } from "../domain/notification.ts";
import { isLeased, LEASE_MS, toDue, toFreeRow, toNewRow } from "../outbox/outbox.ts";
import type { PendingRecipient, SendWork } from "../store/outboxWork.ts";
import type { PushMessage } from "../push/sender.ts";
import { StoreUnavailableError } from "../store/store.ts";
import {
  conclude,
  type DeliveryOptions,
  type HeldSend,
  listRecipients,
  readLive,
  tryPushes,
} from "./delivery.ts";
import type { Recipient } from "./fanOut.ts";
import { createGates } from "./gates.ts";
import type { Draft } from "./idempotency.ts";

export interface SendingOptions extends DeliveryOptions {
  readonly keyring: Keyring;
  readonly limits: Limits;
  readonly alertText: AlertText;
}

export interface Sent extends Draft {
  readonly push: PushStatus;
}

/** What a call is about, the same for each try with one key. */
export interface Sending {
  readonly draft: Draft;
  readonly recipientKeys: readonly RecipientKey[];
  readonly display: Display;
  readonly request: SendRequest;
  readonly payload: Secret<string>;
  readonly purposes: PurposeKeys;
  /** When the call began, by the uncorrected clock. */
  readonly startedMs: number;
}

const MAX_PARALLEL_WRITES = 16;
export const ROLL_BACK_GRACE_MS = 1_000;
/** From the call's beginning. What is not pushed by then is left to the outbox, so that the answer is in time. */
const PUSHED_BY_MS = 6_000;
/** One try at all pushes of a call (R115). */
const PUSH_TIMEOUT_MS = 5_000;

export function toDraft({ clock, limits }: SendingOptions, { ttl }: SendRequest): Draft {
  const createdAt = clock.now();
  const expiresAt = new Date(createdAt.getTime() + (ttl ?? limits.defaultTtlSeconds) * 1000);
  return { id: createNotificationId(createdAt, expiresAt), createdAt, expiresAt };
}

/** Inserts the outbox row before any payload row, so that a crash never leaves a payload without a record of it (R92). */
export async function insertOutboxRow(
  { store, clock }: SendingOptions,
  sending: Sending,
  signal: AbortSignal,
): Promise<HeldSend | undefined> {
  const { draft, request, display } = sending;
  const work: SendWork = {
    kind: "send",
    expiresAt: draft.expiresAt,
    urgency: request.urgency,
    display,
    isWritten: false,
    pending: toPending(sending),
    failed: [],
  };
  const row = toNewRow(work, "unsent", clock, draft.createdAt);
  const etag = await store.writeOutbox({ key: draft.id, after: row }, signal);
  return etag === undefined ? undefined : { id: draft.id, etag, row };
}

export function toPending({ recipientKeys }: Sending): readonly PendingRecipient[] {
  return recipientKeys.map((recipientKey) => ({ recipientKey, isAccepted: false, hasFailed: false }));
}

/** Devices are listed while rows are written. Nothing where that fails: redelivery lists them. */
export type Listed = Promise<readonly Recipient[] | undefined>;

export function listDevices(options: SendingOptions, sending: Sending, context: CallContext): Listed {
  const send = { pending: toPending(sending), sentAt: sending.draft.createdAt };
  return listRecipients(options, send, context).catch((error: unknown) => {
    context.log.warn("devices_not_listed", { cause: toCause(error) });
    return undefined;
  });
}

/** Deletes the outbox row of a send that wrote nothing else. If this fails, redelivery does it. */
export async function removeOutboxRow(
  { store }: SendingOptions,
  { draft }: Sending,
  { log, signal: callSignal }: CallContext,
): Promise<void> {
  const signal = withGrace(callSignal, ROLL_BACK_GRACE_MS);
  try {
    const found = await store.readOutbox(draft.id, signal);
    if (found?.value !== undefined)
      await store.writeOutbox({ key: draft.id, before: { etag: found.etag, value: found.value } }, signal);
  } catch (error) {
    log.warn("roll_back_failed", { notificationId: draft.id, cause: toCause(error) });
  }
}

/** Ends the lease, so that the key's next try may go on at once; redelivery waits for it a while. */
export async function freeOutboxRow(
  { store, clock }: SendingOptions,
  { id, etag, row }: HeldSend,
  { log, signal: callSignal }: CallContext,
): Promise<void> {
  const signal = withGrace(callSignal, ROLL_BACK_GRACE_MS);
  try {
    const due = toDue(row.work, new Date(clock.now().getTime() + LEASE_MS));
    const after = { ...toFreeRow(row), due };
    await store.writeOutbox({ key: id, before: { etag, value: row }, after }, signal);
  } catch (error) {
    log.warn("lease_not_ended", { cause: toCause(error) });
  }
}

/** @throws StoreUnavailableError where the lease has ended: somebody else may have found rows missing. */
export async function writePayloads(
  { store, keyring, clock }: SendingOptions,
  { draft, recipientKeys, display, request, payload }: Sending,
  { held, how }: { readonly held: HeldSend; readonly how: "new" | "again" },
  signal: AbortSignal,
): Promise<void> {
  const { id, createdAt, expiresAt } = draft;
  const dayKey = await keyring.makeDayKey(toExpiryDay(id), signal);
  const { urgency } = request;
  await mapBounded(recipientKeys, MAX_PARALLEL_WRITES, (recipientKey) => {
    const sealed = sealPayload(dayKey, { recipientKey, id, expiresAt }, payload);
    const row = { recipientKey, id, sealed, createdAt, expiresAt, urgency, display };
    return store.insertNotification(row, how, signal);
  });
  if (!isLeased(held.row, clock.now())) throw new StoreUnavailableError("the rows were written too late");
}

/** From here on the notification is promised: whatever fails is left to the outbox. */
export async function pushAndConclude(
  options: SendingOptions,
  sending: Sending,
  {
    held,
    recipients,
    isResumed = false,
  }: {
    readonly held: HeldSend;
    readonly recipients: Listed;
    readonly isResumed?: boolean;
  },
  context: CallContext,
): Promise<PushStatus> {
  const { clock, store } = options;
  const leftMs = Math.min(PUSH_TIMEOUT_MS, sending.startedMs + PUSHED_BY_MS - clock.uncorrectedMs());
  if (leftMs <= 0) return "pending";
  const { id } = held;
  const deadline = createDeadline(leftMs, context.signal);
  const log = context.log.with({ notificationId: id });
  try {
    const until = { log, signal: deadline.signal };
    const listed = await withDeadline(recipients, deadline.signal);
    if (listed === undefined) return "pending";
    // The payload of an earlier try may have been deleted meanwhile.
    const pending = isResumed ? (await readLive(options, { id, pending: listed }, context)).live : listed;
    const attempt = {
      recipients: pending,
      message: toPushMessage(sending),
      attempts: 0,
      gates: createGates(clock),
    };
    const tried = await tryPushes(options, attempt, until);
    const { status, change } = await conclude(options, held, tried, { log, signal: context.signal });
    await store.writeOutbox(change, context.signal);
    return status;
  } catch (error) {
    log.warn("push_left_to_outbox", { cause: toCause(error) });
    return "pending";
  } finally {
    deadline.clear();
  }
}

function toPushMessage({ draft, request, display, purposes }: Sending): PushMessage {
  const { topic, urgency } = request;
  return {
    notificationId: draft.id,
    expiresAt: draft.expiresAt,
    urgency,
    display,
    ...(topic === undefined ? {} : { wireTopic: purposes.toWireTopic(topic) }),
  };
}
