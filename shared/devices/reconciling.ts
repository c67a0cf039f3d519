// Reconciling: brings a sender's directory, and the records of former channels, in line with the rows. Any number of
// workers may do it at once; each ends with what is true then. I/O through store and senders.
import { setTimeout } from "node:timers/promises";
import type { CallContext } from "../base/context.ts";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { DAY_MS } from "../domain/id.ts";
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
  releaseUnused,
  takeChannel,
  toEntryId,
  toFormerChange,
} from "./holding.ts";
import type { InstallationsOptions } from "./installations.ts";
import { openChannel } from "./pushChannel.ts";
import type { DirectoryPut, ReconcileWork } from "./reconcileWork.ts";

/** `later`: the directory could not be reached, rows changed too often, or there was too much to do for one call. */
export type Reconciled = "done" | "later";

/** `changed`: rows have changed, so that it has to be tried again. */
type Attempt = Reconciled | "changed";

const MAX_TRIES = 10;
const MAX_PAUSE_MS = 40;

/** Directory entries that one call removes from one partition's records. */
const MAX_REMOVALS = 20;
/** A released channel keeps its generation for so long: no late request of its last holder meets a new one. */
export const RELEASED_CHANNEL_KEPT_MS = DAY_MS;

export async function reconcile(
  options: InstallationsOptions,
  work: Omit<ReconcileWork, "kind">,
  context: CallContext,
): Promise<Reconciled> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const result = await tryReconcile(options, work, context);
    if (result !== "changed") return result;
    await setTimeout(Math.random() * MAX_PAUSE_MS, undefined, { signal: context.signal });
  }
  return "later";
}

async function tryReconcile(
  options: InstallationsOptions,
  { recipientKeys, channelKeys, puts }: Omit<ReconcileWork, "kind">,
  context: CallContext,
): Promise<Attempt> {
  const { signal } = context;
  const results: Attempt[] = [];
  for (const put of puts) results.push(await recordIfStale(options, put, signal));
  for (const channelKey of channelKeys)
    if (!(await reconcileChannel(options, channelKey, recipientKeys, signal))) results.push("changed");
  for (const recipientKey of recipientKeys)
    results.push(await reconcilePartition(options, recipientKey, channelKeys, context));
  return toWorst(results);
}

/** Completes a takeover, and releases a channel whose holder, one of these recipients, has no row for it. */
async function reconcileChannel(
  { store, clock }: InstallationsOptions,
  channelKey: ChannelKey,
  recipientKeys: readonly RecipientKey[],
  signal: AbortSignal,
): Promise<boolean> {
  const holding = { store, now: clock.now };
  const before = await store.readChannel(channelKey, signal);
  if (before !== undefined && !(await completeTakeover(holding, channelKey, before, signal))) return false;
  const channel = await store.readChannel(channelKey, signal);
  const holder = channel?.value.holder;
  if (channel === undefined || holder === undefined || !recipientKeys.includes(holder.recipientKey))
    return true;
  return (await releaseUnused(holding, channelKey, channel, signal)) !== "changed";
}

/** Whether a channel is held by a recipient now, under this generation. */
export async function isPresent(
  { store }: InstallationsOptions,
  { recipientKey, channelKey, generation }: Omit<DirectoryPut, "platform" | "sender">,
  signal: AbortSignal,
): Promise<boolean> {
  const channel = (await store.readChannel(channelKey, signal))?.value;
  return channel?.holder?.recipientKey === recipientKey && channel.generation === generation;
}

/**
 * An entry that was put into the directory after its holding had ended may be there although the record of the former
 * channel says that it was removed. Records it again then, so that it is removed again.
 */
async function recordIfStale(
  { store, clock }: InstallationsOptions,
  put: DirectoryPut,
  signal: AbortSignal,
): Promise<Attempt> {
  const channel = (await store.readChannel(put.channelKey, signal))?.value;
  if (channel === undefined || put.generation > toLastEnded(channel)) return "done"; // present, or never taken
  const { former } = await store.listDeviceRows(put.recipientKey, signal);
  const isRecorded = former.some(
    ({ value: { channelKey, from, to, removedAt } }) =>
      channelKey === put.channelKey &&
      removedAt === undefined &&
      from <= put.generation &&
      to >= put.generation,
  );
  if (isRecorded) return "done";
  const change = toFormerChange(put, former, clock.now());
  return toResult(await store.changeDevices(put.recipientKey, [change], signal));
}

/** The newest generation of a channel whose holding has ended. */
function toLastEnded({ holder, generation }: ChannelRow): number {
  return holder === undefined ? generation : generation - 1;
}

/**
 * Reconciles a recipient's rows for these channels, and all records of former channels. It stops at the first failure, so
 * that a directory that does not answer costs one time limit.
 */
async function reconcilePartition(
  options: InstallationsOptions,
  recipientKey: RecipientKey,
  channelKeys: readonly ChannelKey[],
  context: CallContext,
): Promise<Attempt> {
  const rows = await options.store.listDeviceRows(recipientKey, context.signal);
  const concerned = new Set([...channelKeys, ...rows.former.map(({ value }) => value.channelKey)]);
  for (const { value, etag } of rows.installations)
    if (value !== undefined && concerned.has(value.channelKey)) {
      const result = await reconcileInstallation(options, { etag, value }, rows, context);
      if (result !== "done") return result;
    }
  let removalsLeft = MAX_REMOVALS;
  for (const former of rows.former) {
    const value = await toEnded(options, former.value, rows, context.signal);
    if (value === undefined) return "changed";
    const isVoid = value.from > value.to && value.removedAt === undefined;
    const removal = { value, etag: former.etag };
    const result = isVoid
      ? await forgetFormer(options, former, context.signal)
      : await removeEntries(options, removal, removalsLeft, context);
    if (result !== "done") return result;
    if (value.removedAt === undefined) removalsLeft -= Math.max(0, value.to - value.from + 1);
  }
  return "done";
}

/**
 * A record of generations that have ended. Others get in by takeovers that did not happen, and by registrations that
 * stopped before they took the channel. Where the recipient still holds the channel, its row gets a new version first: a
 * takeover that has announced itself and not yet taken the channel has to announce itself again. `undefined`: the channel
 * changed meanwhile.
 */
async function toEnded(
  { store, clock }: InstallationsOptions,
  former: FormerChannel,
  { installations }: DeviceRows,
  signal: AbortSignal,
): Promise<FormerChannel | undefined> {
  const { channelKey, recipientKey, from, to, removedAt, createdAt } = former;
  if (removedAt !== undefined) return former;
  const channel = await store.readChannel(channelKey, signal);
  if (channel === undefined) {
    // A released channel keeps its row for a time. Before that is over, a missing row means that it was never taken.
    const ageMs = clock.now().getTime() - createdAt.getTime();
    return ageMs > RELEASED_CHANNEL_KEPT_MS ? former : { ...former, to: from - 1 };
  }
  const last = toLastEnded(channel.value);
  if (to <= last) return former;
  if (channel.value.holder?.recipientKey === recipientKey) {
    if (!installations.some(({ value }) => value?.channelKey === channelKey)) {
      const released = await releaseUnused({ store, now: clock.now }, channelKey, channel, signal);
      return released === "released" ? former : undefined;
    }
    const etag = await store.writeChannel(channelKey, channel.value, channel.etag, signal);
    if (etag === undefined) return undefined;
  }
  return { ...former, to: last };
}

async function forgetFormer(
  { store }: InstallationsOptions,
  { value, etag }: Versioned<FormerChannel>,
  signal: AbortSignal,
): Promise<Attempt> {
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
): Promise<Attempt> {
  const { store, clock } = options;
  const { value, etag } = row;
  const { recipientKey } = value;
  const channel = await store.readChannel(value.channelKey, context.signal);
  if (channel === undefined || !isSameHolder(channel.value.holder, value))
    return finishClaim(options, row, channel, context.signal);
  const { generation } = channel.value;
  if (value.generation !== generation) {
    // The row was written before the channel was taken, and another recipient took it in between.
    const { reconciledAt: _, ...rest } = value;
    const change: DeviceChange = { kind: "putInstallation", row: { ...rest, generation }, etag };
    await store.changeDevices(recipientKey, [change], context.signal);
    return "changed";
  }
  const outcome = await putEntry(options, value, context);
  if (outcome.kind === "refused") return endRefused(options, row, rows, context);
  if (!(await isPresent(options, value, context.signal))) {
    await recordIfStale(options, value, context.signal);
    return "changed";
  }
  if (outcome.kind !== "accepted") return "later";
  if (value.reconciledAt !== undefined) return "done";
  const known = { ...value, reconciledAt: clock.now() };
  const change: DeviceChange = { kind: "putInstallation", row: known, etag };
  return toResult(await store.changeDevices(recipientKey, [change], context.signal));
}

/** Only a registration that the directory never took may end with its refusal. */
async function endRefused(
  options: InstallationsOptions,
  { value, etag }: Versioned<InstallationRow>,
  rows: DeviceRows,
  { log, signal }: CallContext,
): Promise<Attempt> {
  if (value.reconciledAt !== undefined) return "done";
  const { store, clock } = options;
  log.warn("installation_refused", { platform: value.platform });
  const changes: readonly DeviceChange[] = [
    { kind: "deleteInstallation", installationId: value.installationId, etag },
    toFormerChange(value, rows.former, clock.now()),
  ];
  const isDeleted = (await store.changeDevices(value.recipientKey, changes, signal)) !== undefined;
  if (!isDeleted) return "changed";
  const holding = { store, now: clock.now };
  await releaseChannel(holding, value.channelKey, value, signal);
  return "changed"; // the record of the former channel is still to be completed
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
): Promise<Attempt> {
  const { recipientKey, installationId, channelKey, platform, sender } = value;
  if (channel === undefined || channel.value.changedAt < value.renewedAt) {
    const claim = { channelKey, holder: { recipientKey, installationId }, platform, sender };
    await takeChannel({ store, now: clock.now }, claim, channel, signal);
    return "changed"; // the next try finds it held, and goes on
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
  maxRemovals: number,
  context: CallContext,
): Promise<Attempt> {
  const { store, clock, senders } = options;
  const now = clock.now();
  const { recipientKey } = value;
  if (value.removedAt !== undefined && isInForce(value, senders, now)) return "done";
  const removed =
    value.removedAt === undefined
      ? await removeSome(senders.named(value.sender), value, maxRemovals, context)
      : value;
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
  maxRemovals: number,
  context: CallContext,
): Promise<FormerChannel> {
  let { from } = former;
  if (sender?.directory === undefined) return { ...former, from: former.to + 1 };
  for (let removals = 0; from <= former.to && removals < maxRemovals; removals++) {
    const outcome = await sender.directory.remove(toEntryId(former.channelKey, from), context);
    reportOutcome(context.log, outcome, "directory_entry_removed");
    // An entry that could never be made cannot be there.
    if (outcome.kind !== "accepted" && outcome.kind !== "refused") break;
    from++;
  }
  return { ...former, from };
}

function toResult(written: readonly unknown[] | undefined): Attempt {
  return written === undefined ? "changed" : "done";
}

function toWorst(results: readonly Attempt[]): Attempt {
  if (results.includes("later")) return "later";
  return results.includes("changed") ? "changed" : "done";
}
