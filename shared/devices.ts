// The devices of a recipient, as a push needs them. I/O through the store that is handed in.
import type { Channels } from "./channels.ts";
import type { Clock } from "./clock.ts";
import type { Keyring, RecipientKey } from "./crypto/keyring.ts";
import { mapBounded } from "./deadline.ts";
import type { Log } from "./log.ts";
import type { PushChannel } from "./notification.ts";
import { openChannel } from "./pushChannel.ts";
import type { InstallationRow, Store } from "./store/store.ts";

export interface Device extends InstallationRow {
  /** Of the row as it was listed. */
  readonly etag: string;
  /** Opens the sealed push channel; nothing where the row was altered. */
  readonly openChannel: () => PushChannel | undefined;
}

export interface DevicesOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly channels: Channels;
  readonly isLive: (row: InstallationRow) => boolean;
}

/**
 * The devices of a recipient that were renewed in time. One that the hub may not show to tags yet is there only
 * while it still holds its push channel: it is addressed by that.
 */
export type ListDevices = (
  recipientKey: RecipientKey,
  log: Log,
  signal: AbortSignal,
) => Promise<readonly Device[]>;

const MAX_PARALLEL_READS = 8;

/** The hub shows an installation to tags with a delay; for so long a device is also reached directly. */
const VISIBLE_AFTER_MS = 120_000;

/** Whether a device was made, or moved, so lately that a tag may not reach it. */
export function isFresh({ changedAt }: InstallationRow, now: Date): boolean {
  return now.getTime() - changedAt.getTime() < VISIBLE_AFTER_MS;
}

export function createListDevices({ store, keyring, clock, channels, isLive }: DevicesOptions): ListDevices {
  return async (recipientKey, log, signal) => {
    const purposes = await keyring.purposes(signal);
    const rows = await store.listInstallations(recipientKey, signal);
    if (rows.some(({ value }) => value === undefined)) log.error("row_damaged", { table: "installations" });
    const now = clock.now();
    const devices = await mapBounded(rows, MAX_PARALLEL_READS, async ({ value, etag }) => {
      if (value === undefined || !isLive(value)) return undefined;
      if (isFresh(value, now) && !(await channels.isHeldBy(value.channelKey, value, signal)))
        return undefined;
      return { ...value, etag, openChannel: () => openChannel(purposes, value) };
    });
    return devices.filter((device) => device !== undefined);
  };
}
