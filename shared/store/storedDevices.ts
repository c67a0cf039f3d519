// The rows of devices, push channels and former channels, and what devices need of storage. No I/O.
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import type { InstallationId, Platform, SenderName } from "../domain/installation.ts";
import type { Versioned } from "./store.ts";

export interface ChannelHolder {
  readonly recipientKey: RecipientKey;
  readonly installationId: InstallationId;
}

/** A device's registration. It lies in its user's partition. */
export interface InstallationRow extends ChannelHolder {
  readonly platform: Platform;
  /** The sender that it was made for. */
  readonly sender: SenderName;
  readonly channelKey: ChannelKey;
  /** Of the time that this push channel was taken (see ChannelRow). */
  readonly generation: number;
  readonly sealedPushChannel: Uint8Array;
  /** What the sender's `admit` answered. */
  readonly subscribedUnder?: string;
  /** When the installation was made, or got this push channel. */
  readonly createdAt: Date;
  /** When its user last wrote it. Erasing and expiry go by it. */
  readonly renewedAt: Date;
  /** Since when the sender's directory is known to hold it; missing: it may not. */
  readonly reconciledAt?: Date;
}

/**
 * A push channel that a recipient no longer holds, in that recipient's partition. While it stands, the sender's directory
 * may still deliver the recipient's group pushes to that channel (P7).
 */
export interface FormerChannel {
  readonly recipientKey: RecipientKey;
  readonly channelKey: ChannelKey;
  readonly platform: Platform;
  readonly sender: SenderName;
  /** The generations whose directory entries are still to be removed: from this one … */
  readonly from: number;
  /** … to this one. */
  readonly to: number;
  readonly createdAt: Date;
  /** When the directory had confirmed the removal of all entries. It may take effect later. */
  readonly removedAt?: Date;
}

/** Who holds a push channel. Authoritative; a channel serves one user and one installation. */
export interface ChannelRow {
  /** Missing: nobody. */
  readonly holder?: ChannelHolder;
  /** Grows each time the channel is taken from nobody or from another recipient; names the directory's entry. */
  readonly generation: number;
  /** The holder before, in another partition, whose row may still exist. */
  readonly previous?: ChannelHolder;
  /** Of a channel that nobody holds: who released it. */
  readonly releasedBy?: RecipientKey;
  readonly changedAt: Date;
}

/** A recipient's partition. A row that this code cannot read has no value. */
export interface DeviceRows {
  readonly installations: readonly (Versioned<InstallationRow | undefined> & {
    readonly installationId: InstallationId;
  })[];
  readonly former: readonly Versioned<FormerChannel>[];
  readonly state?: Versioned<DeviceState>;
}

/** One row for a recipient. Each addition changes it, so that additions at the same time are counted one after the other. */
export interface DeviceState {
  /** When the recipient was last asked to be erased: a renewal after that is a new registration. */
  readonly erasureAskedAt?: Date;
}

/** One change of a recipient's partition; without an ETag it inserts. */
export type DeviceChange =
  | { readonly kind: "putInstallation"; readonly row: InstallationRow; readonly etag?: string }
  | { readonly kind: "deleteInstallation"; readonly installationId: InstallationId; readonly etag: string }
  | { readonly kind: "putFormer"; readonly row: FormerChannel; readonly etag?: string }
  | { readonly kind: "deleteFormer"; readonly channelKey: ChannelKey; readonly etag: string }
  | { readonly kind: "putState"; readonly row: DeviceState; readonly etag?: string }
  | { readonly kind: "deleteState"; readonly etag: string };

/** A row of any partition, as the sweep meets it. */
export type SweptDevice =
  | { readonly kind: "installation"; readonly row: InstallationRow; readonly etag: string }
  | { readonly kind: "former"; readonly row: FormerChannel; readonly etag: string }
  | { readonly kind: "state"; readonly row: { readonly recipientKey: RecipientKey }; readonly etag: string };

export type SweptTable = "installations" | "channels";

/** Devices, and who holds their push channels. */
export interface InstallationRows {
  readonly listDeviceRows: (recipientKey: RecipientKey, signal: AbortSignal) => Promise<DeviceRows>;
  readonly readInstallation: (
    holder: ChannelHolder,
    signal: AbortSignal,
  ) => Promise<Versioned<InstallationRow | undefined> | undefined>;
  /** All changes or none. Answers the ETags in their order, or `undefined` where one of the rows has changed. */
  readonly changeDevices: (
    recipientKey: RecipientKey,
    changes: readonly DeviceChange[],
    signal: AbortSignal,
  ) => Promise<readonly (string | undefined)[] | undefined>;
  /** A row that this code cannot read names nobody, and is replaced by whoever takes the channel next. */
  readonly readChannel: (
    channelKey: ChannelKey,
    signal: AbortSignal,
  ) => Promise<Versioned<ChannelRow> | undefined>;
  /** Inserts without an ETag, else replaces that version. `undefined`: it has changed. */
  readonly writeChannel: (
    channelKey: ChannelKey,
    row: ChannelRow,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
  /** False where it has changed. */
  readonly deleteChannel: (channelKey: ChannelKey, etag: string, signal: AbortSignal) => Promise<boolean>;
  /** A page of all partitions, from where another ended. */
  readonly scanDevices: (
    from: string | undefined,
    limit: number,
    signal: AbortSignal,
  ) => Promise<{ readonly rows: readonly SweptDevice[]; readonly next?: string }>;
  readonly scanChannels: (
    from: string | undefined,
    limit: number,
    signal: AbortSignal,
  ) => Promise<{
    readonly rows: readonly (Versioned<ChannelRow> & { readonly channelKey: ChannelKey })[];
    readonly next?: string;
  }>;
  /** Where the sweep of a table is to go on. */
  readonly readSweepPosition: (table: SweptTable, signal: AbortSignal) => Promise<string | undefined>;
  readonly writeSweepPosition: (
    table: SweptTable,
    position: string | undefined,
    signal: AbortSignal,
  ) => Promise<void>;
}
