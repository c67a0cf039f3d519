// sendSecure with an Idempotency-Key: where the key is new everything is begun at once; where it is not, an earlier call's
// answer is repeated or its work is finished (P4). I/O through store, keyring and senders.
import type { CallContext } from "../base/context.ts";
import { both } from "../base/deadline.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Secret } from "../base/secret.ts";
import { toDay, toExpiryDay } from "../domain/id.ts";
import { toPushStatus, type UserId } from "../domain/notification.ts";
import { isLeased, isSend, toLeasedRow } from "../outbox/outbox.ts";
import type { Failure } from "../problem.ts";
import { type HeldSend, readLive } from "./delivery.ts";
import { type Claimed, type ClaimKeyFor, toInProgress } from "./idempotency.ts";
import { readStatuses } from "./status.ts";
import {
  type SendingOptions,
  type Sent,
  type Sending,
  toDraft,
  insertOutboxRow,
  toPending,
  listDevices,
  type Listed,
  removeOutboxRow,
  freeOutboxRow,
  writePayloads,
  pushAndConclude,
} from "./sendSteps.ts";

export interface KeyedSending {
  readonly sending: Sending;
  readonly userIds: readonly UserId[];
  readonly sender: Secret<string>;
  readonly key: string;
}

/** Begins, repeats or finishes the notification that a key stands for. */
export async function sendKeyed(
  options: SendingOptions,
  claimKey: ClaimKeyFor,
  { sending, userIds, sender, key }: KeyedSending,
  context: CallContext,
): Promise<Result<Sent, Failure>> {
  const { purposes, draft } = sending;
  const claiming = claimKey(
    {
      key: purposes.toClaimKey(sender.reveal(), key),
      fingerprint: purposes.toFingerprint(toCanonicalText(options, userIds, sending)),
      draft,
    },
    context.signal,
  );
  const recipients = listDevices(options, sending, context);
  const inserting = insertOutboxRow(options, sending, context.signal);
  const [claimed, held] = await both(claiming, inserting).catch(async (error: unknown) => {
    await removeOutboxRow(options, sending, context);
    throw error;
  });
  if (claimed.ok && claimed.value.isNew)
    return finishKeyed(options, sending, { held, recipients, how: "new" }, context);
  // The outbox row was written for a new key. Its ID was promised to nobody.
  await removeOutboxRow(options, sending, context);
  if (!claimed.ok) return claimed;
  return resume(options, { ...sending, draft: claimed.value.draft }, claimed.value, context);
}

/** What makes two requests the same: what they parse to, and the payload's source text. */
function toCanonicalText(
  { limits }: SendingOptions,
  userIds: readonly UserId[],
  { request, display, payload }: Sending,
): string {
  const { ttl = limits.defaultTtlSeconds, urgency, topic = "" } = request;
  return `${JSON.stringify([userIds.toSorted(), ttl, urgency, topic, display])}\0${payload.reveal()}`;
}

/** A call with a key that was used before: repeats its answer, or continues what an earlier try left unfinished. */
async function resume(
  options: SendingOptions,
  sending: Sending,
  claimed: Claimed,
  context: CallContext,
): Promise<Result<Sent, Failure>> {
  const { store, clock } = options;
  const { draft } = sending;
  const { signal } = context;
  const now = clock.now();
  const found = await store.readOutbox(draft.id, signal);
  if (found !== undefined) {
    const row = found.value;
    if (row === undefined || !isSend(row)) throw new Error("an outbox row cannot be read");
    if (isLeased(row, now)) return err(toInProgress(now, row.leaseUntil));
    if (row.work.isWritten) return repeatAnswer(options, sending, context);
    const leased = toLeasedRow(row, clock);
    const etag = await store.writeOutbox(
      { key: draft.id, before: { etag: found.etag, value: row }, after: leased },
      signal,
    );
    if (etag === undefined) return err(toInProgress(now, leased.leaseUntil));
    const recipients = listDevices(options, sending, context);
    const held = { id: draft.id, etag, row: leased };
    return finishKeyed(options, sending, { held, recipients, how: "again" }, context);
  }
  // The outbox row is written before the payload rows and deleted last: without it they are whole, or not promised.
  const pending = toPending(sending);
  const isOver = draft.expiresAt <= now && toExpiryDay(draft.id) < toDay(now);
  if (isOver) return ok({ ...draft, push: "failed" }); // its rows are dropped, and with them what became of it
  const { isWhole } = await readLive(options, { id: draft.id, pending }, context);
  return isWhole ? repeatAnswer(options, sending, context) : beginAgain(options, sending, claimed, context);
}

/** Begins a notification whose earlier tries left nothing, under a new ID where it has expired meanwhile. */
async function beginAgain(
  options: SendingOptions,
  sending: Sending,
  claimed: Claimed,
  context: CallContext,
): Promise<Result<Sent, Failure>> {
  const { clock } = options;
  const now = clock.now();
  const busy = () => err(toInProgress(now));
  let { draft } = sending;
  if (draft.expiresAt <= now) {
    draft = toDraft(options, sending.request);
    if (!(await claimed.replace(draft, context.signal))) return busy();
  }
  const current = { ...sending, draft };
  const recipients = listDevices(options, current, context);
  const held = await insertOutboxRow(options, current, context.signal);
  if (held === undefined) return busy();
  return finishKeyed(options, current, { held, recipients, how: "again" }, context);
}

/** What a notification's earlier, finished try has come to. */
async function repeatAnswer(
  options: SendingOptions,
  { draft, recipientKeys }: Sending,
  { log, signal }: CallContext,
): Promise<Result<Sent, Failure>> {
  const statuses = await readStatuses(options, draft.id, recipientKeys, signal);
  // Nothing is known of a recipient who was erased since.
  const push = toPushStatus(statuses.map((one) => (one.push === "unknown" ? "noDevices" : one.push)));
  log.info("sent_before", { notificationId: draft.id, push });
  return ok({ ...draft, push });
}

interface Begun {
  /** Missing where another call with the same key was faster. */
  readonly held: HeldSend | undefined;
  readonly recipients: Listed;
  readonly how: "new" | "again";
}

/** Writes the payloads and pushes. A failure leaves the rows to the key's next try, and then to redelivery. */
async function finishKeyed(
  options: SendingOptions,
  sending: Sending,
  { held, recipients, how }: Begun,
  context: CallContext,
): Promise<Result<Sent, Failure>> {
  const now = options.clock.now();
  if (held === undefined) return err(toInProgress(now));
  try {
    await writePayloads(options, sending, { held, how }, context.signal);
  } catch (error) {
    await freeOutboxRow(options, held, context);
    throw error;
  }
  const push = await pushAndConclude(
    options,
    sending,
    { held, recipients, isResumed: how === "again" },
    context,
  );
  return ok({ ...sending.draft, push });
}
