// Removing installations. The row goes first, so that nothing more is pushed to it directly; the same transaction records
// that its channel is a former one, so that nothing more goes there by a group push. Then the channel is released and the
// directory told. I/O through store and senders.
import type { CallContext } from "../base/context.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import { untilWon } from "../store/race.ts";
import type { ChannelHolder, DeviceChange } from "../store/storedDevices.ts";
import { releaseChannel, toFormerChange } from "./holding.ts";
import type { InstallationsOptions } from "./installations.ts";
import { reconcile } from "./reconciling.ts";

export interface Removal {
  readonly holder: ChannelHolder;
  /** Removes only this version. */
  readonly etag?: string;
  /** Whether to ask the directory now, or to leave that to redelivery. */
  readonly directory: "now" | "later";
}

/** Removes an installation. False: there is none, or it is there in another version than was named. */
export async function removeInstallation(
  options: InstallationsOptions,
  removal: Removal,
  context: CallContext,
): Promise<boolean> {
  const tryOnce = () => tryRemove(options, removal, context);
  return untilWon(tryOnce, "an installation changed too often at once", context.signal);
}

async function tryRemove(
  options: InstallationsOptions,
  { holder: { recipientKey, installationId }, etag, directory }: Removal,
  context: CallContext,
): Promise<boolean | undefined> {
  const { store, clock, tasks } = options;
  const { signal } = context;
  const rows = await store.listDeviceRows(recipientKey, signal);
  const found = rows.installations.find((one) => one.installationId === installationId);
  if (found === undefined || (etag !== undefined && found.etag !== etag)) return false;
  const deletion: DeviceChange = { kind: "deleteInstallation", installationId, etag: found.etag };
  if (found.value === undefined) {
    // A row that this code cannot read names no channel.
    const isDeleted = (await store.changeDevices(recipientKey, [deletion], signal)) !== undefined;
    return isDeleted ? true : undefined;
  }
  const { value } = found;
  const work = { recipientKeys: [recipientKey], channelKeys: [value.channelKey], puts: [] };
  const task = await tasks.begin({ kind: "reconcile", ...work }, signal);
  const changes = [deletion, toFormerChange(value, rows.former, clock.now())];
  if ((await store.changeDevices(recipientKey, changes, signal)) === undefined) {
    await task.done(context);
    return undefined;
  }
  const isReleased = await releaseChannel(options, value.channelKey, value, signal);
  const result =
    directory === "now"
      ? await reconcile(options, { ...work, channelKeys: [] }, context).catch(() => "later" as const)
      : "later";
  if (isReleased && result === "done") await task.done(context);
  else await task.leave(context);
  return true;
}

/** Removes every installation of a recipient that its user last wrote before that time. */
export async function removeEarlier(
  options: InstallationsOptions,
  recipientKey: RecipientKey,
  before: Date,
  context: CallContext,
): Promise<void> {
  const { installations } = await options.store.listDeviceRows(recipientKey, context.signal);
  // One that this code cannot read has no time.
  const earlier = installations.filter(({ value }) => value === undefined || value.renewedAt < before);
  // One by one: they share a partition, and each removal reads it.
  for (const { installationId, etag } of earlier)
    await removeInstallation(
      options,
      { holder: { recipientKey, installationId }, etag, directory: "now" },
      context,
    );
}

/** Records that a recipient is to be erased, so that a renewal after that counts as a new registration. */
export async function recordErasure(
  { store, clock }: InstallationsOptions,
  recipientKey: RecipientKey,
  signal: AbortSignal,
): Promise<void> {
  const tryOnce = async () => {
    const { state, installations } = await store.listDeviceRows(recipientKey, signal);
    if (installations.length === 0) return true;
    const row = { erasureAskedAt: clock.now() };
    const change: DeviceChange = { kind: "putState", row, ...(state && { etag: state.etag }) };
    return (await store.changeDevices(recipientKey, [change], signal)) === undefined ? undefined : true;
  };
  await untilWon(tryOnce, "an erasure could not be recorded", signal);
}
