// Taking and giving up push channels: the row in `channels`, the rows in the recipients' partitions, and the record of
// former channels. Everything here needs storage alone, so a hub that cannot be reached never holds it up. I/O through
// the store.
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import type {
  ChannelHolder,
  ChannelRow,
  DeviceChange,
  DeviceRows,
  FormerChannel,
  InstallationRow,
} from "../store/storedDevices.ts";
import type { InstallationsOptions } from "./installations.ts";
import type { Versioned } from "../store/store.ts";

export type HoldingOptions = Pick<InstallationsOptions, "store" | "clock">;

export function isSameHolder(a: ChannelHolder | undefined, b: ChannelHolder): boolean {
  return a?.recipientKey === b.recipientKey && a.installationId === b.installationId;
}

/** The directory's name for one holding of a push channel. */
export function toEntryId(channelKey: ChannelKey, generation: number): string {
  return `${channelKey}-${generation}`;
}

/** What a channel's row becomes when a holder takes it, whoever had it. */
export function toTakenChannel(
  before: ChannelRow | undefined,
  { recipientKey, installationId }: ChannelHolder,
  changedAt: Date,
): ChannelRow {
  const holder = { recipientKey, installationId };
  const isSameRecipient = before?.holder?.recipientKey === recipientKey;
  const generation = (before?.generation ?? 0) + (isSameRecipient ? 0 : 1);
  const former = isSameRecipient ? before.previous : (before?.holder ?? before?.previous);
  const previous = former?.recipientKey === recipientKey ? undefined : former;
  return { holder, generation, changedAt, ...(previous && { previous }) };
}

/**
 * The record that a recipient's channel is a former one, merged with an earlier record of the same channel. `row` is the
 * holding that ends; entries of generations since `earliest` may exist.
 */
export function toFormerChange(
  row: Pick<InstallationRow, "recipientKey" | "channelKey" | "platform" | "sender" | "generation">,
  former: DeviceRows["former"],
  now: Date,
  earliest: number = row.generation,
): DeviceChange {
  const { recipientKey, channelKey, platform, sender, generation } = row;
  const first = Math.min(earliest, generation);
  const known = former.find(({ value }) => value.channelKey === channelKey);
  const isOpen = known !== undefined && known.value.removedAt === undefined;
  const from = isOpen ? Math.min(known.value.from, first) : first;
  const to = isOpen ? Math.max(known.value.to, generation) : generation;
  const merged = { recipientKey, channelKey, platform, sender, from, to, createdAt: now };
  return { kind: "putFormer", row: merged, ...(known && { etag: known.etag }) };
}

/** Changes the recipient's state row, so that whoever has read it meanwhile has to read the partition again. */
export function toStateChange({ state }: DeviceRows): DeviceChange {
  return { kind: "putState", row: state?.value ?? {}, ...(state !== undefined && { etag: state.etag }) };
}

/** A push channel that is to be taken, and the registration that takes it. */
export interface Claim {
  readonly channelKey: ChannelKey;
  readonly holder: ChannelHolder;
  readonly platform: InstallationRow["platform"];
  readonly sender: InstallationRow["sender"];
}

/**
 * Records in the partition of a channel's present holder that the channel is a former one, before somebody else takes it:
 * from then on nothing of the holder's goes there by a group push. It is written even if the holder's row is missing (it
 * may be on its way) or such a record exists: the change makes concurrent writers read the partition again.
 */
async function announceTakeover(
  { store, clock }: HoldingOptions,
  { channelKey, platform, sender }: Claim,
  { holder, generation }: ChannelRow & { readonly holder: ChannelHolder },
  signal: AbortSignal,
): Promise<boolean> {
  const { recipientKey } = holder;
  const rows = await store.listDeviceRows(recipientKey, signal);
  const row = rows.installations.find(({ value }) => value?.channelKey === channelKey)?.value;
  const ended = { platform, sender, ...row, recipientKey, channelKey, generation };
  const changes = [toFormerChange(ended, rows.former, clock.now(), row?.generation), toStateChange(rows)];
  return (await store.changeDevices(recipientKey, changes, signal)) !== undefined;
}

function isOpenRecord(former: FormerChannel, { channelKey, generation }: InstallationRow): boolean {
  return former.channelKey === channelKey && former.removedAt === undefined && former.to >= generation;
}

/**
 * Makes a channel name a holder whose row names the channel already. Whoever has it now is recorded as a former owner
 * first. Answers the channel's new version, or `undefined` where something has changed meanwhile.
 */
export async function takeChannel(
  options: HoldingOptions,
  claim: Claim,
  channel: Versioned<ChannelRow> | undefined,
  signal: AbortSignal,
): Promise<Versioned<ChannelRow> | undefined> {
  const { store, clock } = options;
  const { channelKey, holder } = claim;
  const present = channel?.value.holder;
  if (channel !== undefined && present !== undefined && present.recipientKey !== holder.recipientKey) {
    // A takeover that did not finish is finished first: a channel's row remembers one former holder. Where that is the
    // recipient who takes it back, their new row is already in place of the former one.
    const { previous } = channel.value;
    if (previous !== undefined && previous.recipientKey !== holder.recipientKey) {
      await completeTakeover(options, channelKey, channel, signal);
      return undefined;
    }
    const ending = { ...channel.value, holder: present };
    if (!(await announceTakeover(options, claim, ending, signal))) return undefined;
  }
  const value = toTakenChannel(channel?.value, holder, clock.now());
  const etag = await store.writeChannel(channelKey, value, channel?.etag, signal);
  return etag === undefined ? undefined : { etag, value };
}

/** Completes a takeover: removes the former holder's row and forgets that holder. False: it has to be tried again. */
export async function completeTakeover(
  options: HoldingOptions,
  channelKey: ChannelKey,
  channel: Versioned<ChannelRow>,
  signal: AbortSignal,
): Promise<boolean> {
  const { previous, ...completed } = channel.value;
  if (previous === undefined) return true;
  const isSameRecipient = completed.holder?.recipientKey === previous.recipientKey;
  const former = { channelKey, holder: previous, generation: completed.generation };
  if (!isSameRecipient && !(await removeFormerRow(options, former, signal))) return false;
  return (await options.store.writeChannel(channelKey, completed, channel.etag, signal)) !== undefined;
}

/**
 * Removes a recipient's row for a channel that somebody else has taken, and records that it is a former one. A row of a
 * later generation stays: the recipient has taken the channel back meanwhile.
 */
async function removeFormerRow(
  { store, clock }: HoldingOptions,
  former: { readonly channelKey: ChannelKey; readonly holder: ChannelHolder; readonly generation: number },
  signal: AbortSignal,
): Promise<boolean> {
  const { recipientKey } = former.holder;
  const rows = await store.listDeviceRows(recipientKey, signal);
  for (const { value, etag } of rows.installations) {
    if (value?.channelKey !== former.channelKey || value.generation >= former.generation) continue;
    const { installationId } = value;
    const deletion: DeviceChange = { kind: "deleteInstallation", installationId, etag };
    const isRecorded = rows.former.some((one) => isOpenRecord(one.value, value));
    const changes = isRecorded ? [deletion] : [deletion, toFormerChange(value, rows.former, clock.now())];
    if ((await store.changeDevices(recipientKey, changes, signal)) === undefined) return false;
  }
  return true;
}

function toReleasedChannel(
  { generation, previous }: ChannelRow,
  releasedBy: RecipientKey,
  changedAt: Date,
): ChannelRow {
  return { generation, releasedBy, changedAt, ...(previous && { previous }) };
}

/** Makes a channel name nobody, if it still names this holder. False where it has changed meanwhile. */
export async function releaseChannel(
  { store, clock }: HoldingOptions,
  channelKey: ChannelKey,
  holder: ChannelHolder,
  signal: AbortSignal,
): Promise<boolean> {
  const channel = await store.readChannel(channelKey, signal);
  if (channel === undefined || !isSameHolder(channel.value.holder, holder)) return true;
  const free = toReleasedChannel(channel.value, holder.recipientKey, clock.now());
  return (await store.writeChannel(channelKey, free, channel.etag, signal)) !== undefined;
}

/**
 * Makes a channel name nobody if its holder has no row for it. The holder's partition changes first, so that a
 * registration whose row is on its way has to begin again.
 */
export async function releaseUnused(
  { store, clock }: HoldingOptions,
  channelKey: ChannelKey,
  { value, etag }: Versioned<ChannelRow>,
  signal: AbortSignal,
): Promise<"released" | "inUse" | "changed"> {
  const { holder } = value;
  if (holder === undefined) return "released";
  const rows = await store.listDeviceRows(holder.recipientKey, signal);
  if (rows.installations.some((row) => row.value?.channelKey === channelKey)) return "inUse";
  if ((await store.changeDevices(holder.recipientKey, [toStateChange(rows)], signal)) === undefined)
    return "changed";
  const free = toReleasedChannel(value, holder.recipientKey, clock.now());
  return (await store.writeChannel(channelKey, free, etag, signal)) === undefined ? "changed" : "released";
}
