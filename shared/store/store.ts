// What the service needs of storage. No SDK here; table.ts and tableStore.ts stand behind it.
import type { ChannelKey, KeyRows, RecipientKey } from "../crypto/keyring.ts";
import type { Display, InstallationId, Platform, Urgency } from "../notification.ts";
import type { Day, NotificationId } from "../id.ts";

/** A payload row as it is written: sealed before it comes here. */
export interface NotificationRow {
  readonly recipientKey: RecipientKey;
  readonly id: NotificationId;
  readonly sealed: Uint8Array;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly urgency: Urgency;
  readonly display: Display;
}

/** How a recipient's push ended, where it was not simply accepted. */
type PushMark = "failed" | "no-devices";

/**
 * Why only a tombstone is left: the user deleted it (it keeps the marks); the recipient was erased (it keeps nothing);
 * or it was taken back, since its ID was promised to nobody (that one alone may be written again).
 */
export const GONE = ["deleted", "erased", "takenBack"] as const;
export type Gone = (typeof GONE)[number];

/** What a row says beside the payload. Times are missing only where a tombstone does not keep them. */
export interface NotificationMarks {
  readonly recipientKey: RecipientKey;
  readonly id: NotificationId;
  readonly gone?: Gone;
  readonly createdAt?: Date;
  readonly expiresAt?: Date;
  readonly fetchedAt?: Date;
  readonly readAt?: Date;
  readonly push?: PushMark;
  /** In a list: the row cannot be read, so that nothing but its ID is known. */
  readonly isDamaged?: true;
}

export interface StoredNotification extends NotificationRow, NotificationMarks {
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

export interface InstallationRow {
  readonly recipientKey: RecipientKey;
  readonly installationId: InstallationId;
  readonly platform: Platform;
  readonly channelKey: ChannelKey;
  readonly sealedPushChannel: Uint8Array;
  /** When it was made, or moved to another push channel: the hub shows it to tags some time later. */
  readonly changedAt: Date;
  readonly renewedAt: Date;
  /** Channels that it held before and that are not known to be free yet: it is its own journal. */
  readonly leaving: readonly ChannelKey[];
}

export interface ChannelRow {
  /** Who holds the push channel now; nobody: the row is about to be deleted. */
  readonly holder?: ChannelHolder;
  /** Holders before, the last one last, whose rows may still stand. */
  readonly displaced: readonly ChannelHolder[];
  /** Whether the hub, and the rows of former holders, are known to agree. */
  readonly isSettled: boolean;
}

export interface ChannelHolder {
  readonly recipientKey: RecipientKey;
  readonly installationId: InstallationId;
}

/** What was read, with the version that a change has to name. */
export interface Versioned<T> {
  readonly value: T;
  readonly etag: string;
}

interface StoredDays {
  readonly tables: ReadonlySet<Day>;
  readonly keys: ReadonlySet<Day>;
}

/** `changed`: somebody else was faster (or the row is gone); read again and decide anew. */
export type WriteOutcome = "written" | "changed";

/** `gone`: a tombstone was found to stand there meanwhile. A mark that stands already is not looked at again. */
export type MarkOutcome = "marked" | "gone";

/** Payload rows. An operation on a row that is not there changes nothing, but for the first. */
export interface NotificationRows {
  /** One that stands already is left as it is, also a tombstone, but for one that was taken back. */
  readonly insertNotification: (row: NotificationRow, signal: AbortSignal) => Promise<void>;
  /** Nothing where a tombstone stands. */
  readonly readNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<Versioned<StoredNotification> | undefined>;
  /** Without the payload; tombstones too. */
  readonly readMarks: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<Versioned<NotificationMarks> | undefined>;
  /** A recipient's rows that expire on a day, tombstones too, in the order of their IDs (newest first), past `after`. */
  readonly listMarks: (
    recipientKey: RecipientKey,
    day: Day,
    after: NotificationId | undefined,
    limit: number,
    signal: AbortSignal,
  ) => Promise<readonly Versioned<NotificationMarks>[]>;
  /** Records the first fetch of what was read; a later one changes nothing. */
  readonly markFetched: (
    read: Versioned<NotificationMarks>,
    at: Date,
    signal: AbortSignal,
  ) => Promise<MarkOutcome>;
  /** Records that its user has read it; the first time stays. */
  readonly markRead: (
    read: Versioned<NotificationMarks>,
    at: Date,
    signal: AbortSignal,
  ) => Promise<MarkOutcome>;
  readonly markPush: (
    recipientKey: RecipientKey,
    id: NotificationId,
    mark: PushMark,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Erases the payload; a tombstone keeps the marks. */
  readonly deleteNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Erases everything but that the ID was used. */
  readonly eraseNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Takes back a row whose ID nobody was told, and keeps out one that may still be on its way. */
  readonly takeBackNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<void>;
}

/** Devices, and who holds their push channels. */
export interface InstallationRows {
  /** All installations of a user, also those not renewed in time; one that this code cannot read has no value. */
  readonly listInstallations: (
    recipientKey: RecipientKey,
    signal: AbortSignal,
  ) => Promise<readonly Versioned<InstallationRow | undefined>[]>;
  readonly readInstallation: (
    holder: ChannelHolder,
    signal: AbortSignal,
  ) => Promise<Versioned<InstallationRow | undefined> | undefined>;
  /** Inserts without an etag, else replaces exactly that version. */
  readonly writeInstallation: (
    row: InstallationRow,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<WriteOutcome>;
  readonly deleteInstallation: (
    holder: ChannelHolder,
    etag: string,
    signal: AbortSignal,
  ) => Promise<WriteOutcome>;

  readonly readChannel: (
    channelKey: ChannelKey,
    signal: AbortSignal,
  ) => Promise<Versioned<ChannelRow> | undefined>;
  /** Inserts without an etag, else replaces exactly that version. */
  readonly writeChannel: (
    channelKey: ChannelKey,
    row: ChannelRow,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<WriteOutcome>;
  readonly deleteChannel: (
    channelKey: ChannelKey,
    etag: string,
    signal: AbortSignal,
  ) => Promise<WriteOutcome>;
}

/**
 * Storage. Every operation ends with `signal`; what cannot be reached throws StoreUnavailableError. Missing
 * tables are made by the first write into them; to a read they are empty.
 */
export interface Store extends KeyRows, NotificationRows, InstallationRows {
  /** The days for which there is a table of notifications, or a data key. */
  readonly listDays: (signal: AbortSignal) => Promise<StoredDays>;
  /** Makes the table of a day that is not over; one that stands already is no failure. */
  readonly prepareDay: (day: Day, signal: AbortSignal) => Promise<void>;
  /** Destroys a day's data key, and then its table with every row in it. What is gone already is no failure. */
  readonly dropDay: (day: Day, signal: AbortSignal) => Promise<void>;

  /**
   * Deletes rows of `outbox` and `idempotency` whose time (`dropAfter`) is past, each as it was read and a bounded
   * number at once; answers how many.
   */
  readonly dropStale: (now: Date, signal: AbortSignal) => Promise<number>;

  /** One cheap read, to see whether storage answers. */
  readonly ping: (signal: AbortSignal) => Promise<void>;
}

/** Storage could not be reached, or refuses us. The caller may try again later. */
export class StoreUnavailableError extends Error {
  readonly code = "STORE_UNAVAILABLE";
}
