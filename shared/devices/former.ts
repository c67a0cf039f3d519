// Records of former channels: what has ended is removed from the sender's directory, and then the record goes. I/O through
// store and senders.
import type { CallContext } from "../base/context.ts";
import { DAY_MS } from "../domain/id.ts";
import { reportOutcome } from "../push/outcome.ts";
import type { Sender } from "../push/sender.ts";
import type { ChannelRow, DeviceRows, FormerChannel } from "../store/storedDevices.ts";
import type { Versioned } from "../store/store.ts";
import { isInForce } from "./devices.ts";
import { releaseUnused, toEntryId, toFormerChange } from "./holding.ts";
import type { InstallationsOptions } from "./installations.ts";
import type { DirectoryPut } from "../store/reconcileWork.ts";

/** `later`: the directory could not be reached, rows changed too often, or there was too much to do for one call. */
export type Reconciled = "done" | "later";

/** `changed`: rows have changed, so that it has to be tried again. */
export type Attempt = Reconciled | "changed";

/** A released channel keeps its generation for so long: no late request of its last holder meets a new one. */
export const RELEASED_CHANNEL_KEPT_MS = DAY_MS;

/**
 * An entry that was put into the directory after its holding had ended may be there although the record of the former
 * channel says that it was removed. Records it again then, so that it is removed again.
 */
export async function recordIfStale(
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
 * A record of generations that have ended. Others get in by takeovers that did not happen, and by registrations that
 * stopped before they took the channel. Where the recipient still holds the channel, its row gets a new version first: a
 * takeover that has announced itself and not yet taken the channel has to announce itself again. `undefined`: the channel
 * changed meanwhile.
 */
export async function toEnded(
  options: InstallationsOptions,
  former: FormerChannel,
  { installations }: DeviceRows,
  signal: AbortSignal,
): Promise<FormerChannel | undefined> {
  const { store, clock } = options;
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
      const released = await releaseUnused(options, channelKey, channel, signal);
      return released === "released" ? former : undefined;
    }
    const etag = await store.writeChannel(channelKey, channel.value, channel.etag, signal);
    if (etag === undefined) return undefined;
  }
  return { ...former, to: last };
}

export async function forgetFormer(
  { store }: InstallationsOptions,
  { value, etag }: Versioned<FormerChannel>,
  signal: AbortSignal,
): Promise<Attempt> {
  const { recipientKey, channelKey } = value;
  return toResult(
    await store.changeDevices(recipientKey, [{ kind: "deleteFormer", channelKey, etag }], signal),
  );
}

/** Removes the entries of a former channel from the directory, and then, after a while, the record of it. */
export async function removeEntries(
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

export function toResult(written: readonly unknown[] | undefined): Attempt {
  return written === undefined ? "changed" : "done";
}
