// The devices of a recipient, as a push needs them. One query of the recipient's partition, and a read of a channel's row
// only for a device whose hold on its channel is in doubt. I/O through the store.
import type { CallContext } from "../base/context.ts";
import { mapBounded } from "../base/deadline.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import { DAY_MS } from "../domain/id.ts";
import type { Platform, PushChannel } from "../domain/installation.ts";
import type { Senders } from "../push/senders.ts";
import type { DeviceRows, FormerChannel, InstallationRow } from "../store/storedDevices.ts";
import type { Versioned } from "../store/store.ts";
import type { InstallationsOptions } from "./installations.ts";
import { openChannel } from "./pushChannel.ts";

/** A recipient's devices, and the platforms on which a group push could reach a former device of theirs (P7). */
export interface DeviceListing {
  readonly devices: readonly Device[];
  /** Devices whose registration is in progress. They do not hold their push channel yet, so nothing is pushed to them (P7). */
  readonly registering: readonly InstallationRow[];
  readonly directOnly: ReadonlySet<Platform>;
  /** When the recipient was last asked to be erased. */
  readonly erasureAskedAt?: Date;
}

export interface Device extends InstallationRow {
  /** Of the row as it was listed. */
  readonly etag: string;
  /** Opens the sealed push channel; `undefined` where the row was altered. */
  readonly openChannel: () => PushChannel | undefined;
}

const MAX_PARALLEL_READS = 8;

/** The devices that were renewed in time and hold their push channel (P7). */
export async function listDevices(
  options: InstallationsOptions,
  recipientKey: RecipientKey,
  { log, signal }: CallContext,
): Promise<DeviceListing> {
  const { store, keyring, clock, senders } = options;
  const [purposes, rows] = await Promise.all([
    keyring.purposes(signal),
    store.listDeviceRows(recipientKey, signal),
  ]);
  if (rows.installations.some(({ value }) => value === undefined))
    log.error("row_damaged", { table: "installations" });
  const now = clock.now();
  const live = toLiveRows(options, rows);
  const judged = await mapBounded(live, MAX_PARALLEL_READS, async (row) => ({
    row,
    isHeld: await isHeld(options, row.value, rows.former, signal),
  }));
  const devices = withoutTwins(judged.filter((one) => one.isHeld).map(({ row }) => row));
  const registering = judged
    .filter(({ row, isHeld: isDone }) => !isDone && isInProgress(row.value, rows.former))
    .map(({ row }) => row.value);
  const { erasureAskedAt } = rows.state?.value ?? {};
  const inForce = rows.former.filter(({ value }) => isInForce(value, senders, now));
  return {
    devices: devices.map(({ value, etag }) => ({
      ...value,
      etag,
      openChannel: () => openChannel(purposes, value),
    })),
    registering,
    directOnly: new Set(inForce.map(({ value }) => value.platform)),
    ...(erasureAskedAt && { erasureAskedAt }),
  };
}

/** Readable rows that were renewed in time. */
export function toLiveRows(
  options: Pick<InstallationsOptions, "clock" | "limits">,
  { installations }: DeviceRows,
): readonly Versioned<InstallationRow>[] {
  return installations.flatMap(({ etag, value }) =>
    value !== undefined && isLive(options, value) ? [{ etag, value }] : [],
  );
}

export function isLive(
  { clock, limits }: Pick<InstallationsOptions, "clock" | "limits">,
  row: InstallationRow,
): boolean {
  return toExpiresAt(limits, row) > clock.now();
}

/** When an installation that is not renewed gets nothing more. */
export function toExpiresAt(
  { installationTtlDays }: InstallationsOptions["limits"],
  row: InstallationRow,
): Date {
  return new Date(row.renewedAt.getTime() + installationTtlDays * DAY_MS);
}

/**
 * Whether the row's recipient holds its channel. A row that was reconciled and whose channel is not named as a former one
 * does: whoever takes a channel over first writes that into the former owner's partition.
 */
async function isHeld(
  { store }: InstallationsOptions,
  row: InstallationRow,
  former: DeviceRows["former"],
  signal: AbortSignal,
): Promise<boolean> {
  const isInDoubt =
    row.reconciledAt === undefined || former.some(({ value }) => value.channelKey === row.channelKey);
  if (!isInDoubt) return true;
  const channel = await store.readChannel(row.channelKey, signal);
  // Under whichever installation id: a device that was installed anew is the same recipient's.
  return channel?.value.holder?.recipientKey === row.recipientKey;
}

/** Whether a row that does not hold its channel may still get it. A channel that the row has lost is listed as a former one. */
function isInProgress({ reconciledAt, channelKey }: InstallationRow, former: DeviceRows["former"]): boolean {
  return reconciledAt === undefined && !former.some(({ value }) => value.channelKey === channelKey);
}

/** Of several rows for one push channel (a device was installed anew) the newest. */
function withoutTwins(rows: readonly Versioned<InstallationRow>[]): readonly Versioned<InstallationRow>[] {
  const newest = new Map<string, Versioned<InstallationRow>>();
  for (const row of rows) {
    const known = newest.get(row.value.channelKey);
    if (known === undefined || known.value.renewedAt < row.value.renewedAt)
      newest.set(row.value.channelKey, row);
  }
  return [...newest.values()];
}

/** Whether group pushes could still reach the former channel. The directory applies a removal some time after it said so. */
export function isInForce({ sender, removedAt }: FormerChannel, senders: Senders, now: Date): boolean {
  const groups = senders.named(sender)?.groups;
  if (groups === undefined) return false;
  return removedAt === undefined || now.getTime() - removedAt.getTime() < groups.visibleAfterMs;
}
