// Reconciling: brings a sender's directory, and the records of former channels, in line with the rows. Any number of
// workers may do it at once; each ends with what is true then. I/O through store and senders.
import { setTimeout } from "node:timers/promises";
import type { CallContext } from "../base/context.ts";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { reportOutcome } from "../push/outcome.ts";
import type { DirectoryOutcome } from "../push/sender.ts";
import type { ChannelRow, DeviceChange, DeviceRows, InstallationRow } from "../store/storedDevices.ts";
import type { Versioned } from "../store/store.ts";
import { toExpiresAt } from "./devices.ts";
import {
  type Attempt,
  forgetFormer,
  recordIfStale,
  type Reconciled,
  removeEntries,
  toEnded,
  toResult,
} from "./former.ts";
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
import type { DirectoryPut, ReconcileWork } from "../store/reconcileWork.ts";

const MAX_TRIES = 10;
const MAX_PAUSE_MS = 40;

/** Directory entries that one call removes from one partition's records. */
const MAX_REMOVALS = 20;

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
  options: InstallationsOptions,
  channelKey: ChannelKey,
  recipientKeys: readonly RecipientKey[],
  signal: AbortSignal,
): Promise<boolean> {
  const { store } = options;
  const before = await store.readChannel(channelKey, signal);
  if (before !== undefined && !(await completeTakeover(options, channelKey, before, signal))) return false;
  const channel = await store.readChannel(channelKey, signal);
  const holder = channel?.value.holder;
  if (channel === undefined || holder === undefined || !recipientKeys.includes(holder.recipientKey))
    return true;
  return (await releaseUnused(options, channelKey, channel, signal)) !== "changed";
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
  await releaseChannel(options, value.channelKey, value, signal);
  return "changed"; // the record of the former channel is still to be completed
}

/**
 * A row whose channel names another holder, or nobody. Where it is newer than the channel's last change, its registration
 * stopped before it took the channel, and takes it now; otherwise somebody newer has the channel.
 */
async function finishClaim(
  options: InstallationsOptions,
  { value, etag }: Versioned<InstallationRow>,
  channel: Versioned<ChannelRow> | undefined,
  signal: AbortSignal,
): Promise<Attempt> {
  const { recipientKey, installationId, channelKey, platform, sender } = value;
  if (channel === undefined || channel.value.changedAt < value.renewedAt) {
    const claim = { channelKey, holder: { recipientKey, installationId }, platform, sender };
    await takeChannel(options, claim, channel, signal);
    return "changed"; // the next try finds it held, and goes on
  }
  const orphan: DeviceChange = { kind: "deleteInstallation", installationId, etag };
  return toResult(await options.store.changeDevices(recipientKey, [orphan], signal));
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

function toWorst(results: readonly Attempt[]): Attempt {
  if (results.includes("later")) return "later";
  return results.includes("changed") ? "changed" : "done";
}
