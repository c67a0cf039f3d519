// Erasing a recipient: of what stood for a user when it was asked, nothing is left but that its IDs were used. The outbox
// comes to its end, whatever fails meanwhile. I/O through what is handed in.
import type { CallContext } from "../base/context.ts";
import type { Clock } from "../base/clock.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import { mapBounded } from "../base/deadline.ts";
import type { Delivery } from "./delivery.ts";
import { type Day, toCreatedAt, type NotificationId } from "../domain/id.ts";
import type { Installations } from "../devices/installations.ts";
import type { EraseWork, ListedOutboxRow, SendWork, Store, Work } from "../store/store.ts";

export interface ErasingOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly installations: Pick<Installations, "removeAll">;
  readonly delivery: Pick<Delivery, "readLive" | "takeBack">;
}

/** Answers whether it came to its end; where not, somebody else is at work on a row of theirs, and it is to be repeated. */
export type Erase = (task: EraseWork, context: CallContext) => Promise<boolean>;

const PAGE_ROWS = 100;
const MAX_PARALLEL_WRITES = 8;
const MAX_PARALLEL_DAYS = 8;
const MAX_PARALLEL_RECIPIENTS = 4;

export function createErase({ store, clock, installations, delivery }: ErasingOptions): Erase {
  async function eraseNotifications(
    recipientKey: RecipientKey,
    days: ReadonlySet<Day>,
    before: Date,
    signal: AbortSignal,
  ): Promise<number> {
    const counts = await mapBounded([...days], MAX_PARALLEL_DAYS, async (day) => {
      let erased = 0;
      let after: NotificationId | undefined;
      for (;;) {
        const page = await store.listMarks(recipientKey, day, after, PAGE_ROWS, signal);
        const earlier = page.filter(({ value }) => value.gone !== "erased" && toCreatedAt(value.id) < before);
        for (const { value } of earlier) await store.eraseNotification(recipientKey, value.id, signal);
        erased += earlier.length;
        after = page.at(-1)?.value.id;
        if (page.length < PAGE_ROWS) return erased;
      }
    });
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Takes recipients out of a row of pushes; false where it is somebody's at the moment. */
  async function eraseFromRow(
    { key, etag, value }: ListedOutboxRow,
    gone: ReadonlySet<RecipientKey>,
    { log, signal }: CallContext,
  ): Promise<boolean> {
    if (value?.work.kind !== "send") return true;
    if (value.leaseUntil !== undefined && value.leaseUntil > clock.now()) return false;
    const { owed, failed } = value.work;
    // What is not there whole was promised to nobody: it is taken back, and theirs kept out for good, since a try with
    // the same key would write it.
    const id = key as NotificationId;
    if (!value.work.isWritten && !(await delivery.readLive(id, owed, { log, signal })).isWhole) {
      const isTakenBack = await delivery.takeBack({ id, etag, row: { ...value, work: value.work } }, signal);
      for (const { recipientKey } of owed.filter((one) => gone.has(one.recipientKey)))
        await store.eraseNotification(recipientKey, id, signal);
      return isTakenBack;
    }
    const work: SendWork = {
      ...value.work,
      isWritten: true,
      owed: owed.filter((one) => !gone.has(one.recipientKey)),
      failed: failed.filter((recipientKey) => !gone.has(recipientKey)),
    };
    if (work.owed.length + work.failed.length === 0)
      return (await store.deleteOutbox(key, etag, signal)) === "written";
    return (await store.putOutbox(key, { ...value, work }, etag, signal)) !== undefined;
  }

  return async ({ recipientKeys, before }, { log, signal }) => {
    const gone = new Set(recipientKeys);
    // The outbox first: what it still writes or pushes of theirs would come after us.
    const rows = (await store.listOutbox(signal)).filter(
      ({ value }) => value !== undefined && value.createdAt < before && mentions(value.work, gone),
    );
    const taken = await mapBounded(rows, MAX_PARALLEL_WRITES, (row) =>
      eraseFromRow(row, gone, { log, signal }),
    );
    // Payloads before devices: a hub that is away is no reason to keep them.
    const days = (await store.listDays(signal)).tables;
    const counts = await mapBounded(recipientKeys, MAX_PARALLEL_RECIPIENTS, (recipientKey) =>
      eraseNotifications(recipientKey, days, before, signal),
    );
    for (const recipientKey of recipientKeys)
      await installations.removeAll(recipientKey, before, { log, signal });
    const erased = counts.reduce((sum, count) => sum + count, 0);
    const isDone = !taken.includes(false);
    log.info("recipients_erased", { recipients: recipientKeys.length, notifications: erased, isDone });
    return isDone;
  };
}

function mentions(work: Work, gone: ReadonlySet<RecipientKey>): boolean {
  if (work.kind !== "send") return false;
  return [...work.failed, ...work.owed.map((one) => one.recipientKey)].some((one) => gone.has(one));
}
