// Erasing recipients: of what existed for a user when it was asked, nothing remains but that the IDs were used. The user's
// own rows lead to everything else, so the cost follows those rows and not the backlog. I/O through store and devices.
import type { Clock } from "../base/clock.ts";
import type { CallContext } from "../base/context.ts";
import { mapBounded } from "../base/deadline.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import type { Installations } from "../devices/installations.ts";
import { type Day, type NotificationId, toCreatedAt } from "../domain/id.ts";
import { isLeased, isSend } from "../outbox/outbox.ts";
import type { EraseWork, SendWork } from "../store/outboxWork.ts";
import type { Store } from "../store/store.ts";
import { type HeldSend, readLive, rollBack, toSendChange } from "./delivery.ts";

export interface ErasingOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly installations: Pick<Installations, "removeAll">;
}

/** True when it is finished. False: somebody else is working on one of the rows, and it has to be repeated. */
export type Erase = (task: EraseWork, context: CallContext) => Promise<boolean>;

const PAGE_ROWS = 100;
const MAX_PARALLEL_ROWS = 8;
const MAX_PARALLEL_DAYS = 8;
const MAX_PARALLEL_RECIPIENTS = 4;

export function createErase(options: ErasingOptions): Erase {
  return async ({ recipientKeys, before }, context) => {
    const { store, installations } = options;
    const days = [...(await store.listDays(context.signal)).tables];
    // Payloads before devices: a hub that cannot be reached is no reason to keep them.
    const results = await mapBounded(recipientKeys, MAX_PARALLEL_RECIPIENTS, (recipientKey) =>
      eraseNotifications(options, { recipientKey, days, before }, context),
    );
    for (const recipientKey of recipientKeys) await installations.removeAll(recipientKey, before, context);
    const notifications = results.reduce((sum, { erased }) => sum + erased, 0);
    const isDone = results.every((result) => result.isDone);
    context.log.info("recipients_erased", { recipients: recipientKeys.length, notifications, isDone });
    return isDone;
  };
}

interface ErasureOfOne {
  readonly recipientKey: RecipientKey;
  readonly days: readonly Day[];
  readonly before: Date;
}

interface Erased {
  readonly erased: number;
  readonly isDone: boolean;
}

async function eraseNotifications(
  options: ErasingOptions,
  { recipientKey, days, before }: ErasureOfOne,
  context: CallContext,
): Promise<Erased> {
  const results = await mapBounded(days, MAX_PARALLEL_DAYS, async (day) => {
    let erased = 0;
    let isDone = true;
    let after: NotificationId | undefined;
    for (;;) {
      const page = await options.store.listMarks({ recipientKey, day, after }, PAGE_ROWS, context.signal);
      const earlier = page.filter(({ value }) => value.gone !== "erased" && toCreatedAt(value.id) < before);
      const done = await mapBounded(earlier, MAX_PARALLEL_ROWS, ({ value }) =>
        eraseNotification(options, recipientKey, value.id, context),
      );
      erased += done.filter(Boolean).length;
      isDone &&= !done.includes(false);
      after = page.at(-1)?.value.id;
      if (page.length < PAGE_ROWS) return { erased, isDone };
    }
  });
  return {
    erased: results.reduce((sum, { erased }) => sum + erased, 0),
    isDone: results.every((result) => result.isDone),
  };
}

/** Takes the recipient out of a notification's outbox row and dead letter, and then erases its row; false: not yet. */
async function eraseNotification(
  options: ErasingOptions,
  recipientKey: RecipientKey,
  id: NotificationId,
  context: CallContext,
): Promise<boolean> {
  const { store } = options;
  const { signal } = context;
  // The outbox first: what it still writes or pushes for the recipient would come after the erasure.
  if (!(await eraseFromOutbox(options, recipientKey, id, context))) return false;
  const letter = await store.readDeadLetter(id, signal);
  if (letter?.value.work.kind === "send" && letter.value.work.failed.includes(recipientKey)) {
    const failed = letter.value.work.failed.filter((other) => other !== recipientKey);
    const work = { ...letter.value.work, failed };
    const isWritten =
      failed.length === 0
        ? await store.deleteDeadLetter(id, letter.etag, signal)
        : await store.writeDeadLetter(id, { ...letter.value, work }, letter.etag, signal);
    if (!isWritten) return false;
  }
  await store.eraseNotification(recipientKey, id, signal);
  return true;
}

async function eraseFromOutbox(
  options: ErasingOptions,
  recipientKey: RecipientKey,
  id: NotificationId,
  context: CallContext,
): Promise<boolean> {
  const { store, clock } = options;
  const { signal } = context;
  const found = await store.readOutbox(id, signal);
  const row = found?.value;
  if (found === undefined || row === undefined || !isSend(row)) return true;
  if (isLeased(row, clock.now())) return false;
  const { pending, failed } = row.work;
  const held: HeldSend = { id, etag: found.etag, row };
  // What is not whole was promised to nobody: it is rolled back, and the recipient's part is kept out for good, because a
  // try with the same key would write it again.
  if (!row.work.isWritten && !(await readLive(options, { id, pending }, context)).isWhole)
    return rollBack(options, held, signal);
  const work: SendWork = {
    ...row.work,
    isWritten: true,
    pending: pending.filter((one) => one.recipientKey !== recipientKey),
    failed: failed.filter((other) => other !== recipientKey),
  };
  const change = await toSendChange(options, held, { next: { ...row, work }, reason: "refused" }, signal);
  return (await store.writeOutbox(change, signal)) !== undefined;
}
