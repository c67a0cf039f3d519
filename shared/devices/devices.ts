// The devices of a recipient, as a push needs them. I/O through the store that is handed in.
import type { CallContext } from "../base/context.ts";
import type { Channels } from "./channels.ts";
import type { Keyring, RecipientKey } from "../crypto/keyring.ts";
import { mapBounded } from "../base/deadline.ts";
import type { PushChannel } from "../domain/notification.ts";
import { openChannel } from "./pushChannel.ts";
import type { InstallationRow, Store } from "../store/store.ts";

export interface Device extends InstallationRow {
  /** Whether the hub is known to know that this device holds its channel: a tag may not reach it before. */
  readonly isSettled: boolean;
  /** Of the row as it was listed. */
  readonly etag: string;
  /** Opens the sealed push channel; nothing where the row was altered. */
  readonly openChannel: () => PushChannel | undefined;
}

export interface DevicesOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly channels: Channels;
  readonly isLive: (row: InstallationRow) => boolean;
}

/** The devices of a recipient that were renewed in time and hold their push channel (P7). */
export type ListDevices = (recipientKey: RecipientKey, context: CallContext) => Promise<readonly Device[]>;

const MAX_PARALLEL_READS = 8;

/** The hub shows an installation to tags with a delay; for so long a device is also reached directly. */
const VISIBLE_AFTER_MS = 120_000;

/** Whether a device was made, or moved, so lately that a tag may not reach it. */
export function isFresh({ changedAt }: InstallationRow, now: Date): boolean {
  return now.getTime() - changedAt.getTime() < VISIBLE_AFTER_MS;
}

export function createListDevices({ store, keyring, channels, isLive }: DevicesOptions): ListDevices {
  return async (recipientKey, { log, signal }) => {
    const purposes = await keyring.purposes(signal);
    const rows = await store.listInstallations(recipientKey, signal);
    if (rows.some(({ value }) => value === undefined)) log.error("row_damaged", { table: "installations" });
    const devices = await mapBounded(rows, MAX_PARALLEL_READS, async ({ value, etag }) => {
      if (value === undefined || !isLive(value)) return undefined;
      const standing = await channels.readStanding(value.channelKey, value, signal);
      if (standing === "another's") return undefined;
      const isSettled = standing === "settled";
      return { ...value, etag, isSettled, openChannel: () => openChannel(purposes, value) };
    });
    return devices.filter((device) => device !== undefined);
  };
}
