// sendSecure: stores a payload for every recipient and pushes its ID. What cannot be pushed now is left to the outbox (P3),
// and a call that is repeated with its key is one notification (P4). I/O through store, keyring and senders.
import type { CallContext } from "../base/context.ts";
import { withGrace } from "../base/deadline.ts";
import { toCause } from "../base/log.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Secret } from "../base/secret.ts";
import type { Limits } from "../config/config.ts";
import { MAX_WRITTEN_BYTES } from "../domain/limits.ts";
import type { SendRequest } from "../domain/notification.ts";
import type { Failure } from "../problem.ts";
import { StoreUnavailableError } from "../store/store.ts";
import { rollBack } from "./delivery.ts";
import { createClaims } from "./idempotency.ts";
import {
  type SendingOptions,
  type Sent,
  type Sending,
  toDraft,
  insertOutboxRow,
  listDevices,
  removeOutboxRow,
  writePayloads,
  pushAndConclude,
  ROLL_BACK_GRACE_MS,
} from "./sendSteps.ts";
import { sendKeyed } from "./keyedSending.ts";

interface SendCommand {
  readonly request: SendRequest;
  /** JSON text. */
  readonly payload: Secret<string>;
  /** Whose key it is: two senders may use the same text (R83). */
  readonly idempotency?: { readonly sender: Secret<string>; readonly key: string };
}

/**
 * Stores the payload for every recipient and pushes its ID. A success means that every payload is stored and that the
 * pushes are made, or will be. After a failure the notification may or may not exist: what was written is rolled back, or
 * completed by a later call with the same key.
 */
export type Send = (command: SendCommand, context: CallContext) => Promise<Result<Sent, Failure>>;

export function createSend(options: SendingOptions): Send {
  const claimKey = createClaims(options);
  return async (command, context) => {
    const { keyring, limits, clock } = options;
    const { request, payload, idempotency } = command;
    const startedMs = clock.uncorrectedMs();
    const userIds = [...new Set(request.to)]; // duplicates count once
    const failure = checkLimits(limits, request, Buffer.byteLength(payload.reveal(), "utf8"), userIds.length);
    if (failure !== undefined) return err(failure);
    if (idempotency === undefined && limits.requireIdempotencyKey)
      return err({ reason: "idempotency_key_missing" });
    const purposes = await keyring.purposes(context.signal);
    const sending: Sending = {
      draft: toDraft(options, request),
      recipientKeys: userIds.map((userId) => purposes.toRecipientKey(userId)),
      display: request.display ?? options.alertText.defaultDisplay,
      request,
      payload,
      purposes,
      startedMs,
    };
    const sent = await (idempotency === undefined
      ? sendOnce(options, sending, context)
      : sendKeyed(options, claimKey, { sending, userIds, ...idempotency }, context));
    if (sent.ok)
      context.log.info("sent", {
        notificationId: sent.value.id,
        recipients: userIds.length,
        push: sent.value.push,
      });
    return sent;
  };
}

function checkLimits(
  { userIdPattern, maxPayloadBytes }: Limits,
  request: SendRequest,
  payloadBytes: number,
  recipients: number,
): Failure | undefined {
  if (userIdPattern !== undefined && !request.to.every((userId) => userIdPattern.test(userId)))
    return { reason: "body_invalid", detail: "to: a user id is not of the form used here" };
  const most = Math.min(maxPayloadBytes, Math.floor(MAX_WRITTEN_BYTES / recipients));
  if (payloadBytes <= most) return undefined;
  const people = recipients === 1 ? "one recipient" : `${recipients} recipients`;
  return { reason: "payload_too_large", detail: `payload: must be at most ${most} bytes for ${people}` };
}

/** A send without a key: nobody can continue it, so a failure rolls it back. */
async function sendOnce(
  options: SendingOptions,
  sending: Sending,
  context: CallContext,
): Promise<Result<Sent, Failure>> {
  const recipients = listDevices(options, sending, context);
  const held = await insertOutboxRow(options, sending, context.signal).catch(async (error: unknown) => {
    await removeOutboxRow(options, sending, context); // it may have been written all the same
    throw error;
  });
  // Written, its answer lost, and taken by somebody else since.
  if (held === undefined) throw new StoreUnavailableError("the outbox row is somebody else's");
  try {
    await writePayloads(options, sending, { held, how: "new" }, context.signal);
  } catch (error) {
    const signal = withGrace(context.signal, ROLL_BACK_GRACE_MS);
    await rollBack(options, held, signal).catch((reason: unknown) => {
      context.log.warn("roll_back_failed", { cause: toCause(reason) }); // redelivery completes it
    });
    throw error;
  }
  const push = await pushAndConclude(options, sending, { held, recipients }, context);
  return ok({ ...sending.draft, push });
}
