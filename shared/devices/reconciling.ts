// Reconciling: brings a sender's directory, and the records of former channels, in line with the rows. Any number of
// workers may do it at once; each ends with what is true then. I/O through store and senders.
import type { CallContext } from "../base/context.ts";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { reportOutcome } from "../push/outcome.ts";
import type { DirectoryOutcome, Sender } from "../push/sender.ts";
import type {
  ChannelRow,
  DeviceChange,
  DeviceRows,
  FormerChannel,
  InstallationRow,
  Versioned,
} from "../store/store.ts";
import { isInForce, toExpiresAt } from "./devices.ts";
import {
  completeTakeover,
  isSameHolder,
  releaseChannel,
  takeChannel,
  toEntryId,
  toFormerChange,
} from "./holding.ts";
import type { InstallationsOptions } from "./installations.ts";
import { openChannel } from "./pushChannel.ts";
import type { ReconcileWork } from "./reconcileWork.ts";

/** `later`: the directory could not be reached, or rows changed meanwhile. */
export type Reconciled = "done" | "later";

/** Directory entries of one former channel that one call removes. */
const MAX_REMOVALS = 20;

export async function reconcile(
  options: InstallationsOptions,
  { recipientKeys, channelKeys }: Pick<ReconcileWork, "recipientKeys" | "channelKeys">,
  context: CallContext,
): Promise<Reconciled> {
  const { store, clock } = options;
  const { signal } = context;
  const results: Reconciled[] = [];
  for (const channelKey of channelKeys) {
    const channel = await store.readChannel(channelKey, signal);
    const holding = { store, now: clock.now };
    const isComplete =
      channel === undefined || (await completeTakeover(holding, channelKey, channel, signal));
    if (!isComplete) results.push("later");
  }
  for (const recipientKey of recipientKeys)
    results.push(await reconcilePartition(options, recipientKey, channelKeys, context));
  for (const channelKey of channelKeys)
    if (!(await releaseUnused(options, channelKey, recipientKeys, signal))) results.push("later");
  return results.includes("later") ? "later" : "done";
}

/** Releases a channel whose holder, one of these recipients, has no row for it. False: it has changed meanwhile. */
async function releaseUnused(
  { store, clock }: InstallationsOptions,
  channelKey: ChannelKey,
  recipientKeys: readonly RecipientKey[],
  signal: AbortSignal,
): Promise<boolean> {
  const holder = (await store.readChannel(channelKey, signal))?.value.holder;
  if (holder === undefined || !recipientKeys.includes(holder.recipientKey)) return true;
  if ((await store.readInstallation(holder, signal))?.value?.channelKey === channelKey) return true;
  return releaseChannel({ store, now: clock.now }, channelKey, holder, signal);
}

async function reconcilePartition(
  options: InstallationsOptions,
  recipientKey: RecipientKey,
  channelKeys: readonly ChannelKey[],
  context: CallContext,
): Promise<Reconciled> {
  const rows = await options.store.listDeviceRows(recipientKey, context.signal);
  const results: Reconciled[] = [];
  for (const { value, etag } of rows.installations)
    if (value !== undefined && channelKeys.includes(value.channelKey))
      results.push(await reconcileInstallation(options, { etag, value }, rows, context));
  for (const former of rows.former) {
    const value = await withoutPresent(options, former.value, rows, context.signal);
    const isVoid = value.from > value.to && value.removedAt === undefined;
    results.push(
      isVoid
        ? await forgetFormer(options, former, context.signal)
        : await removeEntries(options, { value, etag: former.etag }, context),
    );
  }
  return results.includes("later") ? "later" : "done";
}

/**
 * A record without the generation that its recipient holds at present: it was made for a takeover that did not happen, or
 * the recipient has the channel again.
 */
async function withoutPresent(
  { store }: InstallationsOptions,
  former: FormerChannel,
  { installations }: DeviceRows,
  signal: AbortSignal,
): Promise<FormerChannel> {
  const { channelKey, recipientKey, from, to, removedAt } = former;
  const row = installations.find(({ value }) => value?.channelKey === channelKey)?.value;
  if (removedAt !== undefined || row === undefined || row.generation < from || row.generation > to)
    return former;
  const channel = await store.readChannel(channelKey, signal);
  const isPresent =
    channel?.value.holder?.recipientKey === recipientKey && channel.value.generation === row.generation;
  return isPresent ? { ...former, to: row.generation - 1 } : former;
}

async function forgetFormer(
  { store }: InstallationsOptions,
  { value, etag }: Versioned<FormerChannel>,
  signal: AbortSignal,
): Promise<Reconciled> {
  const { recipientKey, channelKey } = value;
  return toResult(
    await store.changeDevices(recipientKey, [{ kind: "deleteFormer", channelKey, etag }], signal),
  );
}

/** Has the directory hold an installation whose user holds its channel; removes one whose user does not. */
async function reconcileInstallation(
  options: InstallationsOptions,
  row: Versioned<InstallationRow>,
  rows: DeviceRows,
  context: CallContext,
): Promise<Reconciled> {
  const { store, clock } = options;
  const { etag } = row;
  const channel = await store.readChannel(row.value.channelKey, context.signal);
  if (channel === undefined || !isSameHolder(channel.value.holder, row.value))
    return finishClaim(options, row, channel, context.signal);
  // The row was written before the channel was taken, perhaps under a generation that another had by then.
  const { generation } = channel.value;
  const value = { ...row.value, generation };
  const isKnown = value.reconciledAt !== undefined && row.value.generation === generation;
  const outcome = await putEntry(options, value, context);
  if (outcome.kind === "accepted") {
    if (isKnown) return "done";
    const known: DeviceChange = {
      kind: "putInstallation",
      row: { ...value, reconciledAt: clock.now() },
      etag,
    };
    return toResult(await store.changeDevices(value.recipientKey, [known], context.signal));
  }
  if (outcome.kind !== "refused") return "later";
  // Only a registration that the directory never took may end with its refusal.
  if (isKnown) return "done";
  context.log.warn("installation_refused", { platform: value.platform });
  const changes: readonly DeviceChange[] = [
    { kind: "deleteInstallation", installationId: value.installationId, etag },
    toFormerChange(value, rows.former, clock.now()),
  ];
  const isDeleted = (await store.changeDevices(value.recipientKey, changes, context.signal)) !== undefined;
  const holding = { store, now: clock.now };
  const isReleased = await releaseChannel(holding, value.channelKey, value, context.signal);
  return isDeleted && isReleased ? "done" : "later";
}

/**
 * A row whose channel names another holder, or nobody. Where it is newer than the channel's last change, its registration
 * stopped before it took the channel, and takes it now; otherwise somebody newer has the channel.
 */
async function finishClaim(
  { store, clock }: InstallationsOptions,
  { value, etag }: Versioned<InstallationRow>,
  channel: Versioned<ChannelRow> | undefined,
  signal: AbortSignal,
): Promise<Reconciled> {
  const { recipientKey, installationId, channelKey } = value;
  if (channel === undefined || channel.value.changedAt < value.renewedAt) {
    const wanted = { channelKey, holder: { recipientKey, installationId } };
    await takeChannel({ store, now: clock.now }, wanted, channel, signal);
    return "later"; // the next time finds it held, and goes on
  }
  const orphan: DeviceChange = { kind: "deleteInstallation", installationId, etag };
  return toResult(await store.changeDevices(recipientKey, [orphan], signal));
}

/** Puts an installation into its sender's directory. Without a directory there is nothing to do. */
export async function putEntry(
  { keyring, limits, senders }: InstallationsOptions,
  row: InstallationRow,
  context: CallContext,
): Promise<DirectoryOutcome> {
  const directory = senders.named(row.sender)?.directory;
  if (directory === undefined) return { kind: "accepted" };
  const channel = openChannel(await keyring.purposes(context.signal), row);
  if (channel === undefined) return { kind: "refused", status: 400 }; // an altered row opens for nobody
  const { recipientKey, platform, channelKey, generation } = row;
  const entryId = toEntryId(channelKey, generation);
  const entry = { entryId, recipientKey, platform, channel, expiresAt: toExpiresAt(limits, row) };
  const outcome = await directory.put(entry, context);
  reportOutcome(context.log, outcome, "directory_entry_put");
  return outcome;
}

/** Removes the entries of a former channel from the directory, and then, after a while, the record of it. */
async function removeEntries(
  options: InstallationsOptions,
  { value, etag }: Versioned<FormerChannel>,
  context: CallContext,
): Promise<Reconciled> {
  const { store, clock, senders } = options;
  const now = clock.now();
  const { recipientKey } = value;
  if (value.removedAt !== undefined && isInForce(value, senders, now)) return "done";
  const removed =
    value.removedAt === undefined ? await removeSome(senders.named(value.sender), value, context) : value;
  const isAll = removed.from > removed.to || value.removedAt !== undefined;
  const isStillNeeded = isAll && isInForce({ ...removed, removedAt: value.removedAt ?? now }, senders, now);
  if (isAll && !isStillNeeded) return forgetFormer(options, { value, etag }, context.signal);
  if (removed.from === value.from && !isAll) return "later";
  const row = isAll ? { ...value, removedAt: now } : removed;
  const written = await store.changeDevices(recipientKey, [{ kind: "putFormer", row, etag }], context.signal);
  return isAll ? toResult(written) : "later";
}

/** The record with the entries left out that are removed now; at most some of them. */
async function removeSome(
  sender: Sender | undefined,
  former: FormerChannel,
  context: CallContext,
): Promise<FormerChannel> {
  let { from } = former;
  if (sender?.directory === undefined) return { ...former, from: former.to + 1 };
  for (let removals = 0; from <= former.to && removals < MAX_REMOVALS; removals++) {
    const outcome = await sender.directory.remove(toEntryId(former.channelKey, from), context);
    reportOutcome(context.log, outcome, "directory_entry_removed");
    // An entry that could never be made cannot be there.
    if (outcome.kind !== "accepted" && outcome.kind !== "refused") break;
    from++;
  }
  return { ...former, from };
}

function toResult(written: readonly unknown[] | undefined): Reconciled {
  return written === undefined ? "later" : "done";
}
