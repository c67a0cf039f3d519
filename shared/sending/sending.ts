// sendSecure: a payload is stored for every recipient and its ID pushed; what cannot be pushed now is left to the outbox
// (P3), and a call that is repeated with its key is one notification (P4). I/O through what is handed in.
import type { CallContext } from "../base/context.ts";
import type { Clock } from "../base/clock.ts";
import type { Limits, AlertText } from "../config/config.ts";
import type { Keyring, PurposeKeys, RecipientKey } from "../crypto/keyring.ts";
import { both, createDeadline, mapBounded, withGrace } from "../base/deadline.ts";
import type { Attempt, Delivery, HeldSend } from "./delivery.ts";
import type { Recipient } from "./fanOut.ts";
import { createNotificationId, toExpiryDay } from "../domain/id.ts";
import { createClaims, type Draft, type HeldClaim, toInProgress } from "./idempotency.ts";
import { type Log, toCause } from "../base/log.ts";
import {
  type Display,
  MAX_WRITTEN_BYTES,
  type PushStatus,
  type SendRequest,
  type UserId,
} from "../domain/notification.ts";
import { LEASE_MS, toLeasedRow, toRenewedRow } from "../outbox/outbox.ts";
import { sealPayload } from "../crypto/payload.ts";
import type { Failure } from "../problem.ts";
import type { PushMessage } from "../push/sender.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Secret } from "../base/secret.ts";
import { type SendWork, type Store, StoreUnavailableError } from "../store/store.ts";

interface SendCommand {
  readonly request: SendRequest;
  /** JSON text. */
  readonly payload: Secret<string>;
  /** Whose key it is: two senders may use the same text (R83). */
  readonly idempotency?: { readonly sender: Secret<string>; readonly key: string };
}

interface Sent extends Draft {
  readonly push: PushStatus;
}

/**
 * Stores the payload for every recipient and pushes its ID. An answer means that all of them are stored and that the
 * pushes are made, or will be; a failure promises nothing: what was written is taken back, or completed by a later try
 * with the same key.
 */
export type Send = (command: SendCommand, context: CallContext) => Promise<Result<Sent, Failure>>;

export interface SendingOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly alertText: AlertText;
  readonly delivery: Delivery;
}

/** What a call is about, the same for each try with one key. */
interface Sending {
  readonly draft: Draft;
  readonly recipients: readonly RecipientKey[];
  readonly display: Display;
  readonly request: SendRequest;
  readonly payload: Secret<string>;
}

const MAX_PARALLEL_WRITES = 16;
const TAKE_BACK_GRACE_MS = 1_000;
/** From the call's beginning; what is not pushed by then is left to the outbox, so that an answer is in time. */
const PUSHED_BY_MS = 6_000;
/** One try at all pushes of a call (R115). */
const PUSH_TIMEOUT_MS = 5_000;

export function createSend({ store, keyring, clock, limits, alertText, delivery }: SendingOptions): Send {
  const claimKey = createClaims({ store, clock });

  function fault(request: SendRequest, payloadBytes: number, recipients: number): Failure | undefined {
    const pattern = limits.userIdPattern;
    if (pattern !== undefined && !request.to.every((userId) => pattern.test(userId)))
      return { reason: "body_invalid", detail: "to: a user id is not of the form used here" };
    if (payloadBytes > limits.maxPayloadBytes) return { reason: "payload_too_large" };
    if (recipients * payloadBytes > MAX_WRITTEN_BYTES) return { reason: "payload_too_large" };
    return undefined;
  }

  function toDraft({ ttl }: SendRequest): Draft {
    const createdAt = clock.now();
    const expiresAt = new Date(createdAt.getTime() + (ttl ?? limits.defaultTtlSeconds) * 1000);
    return { id: createNotificationId(createdAt, expiresAt), createdAt, expiresAt };
  }

  /** What makes two requests the same: what they parse to, and the payload's source text. */
  function toCanonical(userIds: readonly UserId[], request: SendRequest, payload: Secret<string>): string {
    const {
      ttl = limits.defaultTtlSeconds,
      urgency,
      topic = "",
      display = alertText.defaultDisplay,
    } = request;
    return `${JSON.stringify([userIds.toSorted(), ttl, urgency, topic, display])}\0${payload.reveal()}`;
  }

  /** A row that nobody has written yet, or has taken back: before any payload row, so that none is without it (R92). */
  async function insert(sending: Sending, signal: AbortSignal): Promise<HeldSend | undefined> {
    const { draft, recipients, request, display } = sending;
    const work: SendWork = {
      kind: "send",
      expiresAt: draft.expiresAt,
      urgency: request.urgency,
      display,
      isWritten: false,
      owed: recipients.map((recipientKey) => ({ recipientKey, isAccepted: false, hasFailed: false })),
      failed: [],
    };
    const row = toLeasedRow(work, clock, draft.createdAt);
    const etag = await store.putOutbox(draft.id, row, undefined, signal);
    return etag === undefined ? undefined : { id: draft.id, etag, row };
  }

  /** What an earlier try with the same key has left: its outbox row, or what became of it. */
  async function resume(
    sending: Sending,
    signal: AbortSignal,
  ): Promise<Result<HeldSend | PushStatus, Failure>> {
    const { draft } = sending;
    const now = clock.now();
    const found = await store.readOutbox(draft.id, signal);
    // Never begun, taken back, or at its end: to push it again does no harm, and not to could lose it.
    if (found === undefined) {
      const held = await insert(sending, signal);
      return held === undefined ? err(toInProgress(new Date(now.getTime() + LEASE_MS), now)) : ok(held);
    }
    const row = found.value;
    if (row?.work.kind !== "send") throw new Error("an outbox row cannot be read");
    if (row.dueAt === undefined) {
      const status = row.work.failed.length > 0 ? "failed" : "accepted";
      return ok(status);
    }
    if (row.leaseUntil !== undefined && row.leaseUntil > now) return err(toInProgress(row.leaseUntil, now));
    const leased = toRenewedRow({ ...row, work: row.work }, clock);
    const etag = await store.putOutbox(draft.id, leased, found.etag, signal);
    if (etag === undefined) return err(toInProgress(leased.leaseUntil, now));
    return ok({ id: draft.id, etag, row: leased });
  }

  async function writeRows(
    { draft, ...sending }: Sending,
    how: "new" | "again",
    signal: AbortSignal,
  ): Promise<void> {
    const { id, createdAt, expiresAt } = draft;
    const dayKey = await keyring.makeDayKey(toExpiryDay(id), signal);
    await mapBounded(sending.recipients, MAX_PARALLEL_WRITES, (recipientKey) =>
      store.insertNotification(
        {
          recipientKey,
          id,
          sealed: sealPayload(dayKey, { recipientKey, id, expiresAt }, sending.payload),
          createdAt,
          expiresAt,
          urgency: sending.request.urgency,
          display: sending.display,
        },
        how,
        signal,
      ),
    );
  }

  /** What a failed call leaves behind nobody may fetch: its ID was not promised to anyone. */
  async function takeBack(
    { draft }: Sending,
    held: HeldSend | undefined,
    log: Log,
    callSignal: AbortSignal,
  ): Promise<void> {
    const signal = withGrace(callSignal, TAKE_BACK_GRACE_MS);
    try {
      if (held !== undefined) {
        await delivery.takeBack(held, signal);
        return;
      }
      // Its own writing failed, perhaps after it took effect; nothing else was begun.
      const found = await store.readOutbox(draft.id, signal);
      if (found !== undefined) await store.deleteOutbox(draft.id, found.etag, signal);
    } catch (error) {
      log.warn("take_back_failed", { cause: toCause(error) }); // redelivery completes it
    }
  }

  /** The key's next try may go on at once, and redelivery waits for it a while. */
  async function release(
    claim: HeldClaim,
    held: HeldSend | undefined,
    log: Log,
    callSignal: AbortSignal,
  ): Promise<void> {
    const signal = withGrace(callSignal, TAKE_BACK_GRACE_MS);
    try {
      if (held !== undefined) {
        const { leaseUntil: _, ...row } = held.row;
        const dueAt = new Date(clock.now().getTime() + LEASE_MS);
        await store.putOutbox(held.id, { ...row, dueAt }, held.etag, signal);
      }
    } catch (error) {
      log.warn("lease_not_ended", { cause: toCause(error) });
    }
    await claim.release({ log, signal });
  }

  /** From here on the notification is promised: whatever fails is left to the outbox. */
  async function push(
    sending: Sending,
    recipients: readonly Recipient[],
    held: HeldSend,
    claim: HeldClaim | undefined,
    purposes: PurposeKeys,
    startedMs: number,
    { log, signal }: CallContext,
  ): Promise<PushStatus> {
    const leftMs = Math.min(PUSH_TIMEOUT_MS, startedMs + PUSHED_BY_MS - clock.uncorrectedMs());
    if (leftMs <= 0) return "pending";
    const deadline = createDeadline(leftMs);
    try {
      const message = toPushMessage(sending, purposes);
      const until = AbortSignal.any([signal, deadline.signal]);
      // A payload of an earlier try may have been deleted meanwhile; one of this try, by nobody who does not know its ID.
      const live =
        claim?.isResumed === true
          ? (await delivery.readLive(held.id, recipients, { log, signal })).live
          : recipients;
      const attempt: Attempt = await delivery.attempt(live, message, { log, signal: until });
      return await delivery.conclude(held, attempt, { log, signal });
    } catch (error) {
      log.warn("push_left_to_outbox", { cause: toCause(error) });
      return "pending";
    } finally {
      deadline.clear();
    }
  }

  async function run(
    sending: Sending,
    claim: HeldClaim | undefined,
    purposes: PurposeKeys,
    startedMs: number,
    { log, signal }: CallContext,
  ): Promise<Result<Sent, Failure>> {
    const { draft } = sending;
    let held: HeldSend | undefined;
    let recipients: readonly Recipient[] | undefined;
    try {
      if (claim?.isResumed === true) {
        const resumed = await resume(sending, signal);
        if (!resumed.ok) {
          await claim.release({ log, signal });
          return resumed;
        }
        if (typeof resumed.value === "string") {
          await claim.answer(resumed.value, { log, signal });
          return ok({ ...draft, push: resumed.value });
        }
        held = resumed.value;
      } else held = await insert(sending, signal);
      // Written, and its answer lost, and taken by somebody else since.
      if (held === undefined) throw new StoreUnavailableError("the outbox row is somebody else's");
      const { work, leaseUntil } = held.row;
      const listed = delivery.listDevices(work.owed, { log, signal }).catch((error: unknown) => {
        log.warn("devices_not_listed", { cause: toCause(error) });
        return undefined; // redelivery lists them
      });
      [recipients] = await both(
        listed,
        writeRows(sending, claim?.isResumed === true ? "again" : "new", signal),
      );
      // Past its lease the row may be somebody else's, who found rows missing.
      if (leaseUntil === undefined || clock.now() >= leaseUntil)
        throw new StoreUnavailableError("the rows were written too late");
    } catch (error) {
      if (claim === undefined) await takeBack(sending, held, log, signal);
      else await release(claim, held, log, signal);
      throw error;
    }
    const status =
      recipients === undefined
        ? "pending"
        : await push(sending, recipients, held, claim, purposes, startedMs, { log, signal });
    await claim?.answer(status, { log, signal });
    return ok({ ...draft, push: status });
  }

  return async ({ request, payload, idempotency }, { log, signal }) => {
    const startedMs = clock.uncorrectedMs();
    const userIds = [...new Set(request.to)]; // duplicates count once
    const failure = fault(request, Buffer.byteLength(payload.reveal(), "utf8"), userIds.length);
    if (failure !== undefined) return err(failure);
    if (idempotency === undefined && limits.requireIdempotencyKey)
      return err({ reason: "idempotency_key_missing" });

    const purposes = await keyring.purposes(signal);
    const fresh = toDraft(request);
    let claim: HeldClaim | undefined;
    if (idempotency !== undefined) {
      const claimed = await claimKey(
        purposes.toClaimKey(idempotency.sender.reveal(), idempotency.key),
        purposes.toFingerprint(toCanonical(userIds, request, payload)),
        fresh,
        signal,
      );
      if (!claimed.ok) return claimed;
      if (claimed.value.kind === "answered") {
        const { draft, push: status } = claimed.value;
        log.info("sent_before", { notificationId: draft.id, push: status });
        return ok({ ...draft, push: status });
      }
      ({ claim } = claimed.value);
    }
    const sending: Sending = {
      draft: claim?.draft ?? fresh,
      recipients: userIds.map((userId) => purposes.toRecipientKey(userId)),
      display: request.display ?? alertText.defaultDisplay,
      request,
      payload,
    };
    const notificationLog = log.with({ notificationId: sending.draft.id });
    const sent = await run(sending, claim, purposes, startedMs, {
      log: notificationLog,
      signal,
    });
    if (sent.ok) notificationLog.info("sent", { recipients: userIds.length, push: sent.value.push });
    return sent;
  };
}

function toPushMessage({ draft, request, display }: Sending, purposes: PurposeKeys): PushMessage {
  const { topic, urgency } = request;
  return {
    notificationId: draft.id,
    expiresAt: draft.expiresAt,
    urgency,
    display,
    ...(topic === undefined ? {} : { wireTopic: purposes.toWireTopic(topic) }),
  };
}
