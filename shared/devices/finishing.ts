// The end of a registration, after its rows are written: the sender's directory hears of it, former owners lose their rows,
// and a refusal undoes everything. I/O through store and senders.
import type { CallContext } from "../base/context.ts";
import { both } from "../base/deadline.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { HeldTask } from "../outbox/tasks.ts";
import type { Failure } from "../problem.ts";
import type { ChannelHolder, ChannelRow, DeviceChange, InstallationRow } from "../store/storedDevices.ts";
import { StoreUnavailableError, type Versioned } from "../store/store.ts";
import { toExpiresAt } from "./devices.ts";
import { releaseChannel } from "./holding.ts";
import type { InstallationsOptions } from "./installations.ts";
import { isPresent, putEntry, reconcile } from "./reconciling.ts";
import type { ReconcileWork } from "../store/reconcileWork.ts";
import type { Found, Registered, Wanted } from "./registering.ts";

/** A registration whose rows are written. */
export interface Written extends Found {
  readonly row: Versioned<InstallationRow>;
  /** Of the recipient's state row: an announced takeover changes it. */
  readonly stateEtag: string;
  readonly task: HeldTask;
  readonly work: ReconcileWork;
  /** Other partitions in which rows have to change. */
  readonly others: readonly ChannelHolder["recipientKey"][];
  readonly moved: boolean;
  readonly channel: Versioned<ChannelRow>;
  /** The channel's row before it was taken. */
  readonly before: ChannelRow | undefined;
}

export function toRegistered(
  { limits }: InstallationsOptions,
  row: InstallationRow,
  how: Pick<Registered, "isNew" | "isPending">,
): Registered {
  return { installationId: row.installationId, expiresAt: toExpiresAt(limits, row), ...how };
}

/** Brings a written registration to the directory, and everything else in line with it. */
export async function finish(
  options: InstallationsOptions,
  wanted: Wanted,
  written: Written,
  context: CallContext,
): Promise<Result<Registered, Failure> | undefined> {
  const { row, task, others, moved, rows } = written;
  // A process that was suspended has lost its lease: redelivery may have given the channel back.
  if (!task.isLeased()) throw new StoreUnavailableError("the lease is over");
  const outcome = await putEntry(options, row.value, context);
  if (outcome.kind === "refused") return refuse(options, wanted, written, context);
  const isNew = written.ownEtag === undefined;
  if (outcome.kind === "accepted") {
    const isPlain = others.length === 0 && !moved && rows.former.length === 0;
    const confirmed = await confirm(options, written, isPlain, context);
    if (confirmed === "changed") return undefined;
    // Somebody newer has the channel by now. This registration took effect before theirs.
    if (confirmed === "taken") return ok(toRegistered(options, row.value, { isNew, isPending: false }));
    if (isPlain) return ok(toRegistered(options, row.value, { isNew, isPending: false }));
  }
  const isAccepted = outcome.kind === "accepted";
  const rest = await finishOthers(options, wanted, { ...written, isAccepted }, context);
  const isDone = isAccepted && rest === "done";
  if (isDone) await task.done(context);
  else await task.leave(context);
  return ok(toRegistered(options, row.value, { isNew, isPending: !isDone }));
}

/**
 * Makes sure that the recipient still held the channel after the directory had heard of it, and records that the directory
 * has. A takeover announces itself in the recipient's partition first, so a partition that has not changed is proof
 * enough. `isLast`: nothing else is left to do, so the task ends at the same time.
 */
async function confirm(
  options: InstallationsOptions,
  { row, stateEtag, rows, task, work }: Written,
  isLast: boolean,
  context: CallContext,
): Promise<"confirmed" | "taken" | "changed"> {
  const { store, clock, tasks } = options;
  const { recipientKey } = row.value;
  const known = { ...row.value, reconciledAt: row.value.reconciledAt ?? clock.now() };
  const mark: DeviceChange = { kind: "putInstallation", row: known, etag: row.etag };
  const state: DeviceChange = { kind: "putState", row: rows.state?.value ?? {}, etag: stateEtag };
  const record = () => store.changeDevices(recipientKey, [mark, state], context.signal);
  const written = isLast ? (await both(record(), task.done(context)))[0] : await record();
  if (written !== undefined) return "confirmed";
  const isHeld = await isPresent(options, row.value, context.signal);
  // Perhaps only another installation of the recipient was added.
  if (isHeld && (await store.changeDevices(recipientKey, [mark], context.signal)) !== undefined)
    return "confirmed";
  if (isLast) await tasks.add(work, context.signal);
  else await task.leave(context);
  return isHeld ? "changed" : "taken";
}

/** Former owners lose their rows now; what the directory has to forget follows when it can be reached. */
async function finishOthers(
  options: InstallationsOptions,
  { holder, channelKey }: Wanted,
  { own, others, moved, isAccepted }: Written & { readonly isAccepted: boolean },
  context: CallContext,
): Promise<"done" | "later"> {
  const isReleased =
    !moved ||
    own === undefined ||
    (await releaseChannel(options, own.value.channelKey, holder, context.signal));
  const channelKeys = others.length > 0 ? [channelKey] : [];
  const recipientKeys = isAccepted ? others : [];
  const results = [await reconcile(options, { recipientKeys, channelKeys, puts: [] }, context)];
  if (isAccepted)
    results.push(
      await reconcile(options, { recipientKeys: [holder.recipientKey], channelKeys: [], puts: [] }, context),
    );
  return isReleased && !results.includes("later") ? "done" : "later";
}

/** The directory says that the push channel is invalid: everything becomes again as it was before. */
async function refuse(
  options: InstallationsOptions,
  { holder, channelKey }: Wanted,
  { row, own, rows, channel, before, task }: Written,
  context: CallContext,
): Promise<Result<Registered, Failure>> {
  const { store, clock } = options;
  const { signal } = context;
  const twins = rows.installations.flatMap(({ value }) =>
    value?.channelKey === channelKey && value.installationId !== holder.installationId ? [value] : [],
  );
  const changes: readonly DeviceChange[] = [
    own === undefined
      ? { kind: "deleteInstallation", installationId: holder.installationId, etag: row.etag }
      : { kind: "putInstallation", row: own.value, etag: row.etag },
    ...twins.map((twin) => ({ kind: "putInstallation", row: twin }) as const),
  ];
  // The channel first, as changed after the row that is undone: should that fail, redelivery does not take it again.
  const restored = { ...(before ?? { generation: channel.value.generation }), changedAt: clock.now() };
  const given = await store.writeChannel(channelKey, restored, channel.etag, signal);
  const undone = await store.changeDevices(holder.recipientKey, changes, signal);
  // Records of former channels that were made for this are void now.
  const recipientKeys = [
    holder.recipientKey,
    ...(before?.holder === undefined ? [] : [before.holder.recipientKey]),
  ];
  const rest = await reconcile(
    options,
    { recipientKeys: [...new Set(recipientKeys)], channelKeys: [], puts: [] },
    context,
  );
  if (undone !== undefined && given !== undefined && rest === "done") await task.done(context);
  else await task.leave(context);
  return err({ reason: "push_channel_refused" });
}
